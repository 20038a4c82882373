"""The HTTP API: what the pages and commands show and do, for programs, at `/api/v1` of the page's port.

It answers in the forms of `node.listings`, and acts by `node.actions`: there is no second way of doing anything.

Tests: `alerts`, `configuration`, `jobs`, `people`, `present`, `results`, `routes`, `studies`, `fields`, `parts` and
`imports` are tested over HTTP in `test_application.py`, and with made-up requests in `test_schema.py`; `problems` and
`guard` in `test_guard.py`.
"""
