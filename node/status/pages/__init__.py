"""The pages, one module each: what is asked of the records, and which template shows it.

Tests: `now` is read in `tests/node/status/test_app.py`; `routes` with what it shows, in
`tests/node/status/test_route_hits.py`, and in `test_route_trial.py`.
"""
