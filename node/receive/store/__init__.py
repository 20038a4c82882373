"""Stored instances: files, their receipts, and the import of receipts into the database."""
