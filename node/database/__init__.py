"""The node's database: tables, states and their transitions, shared queries, migrations.

Tests: `erasure` is tested in `tests/test_again.py`, on a node with a study that was processed;
`verdicts` with what it stores, in `tests/node/verdicts/test_storing.py`.
`job_times` is tested with the page of routes, in `tests/node/status/test_route_hits.py`.
"""
