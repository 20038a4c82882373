"""Run on demand: POST /run has a pipeline run on a study that is stored, whatever the conditions of its route say.

Tests: `requests` is tested through `web`, on a whole node.
"""
