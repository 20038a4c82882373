"""An Assessment SR: what a reader says about a result, finding by finding, as a TID 1500 report by a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_sr import codes
from dicom_sr.assessment import Answer, Assessment, Change
from dicom_sr.codes import CodingScheme, scheme_of
from dicom_sr.decimal_string import rounded
from dicom_sr.lawful import make_texts_lawful
from dicom_sr.profile import EncodedObject, EncodingProfile, ObjectFile
from dicom_sr.provenance import SERIES_MARK, device_uid
from dicom_sr.read.headers import MANUFACTURER, coded
from dicom_sr.uids import uid
from dicom_sr.write.finish import finish_later, write
from dicom_sr.write.sr_document import (
    composite_item,
    container,
    content_item,
    device_items,
    evidence_items,
    references,
    scheme_items,
    template,
    text_item,
)

ANSWERS = {Answer.ACCEPT: codes.ACCEPTED, Answer.MODIFY: codes.MODIFIED, Answer.REJECT: codes.REJECTED}
_QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
# SeriesNumber: the 12th of the pipeline's own, which no other kind of object has; a report has the 4th or 5th
_FROM_REPORT = {str(Comprehensive3DSRStorage): 8000, str(ComprehensiveSRStorage): 7000}


@dataclass(frozen=True)
class Reader:
    """Who assessed the result, as typed: nobody has checked it."""

    name: str = field(repr=False)
    when: datetime  # timezone aware, or in the site's local time


def encode_assessment(
    report: Dataset,
    about: Sequence[ObjectFile],
    assessments: Sequence[Assessment],
    reader: Reader,
    profile: EncodingProfile,
    folder: Path,
) -> EncodedObject:
    """Write the Assessment SR of a result.

    The same arguments give the same bytes.

    Parameters
    ----------
    report
        The report that is assessed: patient, study and the procedure come from it.
    about
        The objects of the result that the assessment refers to, the report among them.
    assessments
        What the reader says. One without a Tracking UID is about the whole result.
    reader
        Who says it, and when.
    profile
        Who this installation is, and its root of UIDs.
    folder
        Where the file goes; made if absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ds = _document(report, profile, reader)
    key = ("assessment", str(report.SOPInstanceUID), reader.name, reader.when.isoformat(), _words(assessments))
    ds.SOPInstanceUID = uid(profile.uid_root, *key)
    # all assessments of one report are one series: viewers show its newest
    ds.SeriesInstanceUID = uid(profile.uid_root, "assessment", str(report.SOPInstanceUID), "series")
    ds.CurrentRequestedProcedureEvidenceSequence = evidence_items(references(about))
    ds.ContentSequence = [
        *_language(report),
        *_observers(reader, profile),
        *_procedure(report),
        *_some(standard.DCM.ImagingMeasurements, [_group(one) for one in assessments if one.tracking_uid]),
        *_some(
            _QUALITATIVE_EVALUATIONS, [item for one in assessments if not one.tracking_uid for item in _answer(one)]
        ),
        container(codes.ASSESSED, [composite_item(reference) for reference in references(about)]),
    ]
    ds.CodingSchemeIdentificationSequence = scheme_items(_schemes(assessments), profile.institution)
    make_texts_lawful(ds)
    return write(ds, "assessment", folder, f"assessment-{ds.SOPInstanceUID}.dcm")


def _words(assessments: Sequence[Assessment]) -> str:
    """All that a reader says as one text; what is no part of an assessment's `repr` is there too."""
    return "\n".join(f"{one!r} {one.comment}" for one in assessments)


# ---- the document
def _document(report: Dataset, profile: EncodingProfile, reader: Reader) -> Dataset:
    ds = Dataset()
    finish_later(ds, report, reader.when, profile)
    ds.SOPClassUID, ds.Modality, ds.InstanceNumber = ComprehensiveSRStorage, "SR", 1
    ds.SeriesNumber = int(report.SeriesNumber) + _FROM_REPORT.get(str(report.SOPClassUID), 8000)
    ds.SeriesDescription = f"{SERIES_MARK} assessment by a reader"
    # complete as far as it goes; nobody has verified that the person is who the name says
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ReferencedPerformedProcedureStepSequence, ds.PerformedProcedureCodeSequence = [], []
    ds.AuthorObserverSequence = [_author(reader, profile)]
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = [coded(standard.DCM.ImagingMeasurementReport)]
    ds.ContentTemplateSequence = [template("1500")]
    return ds


def _author(reader: Reader, profile: EncodingProfile) -> Dataset:
    item = Dataset()
    item.ObserverType, item.PersonName = "PSN", reader.name
    item.InstitutionName, item.InstitutionCodeSequence = profile.institution, []
    item.PersonIdentificationCodeSequence = []
    return item


