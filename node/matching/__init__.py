"""The clauses of `when`: of a route, about images, and of a route's destination, about the result.

`language` knows how clauses combine, `result` what can be asked of a result; what can be asked of images is the
business of `node.route`.

Tests: `language` is tested with the clauses about images, in tests/node/route/test_match.py.
"""
