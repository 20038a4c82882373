"""What an operator looks at: pages, health, metrics.

`app` puts them together, `site` is what all pages share, `pages` has one module for each page.

Tests: `site` and `overview` are what the pages show; `test_app.py` reads it there.
`remedies` is tested with `failures`; `model_list` and `shadow_agreement` in `tests/node/status/pages/test_models.py`.
"""
