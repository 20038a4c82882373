"""DICOM out: one encoder for each kind of object."""
