"""Any bundle in the form of MONAI's model zoo as a pipeline: what the configuration says, read before anything runs.

Tests: `parts` is tested with `expressions` and `reading`.
"""
