"""The DICOM port: associations, C-STORE, C-ECHO and storage commitment."""
