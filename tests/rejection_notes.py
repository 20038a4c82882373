"""Rejection notes as another system makes them, written out element by element."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage, generate_uid

from dicom_sr.rejection_reasons import RejectionReason


def rejection_note(images: Sequence[Dataset], reason: RejectionReason | str, **own: str) -> Dataset:
    """A Key Object Selection Document in the study of the first image; `own` are elements that it has otherwise."""
    first = images[0]
    note = Dataset()
    note.file_meta = FileMetaDataset()
    note.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    note.SOPClassUID, note.SOPInstanceUID = KeyObjectSelectionDocumentStorage, generate_uid()
    note.file_meta.MediaStorageSOPClassUID = note.SOPClassUID
    note.file_meta.MediaStorageSOPInstanceUID = note.SOPInstanceUID
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID"):
        setattr(note, keyword, first.get(keyword, ""))
    note.SeriesInstanceUID, note.Modality, note.InstanceNumber = generate_uid(), "KO", 1
    note.Manufacturer = "Somebody else"
    note.ValueType = "CONTAINER"
    note.ConceptNameCodeSequence = [_code(reason)]
    note.CurrentRequestedProcedureEvidenceSequence = _evidence(images)
    note.ContentSequence = [_item(image) for image in images]
    for keyword, value in own.items():
        setattr(note, keyword, value)
    return note


def _code(value: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = str(value), "DCM", "as it says"
    return code


def _reference(image: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return reference


def _item(image: Dataset) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    item.ReferencedSOPSequence = [_reference(image)]
    return item


def _evidence(images: Sequence[Dataset]) -> list[Dataset]:
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for image in images:
        of_study = studies.setdefault(str(image.StudyInstanceUID), {})
        of_study.setdefault(str(image.SeriesInstanceUID), []).append(_reference(image))
    found = []
    for study, of_study in studies.items():
        entry = Dataset()
        entry.StudyInstanceUID, entry.ReferencedSeriesSequence = study, []
        for series, references in of_study.items():
            one = Dataset()
            one.SeriesInstanceUID, one.ReferencedSOPSequence = series, references
            entry.ReferencedSeriesSequence.append(one)
        found.append(entry)
    return found


def image(number: int, study: str = "1.2.3", series: str = "1.2.3.4") -> Dataset:
    """What a note needs of an image."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", f"{series}.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    return ds
