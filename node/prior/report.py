"""What is looked for, and whether a report that was found is it."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import pydicom
from pydantic import ConfigDict
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, ExplicitVRLittleEndian

from dicom_sr.read.headers import MANUFACTURER
from node.reading.messages import EXACT
from node.study.headers import StudyHeader, identity_in
from pipelines.records.record import Identity

REPORT_CLASSES = (str(Comprehensive3DSRStorage), str(ComprehensiveSRStorage))
LARGEST = 16 * 2**20  # bytes; ours are well under one
DAY_DIGITS, TIME_DIGITS = 8, 6
TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Manufacturer"),
    *("ManufacturerModelName", "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ContentDate", "ContentTime", "SoftwareVersions", "PredecessorDocumentsSequence"),
]
NOT_READ = "a report cannot be read"

# what pydicom raises on bytes that are not what they should be
MALFORMED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)


class NotUsable(ValueError):
    """A report that was found cannot stand for the patient's last one; says why, never with a value."""


class SomebodyElse(NotUsable):
    """It is under the same patient ID and of another person; says which field disagrees."""


@dataclass(frozen=True)
class Moment:
    """When a study was made, as its header says: date and, where it has one, time."""

    day: str
    time: str = ""

    @classmethod
    def of(cls, header: Dataset) -> Moment:
        """The moment in a header or in an answer to a query."""
        return cls.at(str(header.get("StudyDate") or ""), str(header.get("StudyTime") or ""))

    @classmethod
    def at(cls, date: str, time: str) -> Moment:
        """From the values of StudyDate and StudyTime."""
        day = "".join(c for c in date if c.isdigit())[:DAY_DIGITS]
        return cls(
            day if len(day) == DAY_DIGITS else "",
            "".join(c for c in time.split(".")[0] if c.isdigit())[:TIME_DIGITS],
        )

    def is_before(self, other: Moment) -> bool:
        """Whether it certainly was earlier; of the same day, only where both times are known."""
        if not self.day or self.day > other.day:
            return False
        return self.day < other.day or bool(self.time and other.time and self.time < other.time)


@dataclass(frozen=True)
class Wanted:
    """Whose report is looked for, by which pipeline, and from before when."""

    pipeline: str
    study_instance_uid: str  # the study that is being read: not this one's
    made: Moment
    who: Identity = field(repr=False)

    @classmethod
    def of(cls, pipeline: str, header: StudyHeader, today: datetime) -> Wanted:
        """What to look for beside the study with that header; one without a date counts as of `today`.

        Parameters
        ----------
        pipeline
            Whose report.
        header
            Of the study that is being read.
        today
            The date of a study without one.
        """
        made = Moment.at(header.study_date, header.study_time)
        return cls(
            pipeline,
            header.study_instance_uid,
            made if made.day else Moment(today.strftime("%Y%m%d")),
            header.who,
        )


@dataclass(frozen=True)
class Found:
    """A report that may be used, whole."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    made: Moment
    written: str  # ContentDate and -Time: of two reports on one study the later counts
    content: bytes = field(repr=False)  # as `normalised` leaves it
    versions: tuple[int, ...] = ()  # the numbers in SoftwareVersions
    revises: frozenset[str] = frozenset()  # SOPInstanceUIDs of the reports that it takes the place of

    @property
    def order(self) -> tuple[str, str, tuple[int, ...], str, str]:
        """What reports are sorted by: study, then version of what wrote it, then writing; the last counts."""
        return (self.made.day, self.made.time, self.versions, self.written, self.sop_instance_uid)


def latest(found: Iterable[Found]) -> Found | None:
    """The one of the latest study, and of that study the one written last.

    Reports carry the time of their images, so that one that revises another may have the same: it says so itself.
    """
    reports = list(found)
    revised = frozenset[str]().union(*(report.revises for report in reports))
    standing = [report for report in reports if report.sop_instance_uid not in revised]
    return max(standing or reports, key=lambda report: report.order, default=None)


def require_report(size: int, sop_class_uid: str | None = None) -> None:
    """Hold an object against what a report is before any of it is read, whichever way it comes.

    Parameters
    ----------
    size
        Bytes of its file or of its data set.
    sop_class_uid
        As it is recorded or announced; None where nothing says it but the object.

    Raises
    ------
    NotUsable
        If it cannot be a report.
    """
    if sop_class_uid is not None and sop_class_uid not in REPORT_CLASSES:
        raise NotUsable("the object is no report")
    if size > LARGEST:
        raise NotUsable("the object is too large for a report")


def read_report(path: Path, sop_class_uid: str | None = None) -> bytes:
    """The file of a report, whole.

    Raises
    ------
    NotUsable
        If it cannot be one; it is not read then.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        require_report(size, sop_class_uid)
        return file.read(size)


