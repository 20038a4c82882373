"""DICOM objects to destinations, with proof."""
