"""Pictures of results: pages, their panels, and the fonts and colours that both use.

Tests: `panels`, `bars`, `plots` and `table` are tested through the pages that they are on, in `test_pages`.
"""
