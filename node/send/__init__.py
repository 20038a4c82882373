"""DICOM objects to destinations, with proof.

Tests: `delivery` and `one_by_one` hold what the kinds of delivery share; `notification_file` is tested with the two
that use it.
"""
