"""What an operator looks at: pages, health, metrics.

`app` puts them together, `site` is what all pages share, `pages` has one module for each page. `present` reads what the
node is at now, `study_search` the list of studies, `overview` one study, `patients_shown` what names a patient.

Tests: `patients_shown` is what the page of a study shows; `pages/test_study.py` reads it there. `remedies` is tested
with `failures`, `model_list` and `shadow_agreement` in `pages/test_models.py`.
"""