def _schemes(assessments: Sequence[Assessment]) -> list[CodingScheme]:
    """The private schemes that the document uses, the node's own first."""
    said = [code for one in assessments for code in (one.finding, one.site, one.reason) if code is not None]
    for change in (change for one in assessments for change in one.changes):
        said += [code for code in (change.name, change.after, change.unit) if isinstance(code, Code)]
    found = (scheme_of(code) for code in said)
    return list(dict.fromkeys([codes.CONDYLE, *(scheme for scheme in found if scheme is not None)]))


# ---- context
def _language(report: Dataset) -> list[Dataset]:
    return [item for item in report.ContentSequence if _is(item, standard.DCM.LanguageOfContentItemAndDescendants)]


def _procedure(report: Dataset) -> list[Dataset]:
    """As the report says it; TID 1500 wants one, also of what was found in the patient's record."""
    found = [item for item in report.ContentSequence if _is(item, standard.DCM.ProcedureReported)]
    if found:
        return found
    item = content_item("HAS CONCEPT MOD", "CODE", standard.DCM.ProcedureReported)
    item.ConceptCodeSequence = [coded(codes.IMAGING_PROCEDURE)]
    return [item]


def _is(item: Dataset, name: Code) -> bool:
    found = item.get("ConceptNameCodeSequence")
    return bool(found) and str(found[0].get("CodeValue")) == name.value


def _observers(reader: Reader, profile: EncodingProfile) -> list[Dataset]:
    """The person (TID 1003), then the node that wrote it down (TID 1004)."""
    person = _context_code(standard.DCM.ObserverType, standard.DCM.Person)
    name = content_item("HAS OBS CONTEXT", "PNAME", standard.DCM.PersonObserverName)
    name.PersonName = reader.name
    return [
        *(person, name, *device_items(device_uid(profile))),
        _context_text(standard.DCM.DeviceObserverName, MANUFACTURER),
        _context_text(standard.DCM.DeviceObserverManufacturer, MANUFACTURER),
        _context_text(standard.DCM.DeviceObserverModelName, MANUFACTURER),
        _context_text(standard.DCM.DeviceObserverSerialNumber, profile.device_serial_number),
    ]


def _context_code(name: Code, value: Code) -> Dataset:
    item = content_item("HAS OBS CONTEXT", "CODE", name)
    item.ConceptCodeSequence = [coded(value)]
    return item


def _context_text(name: Code, text: str) -> Dataset:
    item = content_item("HAS OBS CONTEXT", "TEXT", name)
    item.TextValue = text
    return item


# ---- what the reader says
def _group(one: Assessment) -> Dataset:
    """One finding: which it is, the answer, and what the reader puts in place of its values (TID 1501)."""
    identifier = _context_text(standard.DCM.TrackingIdentifier, one.tracking_id)
    number = content_item("HAS OBS CONTEXT", "UIDREF", standard.DCM.TrackingUniqueIdentifier)
    number.UID = one.tracking_uid
    items = [identifier, number]
    if one.finding is not None:
        items.append(_code(standard.DCM.Finding, one.finding))
    if one.site is not None:
        site = _code(standard.SCT.FindingSite, one.site)
        site.RelationshipType = "HAS CONCEPT MOD"
        items.append(site)
    items += [_changed(change) for change in one.changes if change.after is not None]
    return container(standard.DCM.MeasurementGroup, [*items, *_answer(one)])


def _some(name: Code, items: list[Dataset]) -> list[Dataset]:
    """A container, where there is something in it."""
    return [container(name, items)] if items else []


def _answer(one: Assessment) -> list[Dataset]:
    items = [_code(codes.VERDICT, ANSWERS[one.answer])]
    if one.reason is not None:
        items.append(_code(codes.VERDICT_REASON, one.reason))
    if one.comment:
        items.append(text_item(standard.DCM.Comment, one.comment))
    return items


def _changed(change: Change) -> Dataset:
    if isinstance(change.after, Code):
        return _code(change.name, change.after)
    number = content_item("CONTAINS", "NUM", change.name)
    value = Dataset()
    value.NumericValue = rounded(float(change.after or 0.0))
    value.MeasurementUnitsCodeSequence = [coded(change.unit or codes.NO_UNITS)]
    number.MeasuredValueSequence = [value]
    return number


def _code(name: Code, value: Code) -> Dataset:
    item = content_item("CONTAINS", "CODE", name)
    item.ConceptCodeSequence = [coded(value)]
    return item
