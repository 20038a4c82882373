"""DICOM in, DICOM out: series to arrays, findings to objects.

Tests: `series`, `findings`, `profile`, `phantoms` and `errors` hold no more than the tests of `read` and `write` use of
them everywhere.
"""
