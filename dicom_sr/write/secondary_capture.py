"""Secondary Capture images: the pages of a result, which every viewer shows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from dicom_sr import codes
from dicom_sr.capture.pages import Imprint, draw_page, pages
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance
from dicom_sr.read.headers import coded
from dicom_sr.write.finish import finish, write


def encode_capture(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """The result's pages, one instance each, in one series."""
    objects = []
    for index, page in enumerate(pages(provenance.result)):
        ds = _secondary_capture(provenance, index, np.asarray(draw_page(page, imprint(provenance))))
        objects.append(write(ds, "secondary_capture", folder, f"capture-{index + 1}.dcm"))
    return tuple(objects)


def imprint(provenance: Provenance) -> Imprint:
    """What the pages of a result say about where it comes from."""
    model = provenance.model
    origin = f"{model.name} {model.version}  ·  {provenance.readable_date}  ·  study {study_label(provenance)}"
    trained_on = model.trained_on.strip().rstrip(".")
    notes = [f"{trained_on[:1].upper()}{trained_on[1:]}."] if trained_on else []
    return Imprint(origin, provenance.profile.institution, (*notes, *provenance.limits))


def study_label(provenance: Provenance) -> str:
    """A short name for the study that tells nothing about the patient."""
    return hashlib.sha256(provenance.study_instance_uid.encode()).hexdigest()[:6].upper()


def _secondary_capture(provenance: Provenance, index: int, pixels: NDArray[np.uint8]) -> Dataset:
    """One page as a Secondary Capture image, RGB (H, W, 3)."""
    ds = Dataset()
    ds.SOPClassUID, ds.Modality = SecondaryCaptureImageStorage, "OT"
    ds.SOPInstanceUID = provenance.uid("secondary_capture", str(index), *provenance.limits_key)
    ds.SeriesInstanceUID = provenance.uid("secondary_capture", "series")
    ds.SeriesNumber, ds.InstanceNumber = provenance.series_number("secondary_capture"), index + 1
    ds.ConversionType, ds.ImageType = "WSD", ["DERIVED", "SECONDARY"]
    ds.DateOfSecondaryCapture = ds.TimeOfSecondaryCapture = ""
    ds.ContentDate = ds.ContentTime = ""
    ds.PatientOrientation = ""  # a montage has none
    ds.BurnedInAnnotation, ds.RecognizableVisualFeatures = "YES", "NO"
    ds.DerivationDescription = f"{provenance.result.title}, {provenance.model.name} {provenance.model.version}"[:1024]
    if provenance.headers:
        ds.SourceImageSequence = [_source_item(header) for header in provenance.headers]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    if "LossyImageCompression" not in provenance.flags:
        ds.LossyImageCompression = "00"
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    ds["PixelData"].VR = "OB"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return finish(ds, provenance, "capture")


def _source_item(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = str(header.SOPClassUID), str(header.SOPInstanceUID)
    item.SpatialLocationsPreserved = "NO"
    item.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_IMAGE_FOR_PROCESSING)]
    return item
