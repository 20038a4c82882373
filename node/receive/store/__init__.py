"""Stored instances: files, their receipts, and the import of receipts into the database.

Tests: `own_results` is tested in `test_instance_files.py`, where they come back.
"""
