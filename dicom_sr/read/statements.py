"""What a structured report states, group by group, whoever wrote it.

A group is a container with a tracking UID (TID 1500 and its relatives) or with a coded answer that is looked for; what
stands in containers below it without either is part of it. Reading is lenient about templates and order, and holds
whatever it gives back to what it may be: UIDs are UIDs, numbers are finite, texts are short.
"""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr.errors import UNREADABLE, UnsuitableInput, why_unreadable
from dicom_sr.lawful import is_uid
from dicom_sr.read.headers import offset_from_utc, zone_in
from dicom_sr.read.moments import moment_at

DEEPEST, MOST_ITEMS = (
    32,
    50_000,
)  # containers within each other, and items of a report; ours have four and a few hundred
LONGEST_TEXT, LONGEST_NAME, LONGEST_SCHEME = 2000, 64, 16  # characters

_TRACKING_UID = standard.DCM.TrackingUniqueIdentifier
_TRACKING_ID = standard.DCM.TrackingIdentifier
_PERSON = standard.DCM.PersonObserverName
_TOPOGRAPHICAL_MODIFIER = standard.SCT.TopographicalModifier
_REFERENCES = {"IMAGE", "COMPOSITE", "WAVEFORM"}
_NOBODY = {"unknown", "anonymous", "anonymized", "none", "user"}
_CONTEXT = {  # coded items that say nothing of the thing itself
    standard.DCM.ObserverType,
    standard.DCM.AlgorithmFamily,
    standard.DCM.GeometricPurposeOfRegion,
}


@dataclass(frozen=True)
class Number:
    """One number of a group."""

    name: Code
    value: float
    unit: Code


@dataclass(frozen=True)
class Group:
    """What is stated of one thing."""

    tracking_uid: str = ""
    tracking_id: str = ""
    finding: Code | None = None
    site: Code | None = None  # the most exact that there is
    numbers: tuple[Number, ...] = ()
    codes: tuple[tuple[Code, Code], ...] = ()  # name and value of every other coded statement
    texts: tuple[tuple[Code, str], ...] = field(default=(), repr=False)  # as they were written
    objects: tuple[str, ...] = ()  # SOP Instance UIDs that its items refer to


@dataclass(frozen=True)
class Document:
    """A structured report."""

    sop_instance_uid: str
    study_instance_uid: str
    groups: tuple[Group, ...]
    predecessors: tuple[str, ...]  # SOP Instance UIDs of the documents that it takes the place of
    objects: tuple[str, ...]  # SOP Instance UIDs in its evidence
    person: str = field(default="", repr=False)  # who verified, observed or wrote it
    device: str = ""  # manufacturer and model of what wrote it
    observed: datetime | None = None
    identity: tuple[str, ...] = field(default=(), repr=False)  # what of it names the patient, to be left out of texts

    @property
    def findings(self) -> dict[str, Group]:
        """The groups by tracking UID; the last of each: in the form for OHIF one that is shown stands before it."""
        return {group.tracking_uid: group for group in self.groups if group.tracking_uid}


def document_in(content: bytes, answers: tuple[Code, ...]) -> Document:
    """The report in a Part 10 file.

    Parameters
    ----------
    content
        The file.
    answers
        Names of coded items that make a container a group though it has no tracking UID.

    Raises
    ------
    UnsuitableInput
        If it cannot be read; names nobody.
    """
    try:
        return _document(pydicom.dcmread(io.BytesIO(content)), answers)
    except UNREADABLE as error:
        raise UnsuitableInput(why_unreadable(error)) from error


