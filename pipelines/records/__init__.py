"""Patients' records as they are exported: FHIR R4, HL7 v2 and OMOP CDM, for the node and for training.

Tests: `record` is tested with the store that merges records, by `tests/node/patient_records/test_store.py`; `dates` and
`code_systems` with the readers that ask them, by `test_hl7.py` and `test_fhir.py`; `fhir_references` by `test_fhir.py`.
"""
