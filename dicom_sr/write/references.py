"""Small stand-ins for referenced instances: what highdicom needs of them, and nothing that names the patient."""

from __future__ import annotations

from collections.abc import Iterator

from highdicom._standard_utils import (
    get_sop_class_iod_map,
    is_multiframe_image,  # decides by SOP class, as highdicom's own checks do
)
from pydicom.dataset import Dataset
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

from dicom_sr.findings import ImageReference
from dicom_sr.header_numbers import numbers_in, size_in
from dicom_sr.lawful import is_uid
from dicom_sr.provenance import Provenance
from dicom_sr.read.frames import number_of_frames
from dicom_sr.uids import uid

_WANTED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "TotalPixelMatrixRows",
    "TotalPixelMatrixColumns",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionIndexSequence",
    "DimensionOrganizationSequence",
)
_SIZES = {"PixelSpacing", "ImagerPixelSpacing"}
_NUMBERS = {
    "NumberOfFrames": 1,
    "SliceThickness": 1,
    "SpacingBetweenSlices": 1,
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
}
_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def stand_in(header: Dataset) -> Dataset:
    """A data set that refers to the same instance. `finish` writes patient and study into what is built on it.

    highdicom checks names, dates and the sex of what it copies and refuses what real archives hold.
    """
    ds = Dataset()
    ds.update({header[keyword].tag: header[keyword] for keyword in _WANTED if _usable(header, keyword)})
    if "ImagePositionPatient" in ds and number_of_frames(header) == 1:  # one place for many frames is none
        ds.FrameOfReferenceUID = frame_of_reference(header)
    for keyword in _EMPTY:
        setattr(ds, keyword, "")
    if is_unknown(header):  # `finish` puts it right
        several = MultiFrameTrueColorSecondaryCaptureImageStorage
        ds.pop("SOPClassUID", None)
        ds.SOPClassUID = several if number_of_frames(header) > 1 else SecondaryCaptureImageStorage
    return ds


def frame_of_reference(header: Dataset) -> str:
    """FrameOfReferenceUID of an image that has a place; one of its series' own where it has none that is a UID."""
    written = str(header.get("FrameOfReferenceUID") or "")
    return written if is_uid(written) else uid("2.25", "frame of reference", str(header.SeriesInstanceUID))


def _usable(header: Dataset, keyword: str) -> bool:
    """Whether an element holds what it should: highdicom counts on it wherever the element is there."""
    if keyword in _SIZES:
        return size_in(header, keyword) is not None
    if keyword in _NUMBERS:
        return numbers_in(header, keyword, _NUMBERS[keyword]) is not None
    if keyword == "FrameOfReferenceUID":
        return is_uid(str(header.get(keyword) or ""))
    return header.get(keyword) not in (None, "")


def stand_ins(provenance: Provenance) -> dict[str, Dataset]:
    """Stand-ins for all sources by SOPInstanceUID, in order."""
    return {str(header.SOPInstanceUID): stand_in(header) for header in provenance.headers}


def has_frames(image: Dataset) -> bool:
    """Whether the class of an image may have frames; of one that highdicom does not know, whether the image has."""
    if is_unknown(image):
        return number_of_frames(image) > 1
    return bool(is_multiframe_image(image))


def is_unknown(image: Dataset) -> bool:
    """Whether highdicom does not know the class: a retired or a private one."""
    return str(image.get("SOPClassUID") or "") not in get_sop_class_iod_map()


def true_classes(ds: Dataset, provenance: Provenance) -> None:
    """Put the class of each source image where `stand_in` has put another one, in every reference of `ds`."""
    others = {uid: header.SOPClassUID for uid, header in provenance.header_of.items() if is_unknown(header)}
    for item in _items(ds) if others else ():
        if item.get("ReferencedSOPInstanceUID") in others:
            item.ReferencedSOPClassUID = others[str(item.ReferencedSOPInstanceUID)]


def _items(ds: Dataset) -> Iterator[Dataset]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _items(item)


def frame_number(reference: ImageReference, image: Dataset) -> int | None:
    """ReferencedFrameNumber, where the SOP class of the image may have frames: some archives put several frames into
    classes that are of one, and to such a frame nothing may refer by number.
    """
    return reference.frame_number if has_frames(image) else None
