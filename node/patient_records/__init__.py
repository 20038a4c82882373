"""Patients' records coming in: FHIR R4, HL7 v2 over MLLP, OMOP CDM tables.

Tests: `intake`, `look_up`, `answer` and `service` are asked as senders and jobs ask them, by `test_web.py`,
`test_mllp.py` and `tests/test_risk_flow.py`.
"""
