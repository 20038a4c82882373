"""Patients' records: FHIR R4, HL7 v2 over MLLP and OMOP CDM tables coming in, and risks asked of them.

Tests: `intake`, `service` and `room` are asked as senders ask them, by `test_web.py` and `test_mllp.py`.
"""
