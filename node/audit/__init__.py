"""The audit trail, as DICOM audit messages (PS3.15 A.5), to syslog and to files that show whether they were changed.

Lines are made with `node.database.audit.note`, in the transaction of what they tell of.

Tests: `line` holds a class without code.
"""
