"""DICOM out: one encoder for each kind of object.

Tests: `fhir`, `foreign_file` and `statements` are tested with what is made with them, in `diagnostic_report`, `oru`,
`risk_assessment` and `notification`; `references` with the reports, segmentations and presentation states that refer
by it.
"""
