"""Job to pipeline to DICOM objects, on the job engine."""