def examined(content: bytes, wanted: Wanted, default_issuer: str) -> Found:
    """The report in a Part 10 file, if it is an earlier one of the patient by the pipeline.

    Parameters
    ----------
    content
        The file.
    wanted
        What is looked for.
    default_issuer
        Of a patient ID without one.

    Raises
    ------
    SomebodyElse
        If it is another person's.
    NotUsable
        If it is another object, of another pipeline, of the study that is being read, or not earlier.
    """
    require_report(len(content))
    try:
        header = pydicom.dcmread(io.BytesIO(content), specific_tags=TAGS)
        require_report(len(content), str(header.get("SOPClassUID")))
        if header.get("Manufacturer") != MANUFACTURER or header.get("ManufacturerModelName") != wanted.pipeline:
            raise NotUsable("the report is not of this pipeline")
        made = Moment.of(header)
        if header.StudyInstanceUID == wanted.study_instance_uid or not made.is_before(wanted.made):
            raise NotUsable("the report is not of an earlier study")
        if what := mismatch(wanted.who, identity_in(header, default_issuer)):
            raise SomebodyElse(what)
        return Found(
            str(header.StudyInstanceUID),
            str(header.SeriesInstanceUID),
            str(header.SOPInstanceUID),
            made,
            f"{header.get('ContentDate') or ''}{header.get('ContentTime') or ''}",
            normalised(content),
            tuple(int(number) for number in re.findall(r"[0-9]{1,9}", str(header.get("SoftwareVersions") or ""))),
            _revised(header),
        )
    except NotUsable:
        raise
    except MALFORMED as error:
        raise NotUsable(f"the object cannot be read: {type(error).__name__}") from error


def _revised(header: Dataset) -> frozenset[str]:
    """The reports that a report names as those it takes the place of (PS3.3 C.17.2)."""
    return frozenset(
        str(item.ReferencedSOPInstanceUID)
        for study in header.get("PredecessorDocumentsSequence") or ()
        for series in study.get("ReferencedSeriesSequence") or ()
        for item in series.get("ReferencedSOPSequence") or ()
    )


def mismatch(who: Identity, other: Identity) -> str | None:
    """Name of the field that makes `other` somebody else, or leaves it open; None for the same patient.

    Patient ID and issuer must be equal, and birth date and sex where both have one. Names may change; they are held
    against each other only where there is no birth date to go by.
    """
    if not who.patient_id or who.patient_id != other.patient_id:
        return "patient ID"
    if who.issuer != other.issuer:
        return "issuer of the patient ID"
    if {who.sex, other.sex} == {"F", "M"}:
        return "sex"
    if who.births_differ(other):
        return "birth date"
    if who.birthday and other.birthday:
        return None
    what = who.mismatch(other)
    return None if what is None or "neither" in what else what


def normalised(content: bytes) -> bytes:
    """The same data set with a file meta of ours, so that it does not matter by which way it came."""
    ds = pydicom.dcmread(io.BytesIO(content))
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    plain = Dataset()
    plain.update(ds)
    plain.file_meta, plain.preamble = meta, b"\0" * 128
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, plain, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()
