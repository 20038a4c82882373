"""A rejection note: objects that were sent are taken back (IHE RAD TF-2 4.66, Imaging Object Change Management).

It is a Key Object Selection Document in the study of the objects. An archive that knows such notes stops showing what
one refers to, or deletes it; to any other archive it is a list with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_sr.errors import EncodingError
from dicom_sr.lawful import make_texts_lawful
from dicom_sr.profile import EncodedObject, EncodingProfile, ObjectFile, kind_of
from dicom_sr.provenance import SERIES_MARK, device_uid
from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.uids import uid
from dicom_sr.write.finish import finish_later, write
from dicom_sr.write.key_objects import selection
from dicom_sr.write.sr_document import device_items, evidence_items, object_item, references

_SERIES_NUMBER = 9_999_999  # behind every series of a pipeline


def encode_rejection_note(
    objects: Sequence[ObjectFile],
    like: Dataset,
    reason: RejectionReason,
    why: str,
    created: datetime,
    profile: EncodingProfile,
    folder: Path,
) -> EncodedObject:
    """Write the note that takes back the DICOM objects among `objects`.

    The same arguments give the same bytes, whatever the order of the objects.

    Parameters
    ----------
    objects
        What is taken back, all of it in one study. What is no DICOM object is passed over.
    like
        Header of one of them: patient and study come from it, and the request, if it is a report.
    reason
        The title of the note.
    why
        The reason in words, for a reader.
    created
        The time that the note holds, in the zone that `like` names, else in the machine's.
    profile
        Who this installation is, and its root of UIDs.
    folder
        Where the file goes; made if absent.

    Raises
    ------
    EncodingError
        If there is no DICOM object among `objects`, or one is in another study than `like`.
    """
    taken_back = sorted((one for one in objects if one.sop_class_uid), key=lambda one: one.sop_instance_uid)
    if {one.study_instance_uid for one in taken_back} != {str(like.StudyInstanceUID)}:
        raise EncodingError("a rejection note is of objects of one study")
    referred = references(taken_back)
    ds = selection(
        Code(reason.value, "DCM", reason.meaning),
        device_items(device_uid(profile)),
        why,
        [object_item(one, kind_of(one)) for one in referred],
    )
    ds.CurrentRequestedProcedureEvidenceSequence = evidence_items(referred)
    finish_later(ds, like, created, profile)
    key = ("rejection note", reason.value, why, created.isoformat(), *(one.sop_instance_uid for one in taken_back))
    ds.SOPInstanceUID = uid(profile.uid_root, *key)
    # a series of its own: nobody counts the notes of a study, and a series that is told of twice gains nothing
    ds.SeriesInstanceUID, ds.SeriesNumber = uid(profile.uid_root, *key, "series"), _SERIES_NUMBER
    ds.SeriesDescription = f"{SERIES_MARK} taken back: {reason.meaning}"
    make_texts_lawful(ds)
    folder.mkdir(parents=True, exist_ok=True)
    return write(ds, "rejection_note", folder, f"rejection-note-{ds.SOPInstanceUID}.dcm")