def _document(ds: Dataset, answers: Collection[Code]) -> Document:
    reading = _Reading(answers)
    reading.walk(ds, None, 0)
    return Document(
        _uid(ds.SOPInstanceUID),
        _uid(ds.StudyInstanceUID),
        tuple(group.done() for group in reading.groups if group.counts),
        tuple(_referenced(ds, "PredecessorDocumentsSequence")),
        tuple(
            dict.fromkeys(
                (
                    *_referenced(ds, "CurrentRequestedProcedureEvidenceSequence"),
                    *_referenced(ds, "PertinentOtherEvidenceSequence"),
                )
            )
        ),
        person=next(filter(None, map(named_person, (_verifier(ds), reading.person, _author(ds)))), ""),
        device=device_of(ds),
        observed=observed_in(ds),
        identity=tuple(
            str(ds.get(keyword))
            for keyword in ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "AccessionNumber")
            if ds.get(keyword)
        ),
    )


class _Group:
    """A group that is being read."""

    def __init__(self, *, direct: bool) -> None:
        self.direct = direct  # what stands in containers below it is not its own
        self.tracking_uid, self.tracking_id = "", ""
        self.finding: Code | None = None
        self.site: Code | None = None
        self.numbers: list[Number] = []
        self.codes: list[tuple[Code, Code]] = []
        self.texts: list[tuple[Code, str]] = []
        self.objects: dict[str, None] = {}
        self.counts = False  # whether there is a tracking UID, or an answer

    def done(self) -> Group:
        """The group as it stands."""
        return Group(
            self.tracking_uid,
            self.tracking_id,
            self.finding,
            self.site,
            tuple(self.numbers),
            tuple(self.codes),
            tuple(self.texts),
            tuple(self.objects),
        )


class _Reading:
    """A walk through the content tree."""

    def __init__(self, answers: Collection[Code]) -> None:
        self._answers = answers
        self.groups: list[_Group] = []
        self.person = ""
        self._items = 0

    def walk(self, container: Dataset, above: _Group | None, depth: int) -> None:
        """Read a container and what is below it."""
        if depth > DEEPEST:
            raise UnsuitableInput("its content is nested too deep")
        items = list(container.get("ContentSequence") or ())
        group = above
        if above is None or above.direct or any(self._opens(item) for item in items):
            group = _Group(direct=depth == 0)
            self.groups.append(group)
        assert group is not None
        for item in items:
            self._items += 1
            if self._items > MOST_ITEMS:
                raise UnsuitableInput(f"it has more than {MOST_ITEMS} content items")
            if item.get("ValueType") == "CONTAINER":
                self.walk(item, group, depth + 1)
            else:
                self._take(item, group)

    def _opens(self, item: Dataset) -> bool:
        name = _name(item)
        return name is not None and (name == _TRACKING_UID or name in self._answers)

    def _take(self, item: Dataset, group: _Group) -> None:
        kind, name = item.get("ValueType"), _name(item)
        if kind in _REFERENCES:
            group.objects.update(dict.fromkeys(_uids(item.get("ReferencedSOPSequence") or ())))
        elif kind == "UIDREF" and name == _TRACKING_UID:
            group.tracking_uid = _uid(item.get("UID"))
            group.counts = group.counts or bool(group.tracking_uid)
        elif kind == "PNAME" and name == _PERSON:
            self.person = self.person or str(item.get("PersonName") or "")
        elif kind == "TEXT" and name is not None:
            text = str(item.get("TextValue") or "").strip()[:LONGEST_TEXT]
            if name == _TRACKING_ID:
                group.tracking_id = text[:LONGEST_NAME]
            else:
                group.texts.append((name, text))
        elif kind == "NUM" and name is not None:
            group.numbers += _numbers(item, name)
        elif kind == "CODE" and name is not None:
            self._take_code(item, name, group)

    def _take_code(self, item: Dataset, name: Code, group: _Group) -> None:
        value = next(codes_in(item, "ConceptCodeSequence"), None)
        if value is None:
            return
        if name == standard.DCM.Finding:
            group.finding = value
        elif name == standard.SCT.FindingSite:
            group.site = value
            for below in item.get("ContentSequence") or ():
                called, more = _name(below), next(codes_in(below, "ConceptCodeSequence"), None)
                if called is None or more is None:  # which pydicom's codes are not to be compared with
                    continue
                if called == _TOPOGRAPHICAL_MODIFIER:
                    group.site = more
                elif called == standard.SCT.Laterality:
                    group.codes.append((standard.SCT.Laterality, more))
        elif name not in _CONTEXT:
            group.codes.append((name, value))
        if name in self._answers:
            group.counts = True
            for below in item.get("ContentSequence") or ():  # a reason, or what is meant, may stand with the answer
                self._take(below, group)


