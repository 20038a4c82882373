"""DICOM objects to destinations, with proof.

Tests: `delivery` holds the types that the kinds of delivery share.
"""
