"""Patients' records as they are exported: FHIR R4 and OMOP CDM, for the node and for training."""