def _name(item: Dataset) -> Code | None:
    return next(codes_in(item, "ConceptNameCodeSequence"), None)


def codes_in(item: Dataset, keyword: str) -> Iterator[Code]:
    """The codes in a sequence of an item."""
    for coded in item.get(keyword) or ():
        value = coded.get("CodeValue") or coded.get("LongCodeValue") or coded.get("URNCodeValue")
        scheme = coded.get("CodingSchemeDesignator")
        if value and scheme:
            meaning = _text(coded.get("CodeMeaning"))
            yield Code(str(value)[:LONGEST_NAME], str(scheme)[:LONGEST_SCHEME], meaning)


def _numbers(item: Dataset, name: Code) -> Iterator[Number]:
    for measured in item.get("MeasuredValueSequence") or ():
        try:
            value = _precise(float(measured.NumericValue), measured.get("FloatingPointValue"))
        except (TypeError, ValueError, OverflowError, AttributeError):  # empty, or several
            continue
        unit = next(codes_in(measured, "MeasurementUnitsCodeSequence"), None)
        if math.isfinite(value) and unit is not None:
            yield Number(name, value, unit)


def _precise(value: float, written: object) -> float:
    """The number as a double, where one stands beside its decimal string and has not been left behind by an editor."""
    exact = float(written) if isinstance(written, float) else value
    return exact if math.isclose(exact, value, rel_tol=1e-6) else value


def _text(value: object) -> str:
    return str(value or "").strip()[:LONGEST_NAME]


def _uid(value: object) -> str:
    text = str(value or "").strip()
    return text if is_uid(text) else ""


def _uids(items: Iterable[Dataset]) -> Iterator[str]:
    yield from filter(None, (_uid(item.get("ReferencedSOPInstanceUID")) for item in items))


def _referenced(ds: Dataset, keyword: str) -> Iterator[str]:
    for study in ds.get(keyword) or ():
        for series in study.get("ReferencedSeriesSequence") or ():
            yield from _uids(series.get("ReferencedSOPSequence") or ())


def named_person(name: str) -> str:
    """The name of a person; empty where it is none, such as "unknown^unknown", which viewers write for want of one."""
    words = set(name.replace("^", " ").replace("=", " ").casefold().split())
    return "" if words <= _NOBODY else name


def _verifier(ds: Dataset) -> str:
    if ds.get("VerificationFlag") != "VERIFIED":
        return ""
    return next((str(one.get("VerifyingObserverName") or "") for one in ds.get("VerifyingObserverSequence") or ()), "")


def _author(ds: Dataset) -> str:
    authors = ds.get("AuthorObserverSequence") or ()
    return next((str(one.PersonName) for one in authors if one.get("PersonName")), "")


def device_of(ds: Dataset) -> str:
    """Manufacturer and model of what wrote an object."""
    return " ".join(filter(None, (_text(ds.get("Manufacturer")), _text(ds.get("ManufacturerModelName")))))


def observed_in(ds: Dataset) -> datetime | None:
    """When it was verified, else when its content was written; in the machine's zone where none is stated."""
    zone = offset_from_utc(ds)
    for one in ds.get("VerifyingObserverSequence") or ():
        stamp = str(one.get("VerificationDateTime") or "")
        if found := moment_at(stamp[:8], stamp[8:14]):
            return found.replace(tzinfo=zone_in(stamp[-5:]) or zone).astimezone()
    found = moment_at(str(ds.get("ContentDate") or ""), str(ds.get("ContentTime") or "").split(".")[0])
    return None if found is None else found.replace(tzinfo=zone).astimezone()
