"""The DICOM port: associations, C-STORE, C-ECHO and storage commitment.

Tests: `fast_association`, `plain_server` and `services` are tested by `test_fast_server.py`, which has one script of
associations played to both servers.
"""
