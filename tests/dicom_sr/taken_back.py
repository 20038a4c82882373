"""A result that is taken back: the rejection note for its objects."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pydicom

from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.rejection_reasons import RejectionReason
from dicom_sr.write.rejection_note import encode_rejection_note

WHY = "Version 0.4 took left for right (Größe gespiegelt)."
WHEN = datetime(2026, 12, 1, 9, 8, 7)
PROFILE = EncodingProfile(institution="St. Elsewhere", device_serial_number="A7")


def note_of(
    objects: Sequence[EncodedObject], folder: Path, reason: RejectionReason = RejectionReason.PATIENT_SAFETY
) -> EncodedObject:
    """The note for what a destination has of a written result by default."""
    sent = [one for one in objects if one.kind != "segmentation_labelmap"]
    like = pydicom.dcmread(next(one.path for one in sent if one.kind == "report"), stop_before_pixels=True)
    return encode_rejection_note(sent, like, reason, WHY, WHEN, PROFILE, folder)
