"""DICOM in: pixels, frames and stacks of series, with geometry.

Tests: what `headers` copies is tested with the objects that it goes into, in `write.test_finish`.
"""
