"""DICOM objects to destinations, with proof.

Tests: `delivery` holds the types that the kinds of delivery share; `notification_file` is tested with the two that
use it.
"""
