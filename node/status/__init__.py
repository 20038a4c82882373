"""What an operator looks at: pages, health, metrics.

`app` puts them together, `site` is what all pages share, `pages` has one module for each page.

Tests: `site` and `overview` are what the pages show; `test_app.py` reads it there.
"""
