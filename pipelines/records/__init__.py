"""Patients' records as they are exported: FHIR R4, HL7 v2 and OMOP CDM, for the node and for training.

Tests: `record` is tested with the store that merges records, by `tests/node/patient_records/test_store.py`.
"""
