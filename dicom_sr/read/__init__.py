"""DICOM in: pixels, frames and stacks of series, with geometry."""
