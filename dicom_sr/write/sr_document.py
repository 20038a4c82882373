"""What all structured documents are made of: the document round a tree, content items, evidence, the observer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr import codes
from dicom_sr.codes import CodingScheme
from dicom_sr.profile import EncodedObject, Kind, ObjectFile
from dicom_sr.provenance import Provenance
from dicom_sr.read.headers import MANUFACTURER, coded
from dicom_sr.write.equipment import algorithm_uid, algorithms, manufacturer

_MODALITIES = {  # CID 29
    "MR": standard.DCM.MagneticResonance,
    "DX": standard.DCM.DigitalRadiography,
    "CR": standard.DCM.ComputedRadiography,
    "US": standard.DCM.Ultrasound,
    "CT": standard.DCM.ComputedTomography,
}
_NO_IMAGES: tuple[Kind, ...] = (
    *("report", "presentation_state", "key_objects", "document", "assessment", "rejection_note"),
)


def document(
    provenance: Provenance, kind: str, sop_class: str, content: Dataset, names: tuple[str, ...] = ()
) -> Dataset:
    """An SR document round `content`, its root content item (PS3.3 C.17.2 and C.17.3).

    highdicom's document classes copy the whole tree several times, which takes seconds for a tree of some hundred
    items; the tree itself is theirs.

    Parameters
    ----------
    provenance
        What all objects of the result share.
    kind
        Names the series: its UIDs and its number.
    sop_class
        SOPClassUID.
    content
        The root content item with its tree.
    names
        What tells its tree from that of the same result for another destination.
    """
    ds = Dataset()
    ds.update(content)
    # a report that may not refer to the derived series has another tree, so it is another report
    sources_only = not provenance.derived and bool(getattr(provenance.result, "derived", ()))
    what = (kind, *(("sources only",) if sources_only else ()), *provenance.limits_key, *names)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, provenance.uid(*what, "0")
    ds.SeriesInstanceUID, ds.SeriesNumber = provenance.uid(*what, "series"), provenance.series_number(kind)
    ds.Modality, ds.InstanceNumber = "SR", 1
    ds.ReferencedPerformedProcedureStepSequence, ds.PerformedProcedureCodeSequence = [], []
    # a machine's report is complete as far as it goes, and never verified
    ds.CompletionFlag, ds.VerificationFlag, ds.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    ds.ContentDate = ds.ContentTime = ""
    ds.CodingSchemeIdentificationSequence = scheme_items(provenance.coding_schemes, provenance.profile.institution)
    return ds


def evidence_items(instances: Iterable[Dataset]) -> list[Dataset]:
    """`instances` as CurrentRequestedProcedureEvidenceSequence (PS3.3 C.17.2)."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for ds in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = str(ds.SOPClassUID), str(ds.SOPInstanceUID)
        series = studies.setdefault(str(ds.StudyInstanceUID), {})
        series.setdefault(str(ds.SeriesInstanceUID), []).append(item)
    return [_study_item(uid, series) for uid, series in studies.items()]


def _study_item(study_instance_uid: str, series: dict[str, list[Dataset]]) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = []
    for series_instance_uid, instances in series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedSOPSequence = series_instance_uid, instances
        study.ReferencedSeriesSequence.append(item)
    return study


def scheme_items(schemes: Iterable[CodingScheme], institution: str) -> list[Dataset]:
    """Private schemes as the items of CodingSchemeIdentificationSequence (PS3.3 C.12.1.1.3)."""
    return [_scheme_item(scheme, institution) for scheme in schemes]


def _scheme_item(scheme: CodingScheme, institution: str) -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator, item.CodingSchemeUID = scheme.designator, scheme.uid
    item.CodingSchemeName, item.CodingSchemeVersion = scheme.name, scheme.version
    item.CodingSchemeResponsibleOrganization = institution or MANUFACTURER
    return item


def predecessor_items(predecessors: Iterable[EncodedObject]) -> list[Dataset]:
    """The reports that this one revises, as PredecessorDocumentsSequence (PS3.3 C.17.2)."""
    return evidence_items(references(predecessors))


def content_item(relationship: str, value_type: str, name: Code) -> Dataset:
    """A content item without its value (PS3.3 C.17.3).

    Parameters
    ----------
    relationship
        To the item above, e.g. CONTAINS.
    value_type
        E.g. NUM.
    name
        Concept name.
    """
    ds = Dataset()
    ds.RelationshipType, ds.ValueType, ds.ConceptNameCodeSequence = relationship, value_type, [coded(name)]
    return ds


def image_item(ds: Dataset, frame_number: int | None = None) -> Dataset:
    """An IMAGE content item under its container."""
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = str(ds.SOPClassUID), str(ds.SOPInstanceUID)
    if frame_number is not None:
        reference.ReferencedFrameNumber = frame_number
    item.ReferencedSOPSequence = [reference]
    return item


