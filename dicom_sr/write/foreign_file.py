"""Files that are no DICOM objects and go out like them: FHIR resources, HL7 v2 messages, notifications."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dicom_sr.profile import SENDING_ORDER, EncodedObject, Kind
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.uids import uid


def write_file(provenance: Provenance, kind: Kind, content: bytes, path: Path, *form: str) -> EncodedObject:
    """Write such a file.

    Its UID is that by which the node knows it: one for each job and each form. It is made from the job's id alone, as
    one that was made from a patient ID could be tried out against all of them.

    Parameters
    ----------
    form
        What else of the profile the content follows from.
    """
    path.write_bytes(content)
    if provenance.job:
        own = uid(provenance.profile.uid_root, kind, provenance.job, *form, software_version())
    else:
        own = provenance.uid(kind, *form)
    return EncodedObject(
        kind=kind,
        sop_class_uid="",
        sop_instance_uid=own,
        series_instance_uid="",
        # without images the study would be named after the patient ID, which must not leave the file
        study_instance_uid=provenance.study_instance_uid if provenance.headers else "",
        path=path,
        order=SENDING_ORDER[kind],
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
