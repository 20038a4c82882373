"""Patients' records coming in: FHIR R4, HL7 v2 over MLLP, OMOP CDM tables."""
