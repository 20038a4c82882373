"""DICOM out: one encoder for each kind of object.

Tests: `references` is tested with the reports, segmentations and presentation states that refer by it.
"""
