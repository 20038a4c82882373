"""DICOM in, DICOM out: series to arrays, findings to objects.

Tests: `series`, `findings`, `assessment`, `profile`, `phantoms` and `errors` hold no more than the tests of `read` and
`write` use of them everywhere.
"""
