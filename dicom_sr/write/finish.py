"""The last step of every object: patient, study, times, equipment, flags and laterality, keyed by SOP class."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import chain
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    ColorSoftcopyPresentationStateStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from dicom_sr.lawful import make_texts_lawful
from dicom_sr.profile import LABELMAP_STORAGE, SENDING_ORDER, EncodedObject, EncodingProfile, Kind, kind_of
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.read.headers import MANUFACTURER, PATIENT, STUDY, chosen, offset_from_utc
from dicom_sr.versions import IN_ONE_SERIES, put_behind
from dicom_sr.write.equipment import contributing_equipment, made_by_node
from dicom_sr.write.explicit_vr import SharedElements, encoded
from dicom_sr.write.part10 import meta_information, write_part10
from dicom_sr.write.references import true_classes
from dicom_sr.write.request import referenced_requests, request_attributes

# Type 2: always there, empty where unknown
_REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)

_DOCUMENTS = {
    str(u)
    for u in (
        BasicTextSRStorage,
        EnhancedSRStorage,
        ComprehensiveSRStorage,
        Comprehensive3DSRStorage,
        KeyObjectSelectionDocumentStorage,
    )
}
_SEGMENTATIONS = {str(SegmentationStorage), LABELMAP_STORAGE}
_PRESENTATION_STATES = {str(GrayscaleSoftcopyPresentationStateStorage), str(ColorSoftcopyPresentationStateStorage)}
# dciodvfy wants Laterality (PS3.3 C.7.3.1, Type 2C) with these, and calls it an error with
# a segmentation and with a parametric map, whose frames carry their side
_WITH_LATERALITY = {
    str(SecondaryCaptureImageStorage),
    str(MRImageStorage),
    *_PRESENTATION_STATES,
}
_IMAGES = {str(SecondaryCaptureImageStorage), str(MRImageStorage), str(ParametricMapStorage)}


# values of BodyPartExamined for parts that are not paired (PS3.16 annex L): with them a series has no laterality;
# with a value that is none of these it may have one, and the check tools want it, empty where it is not known
_UNPAIRED = frozenset(
    (
        *("ABDOMEN", "ABDOMENPELVIS", "AORTA", "BLADDER", "BRAIN", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "COCCYX"),
        *("CSPINE", "CTSPINE", "ESOPHAGUS", "HEAD", "HEADNECK", "HEART", "JAW", "LARYNX", "LIVER", "LSPINE", "LSSPINE"),
        *("MANDIBLE", "MEDIASTINUM", "NECK", "NECKCHEST", "NOSE", "PANCREAS", "PELVIS", "PROSTATE", "SACRUM", "SKULL"),
        *("SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH", "TLSPINE", "TRACHEA", "TSPINE", "UTERUS", "WHOLEBODY"),
    )
)


def laterality(provenance: Provenance) -> str:
    """R or L where all sources agree, B where both sides are there, else empty."""
    sides = set()
    for header in provenance.headers:
        for keyword in ("ImageLaterality", "Laterality"):
            if header.get(keyword):
                sides.add(str(header.get(keyword)))
                break
    if {"R", "L"} <= sides or "B" in sides:
        return "B"
    return sides.pop() if len(sides) == 1 and sides <= {"R", "L"} else ""


def finish(ds: Dataset, provenance: Provenance, what: str = "") -> Dataset:
    """Put on `ds` what every object of the result carries, and return it.

    Parameters
    ----------
    what
        End of the SeriesDescription.
    """
    sop_class = str(ds.SOPClassUID)
    ds.SpecificCharacterSet = "ISO_IR 192"
    _whose(ds, provenance)
    _when(ds, provenance)
    _by_whom(ds, provenance)
    _for_which_order(ds, provenance, sop_class)
    ds.SeriesDescription = provenance.series_description(what, of_version=kind_of(ds) not in IN_ONE_SERIES)
    put_behind(provenance.earlier, ds)
    _dimensions(ds, provenance)
    _flags(ds, provenance, sop_class)
    _side(ds, provenance, sop_class, laterality(provenance))
    true_classes(ds, provenance)
    make_texts_lawful(ds)  # labels and sentences may quote what a device or a record said
    return ds


def finish_later(ds: Dataset, like: Dataset, when: datetime, profile: EncodingProfile) -> None:
    """Put on `ds` what an object carries that is written after the result: whose it is, when, and by the node.

    Parameters
    ----------
    like
        An object of the study: patient, study and order are its own.
    when
        It is written; told in the zone that `like` names, else in the machine's.
    profile
        Who this installation is.
    """
    ds.update(chosen(like, (*PATIENT, *STUDY, "ReferencedRequestSequence", "TimezoneOffsetFromUTC")))
    for keyword in _REQUIRED:
        if keyword not in ds:
            setattr(ds, keyword, "")
    ds.SpecificCharacterSet = "ISO_IR 192"
    if when.tzinfo is not None:
        when = when.astimezone(offset_from_utc(like))
    ds.InstanceCreationDate = ds.SeriesDate = ds.ContentDate = when.strftime("%Y%m%d")
    ds.InstanceCreationTime = ds.SeriesTime = ds.ContentTime = when.strftime("%H%M%S")
    made_by_node(ds, profile)


def _whose(ds: Dataset, provenance: Provenance) -> None:
    for keyword in (*PATIENT, *STUDY):
        if keyword in ds:
            delattr(ds, keyword)
    for element in provenance.patient_and_study:
        ds[element.tag] = element
    for keyword in _REQUIRED:
        if keyword not in ds:
            setattr(ds, keyword, "")
    if offset_from_utc(provenance.header) is not None:
        ds.TimezoneOffsetFromUTC = str(provenance.header.TimezoneOffsetFromUTC).strip()


def _when(ds: Dataset, provenance: Provenance) -> None:
    date, time = provenance.date, provenance.time
    ds.InstanceCreationDate, ds.InstanceCreationTime = date, time
    ds.SeriesDate, ds.SeriesTime = date, time
    for moment in ("Content", "PresentationCreation"):
        if f"{moment}Date" in ds or (moment == "Content" and str(ds.SOPClassUID) in _IMAGES):
            setattr(ds, f"{moment}Date", date)
            setattr(ds, f"{moment}Time", time)
    if "DateOfSecondaryCapture" in ds:
        ds.DateOfSecondaryCapture, ds.TimeOfSecondaryCapture = date, time


def _by_whom(ds: Dataset, provenance: Provenance) -> None:
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = provenance.model.name
    ds.SoftwareVersions = [software_version(), provenance.model.version]
    ds.DeviceSerialNumber = provenance.profile.device_serial_number
    if provenance.profile.institution:
        ds.InstitutionName = provenance.profile.institution
    ds.DeviceUID = provenance.device_uid
    # in place of highdicom's own items: who reads the sequence is to find the algorithms in it, not a library
    ds.ContributingEquipmentSequence = contributing_equipment(provenance)


def _for_which_order(ds: Dataset, provenance: Provenance, sop_class: str) -> None:
    if sop_class in _DOCUMENTS:
        if requests := referenced_requests(provenance):
            ds.ReferencedRequestSequence = requests
    elif requests := request_attributes(provenance):
        ds.RequestAttributesSequence = requests


def _dimensions(ds: Dataset, provenance: Provenance) -> None:
    """A name-based UID for the dimensions of a multi-frame object, where highdicom takes a random one."""
    for keyword in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in ds.get(keyword, []):
            item.DimensionOrganizationUID = provenance.uid("dimensions", str(ds.SOPInstanceUID))


def _flags(ds: Dataset, provenance: Provenance, sop_class: str) -> None:
    """The worst of all sources travels."""
    worst = provenance.flags
    if sop_class in _DOCUMENTS:
        return
    if sop_class in _IMAGES | _SEGMENTATIONS:
        ds.ContentQualification = "RESEARCH"
        for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if keyword in worst:
                ds[keyword] = worst[keyword]
    if "BurnedInAnnotation" not in ds and sop_class in {str(MRImageStorage)}:
        ds.BurnedInAnnotation = str(worst.get("BurnedInAnnotation") or "NO")
    if worst.get("SyntheticData") == "YES" and "SyntheticData" not in ds and sop_class in _IMAGES:
        ds.SyntheticData = "YES"


def _side(ds: Dataset, provenance: Provenance, sop_class: str, side: str) -> None:
    if "BodyPartExamined" not in ds and sop_class not in _DOCUMENTS | {str(EncapsulatedPDFStorage)}:
        body_part = provenance.body_part
        if body_part:
            ds.BodyPartExamined = body_part
    part = str(ds.get("BodyPartExamined") or "").upper()
    if sop_class not in _WITH_LATERALITY or part in _UNPAIRED:
        if "Laterality" in ds:
            del ds.Laterality
        return
    if side == "B" and sop_class in _IMAGES:  # PS3.3 C.7.3.1: both sides are the image's matter, not the series'
        ds.ImageLaterality = "B"
        if "Laterality" in ds:
            del ds.Laterality
    else:
        ds.Laterality = side if side in ("R", "L") else ""


def write(
    ds: Dataset,
    kind: Kind,
    folder: Path,
    filename: str,
    twin_of: str | None = None,
    order: int | None = None,
    tail: Iterable[bytes] = (),
    shared: SharedElements | None = None,
) -> EncodedObject:
    """Write `ds` as a Part 10 file in `folder` and say what was written.

    Parameters
    ----------
    ds
        A finished data set.
    kind
        What it is.
    folder
        Where the files go.
    filename
        Of the file in it; one of that name is replaced.
    twin_of
        SOPInstanceUID of the object that it stands in for, where it does.
    order
        Of sending, where it is not that of the kind.
    tail
        Encoded elements that come after those of `ds`.
    shared
        Elements that others have as well, and that `ds` therefore lacks.
    """
    names = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    sop_class, sop_instance, series, study = (
        str(ds[name].value if shared is None or name in ds else shared.ds[name].value) for name in names
    )
    content = encoded(ds) if shared is None else shared.encoded_with(ds)
    path = folder / filename
    written = write_part10(path, chain([meta_information(sop_class, sop_instance), content], tail))
    return EncodedObject(
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance,
        series_instance_uid=series,
        study_instance_uid=study,
        path=path,
        kind=kind,
        order=SENDING_ORDER[kind] if order is None else order,
        sha256=written.sha256,
        size=written.size,
        twin_of=twin_of,
    )
