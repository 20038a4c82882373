"""Patients' records as they are exported: FHIR R4, HL7 v2 and OMOP CDM, for the node and for training."""
