"""What an operator looks at: web page, health, metrics.

Tests: `overview` is what the page shows; `test_page.py` reads it there.
"""