def composite_item(ds: Dataset) -> Dataset:
    """A COMPOSITE content item under its container: an instance that is no image."""
    item = image_item(ds)
    item.ValueType = "COMPOSITE"
    return item


def object_item(ds: Dataset, kind: Kind | None) -> Dataset:
    """An IMAGE or COMPOSITE content item under its container, as the kind of the object wants it."""
    return composite_item(ds) if kind in _NO_IMAGES else image_item(ds)


def text_item(name: Code, text: str) -> Dataset:
    """A TEXT content item under its container."""
    ds = content_item("CONTAINS", "TEXT", name)
    ds.TextValue = text
    return ds


def container(name: Code, items: Iterable[Dataset]) -> Dataset:
    """A CONTAINER content item under its container."""
    ds = content_item("CONTAINS", "CONTAINER", name)
    ds.ContinuityOfContent = "SEPARATE"
    ds.ContentSequence = list(items)
    return ds


def template(identifier: str) -> Dataset:
    """An item of ContentTemplateSequence: a template of DICOM's own."""
    item = Dataset()
    item.MappingResource, item.TemplateIdentifier = "DCMR", identifier
    return item


def image_library(instances: Iterable[Dataset]) -> Dataset:
    """TID 1600, one group a series, with what its images have in common; OHIF needs a library to show any shape."""
    series: dict[str, list[Dataset]] = {}
    for ds in instances:
        series.setdefault(str(ds.SeriesInstanceUID), []).append(ds)
    return container(standard.DCM.ImageLibrary, [_library_group(group) for group in series.values()])


def _library_group(instances: list[Dataset]) -> Dataset:
    modality = content_item("HAS ACQ CONTEXT", "CODE", standard.DCM.Modality)
    modality.ConceptCodeSequence = [coded(_MODALITIES.get(_modality(instances[0]), standard.DCM.OtherModality))]
    items = [modality]
    items += [image_item(ds) for ds in instances]
    return container(standard.DCM.ImageLibraryGroup, items)


def _modality(image: Dataset) -> str:
    return str(image.get("Modality") or "")


def observer_items(provenance: Provenance) -> list[Dataset]:
    """The algorithm as the observer (TID 1002, 1004), by the same values as among the contributing equipment."""
    algorithm = algorithms(provenance)[0]
    items = device_items(algorithm_uid(provenance, algorithm))
    for name, value in (
        (standard.DCM.DeviceObserverName, algorithm.name),
        (standard.DCM.DeviceObserverManufacturer, manufacturer(algorithm)),
        (standard.DCM.DeviceObserverModelName, algorithm.name),
        (standard.DCM.DeviceObserverSerialNumber, provenance.profile.device_serial_number),
    ):
        item = content_item("HAS OBS CONTEXT", "TEXT", name)
        item.TextValue = value
        items.append(item)
    return items


def device_items(device_uid: str) -> list[Dataset]:
    """A device as the observer, by its UID."""
    kind = content_item("HAS OBS CONTEXT", "CODE", standard.DCM.ObserverType)
    kind.ConceptCodeSequence = [coded(standard.DCM.Device)]
    device = content_item("HAS OBS CONTEXT", "UIDREF", standard.DCM.DeviceObserverUID)
    device.UID = device_uid
    return [kind, device]


# ---- the other objects of the result
def references(objects: Iterable[ObjectFile]) -> list[Dataset]:
    """What refers to written objects, as `evidence_items` takes it."""
    instances = []
    for one in objects:
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = one.sop_class_uid, one.sop_instance_uid
        ds.SeriesInstanceUID, ds.StudyInstanceUID = one.series_instance_uid, one.study_instance_uid
        instances.append(ds)
    return instances


def result_objects(others: Sequence[EncodedObject]) -> list[Dataset]:
    """A container with a reference to each of the other objects of the result; nothing where there are none.

    A label map that has a binary twin is named in the evidence only: DCMTK before 3.6.9 does not know its class, and
    reads no report that refers to an image of a class that it does not know.
    """
    twins = {one.kind for one in others} >= {"segmentation_binary", "segmentation_labelmap"}
    shown = [one for one in others if not (twins and one.kind == "segmentation_labelmap")]
    pairs = zip(shown, references(shown), strict=True)
    items = [object_item(ds, one.kind) for one, ds in pairs]
    return [container(codes.RESULT_OBJECTS, items)] if items else []


def names_of(others: Iterable[EncodedObject]) -> tuple[str, ...]:
    """What names a report that refers to these objects, or revises them: with others it is another report."""
    uids = "\n".join(sorted(one.sop_instance_uid for one in others))
    return (hashlib.sha256(uids.encode()).hexdigest(),) if uids else ()
