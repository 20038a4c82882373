"""DICOM out: one encoder for each kind of object.

Tests: `fhir` and `statements` are tested with the reports that are made with them, in `diagnostic_report`, `oru` and
`risk_assessment`; `references` is tested with the reports, segmentations and presentation states that refer by it.
"""
