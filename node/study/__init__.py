"""What the headers of a study say, to whoever asks: routes, the look-up of records, the search for earlier reports.

Tests: `shown_patient` is read on the page of a study, in `tests/node/status/pages/test_study.py`.
"""
