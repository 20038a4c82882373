"""DICOM objects to destinations, with proof.

Tests: `delivery` holds the types that the three kinds of delivery share.
"""
