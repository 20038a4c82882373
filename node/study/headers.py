"""One reader for the headers of stored objects, and who they say the patient is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import PersonName

from dicom_sr.errors import UNREADABLE
from node.errors import NodeError, StorageAway
from node.study.images import unreadable
from pipelines.records.dates import partial_date
from pipelines.records.record import Identity, Sex

PATIENT = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
)
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "AcquisitionDate")

_SEXES: dict[str, Sex] = {"F": "F", "M": "M", "O": "O"}


def read_header(path: Path, keywords: Iterable[str]) -> Dataset | None:
    """The named elements of a file, without pixels; None if it holds no DICOM.

    Every value is read now, so that nothing can fail later. An element that does not hold what it should is left out.

    Raises
    ------
    StorageAway
        If the system does not let the file be read: nothing is known of it then.
    """
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(keywords), force=True)
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageAway(unreadable(error)) from error
        return None
    for tag in list(header.keys()):
        try:
            held = getattr(header.get_item(tag), "value", None)
            value = header[tag].value
            if held and value is None:  # its bytes are no value of its VR
                del header[tag]
            if isinstance(value, Sequence):
                for item in value:
                    item.decode()
        except UNREADABLE:
            del header[tag]
    return header


def study_header(path: Path) -> Dataset:
    """Who the patient is and which study it is, as a stored object says.

    Raises
    ------
    NodeError
        If the object holds no DICOM.
    StorageAway
        If the system does not let it be read.
    """
    header = read_header(path, (*PATIENT, *STUDY))
    if header is None:
        raise NodeError("a stored object cannot be read")
    return header


def identity_in(header: Dataset, default_issuer: str = "") -> Identity:
    """Who the header of an image or a report says the patient is.

    A patient ID without an issuer is of `default_issuer`.
    """
    return identity(
        header.get("PatientID"),
        _text(header.get("IssuerOfPatientID")) or default_issuer,
        header.get("PatientName"),
        header.get("PatientBirthDate"),
        header.get("PatientSex"),
    )


def identity(patient_id: object, issuer: object, name: object, birth_date: object, sex: object) -> Identity:
    """Who the values of the data elements, as pydicom gives them, say the patient is."""
    first = name[0] if isinstance(name, MultiValue) else name
    who = first if isinstance(first, PersonName) else PersonName("")
    return Identity(
        _text(patient_id),
        _text(issuer),
        str(who.family_name),
        str(who.given_name),
        sex=_SEXES.get(_text(sex), "U"),
    ).born(partial_date(_text(birth_date)))


def _text(value: object) -> str:
    """A value as it stands in the file: several with a backslash between them."""
    if isinstance(value, MultiValue):
        return "\\".join(map(str, value)).strip()
    return str(value or "").strip()


def day(value: object) -> date | None:
    """The day of a DICOM date or time stamp; None where it is none, or only a month or a year."""
    found = partial_date(str(value or ""))
    return found.first if found is not None and found.precision == "day" else None
