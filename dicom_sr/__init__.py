"""DICOM in, DICOM out: series to arrays, findings to objects."""
