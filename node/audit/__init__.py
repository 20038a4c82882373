"""The audit trail, as DICOM audit messages (PS3.15 A.5), to syslog and to a file that shows whether it was changed."""
