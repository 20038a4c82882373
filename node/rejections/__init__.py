"""Rejection notes that come in: read after receipt, remembered, and obeyed by the jobs on the images they reject."""
