"""Series of an oblique body whose place is known by formula, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation, MRImageStorage

from dicom_sr import phantoms
from dicom_sr.decimal_string import decimal
from dicom_sr.findings import Volume
from dicom_sr.uids import uid
from pipelines.monai_bundle import phantom


def write_body(
    folder: Path,
    modality: str = "CT",
    *,
    number: int = 3,
    description: str = "ABDOMEN",
    numbered_backwards: bool = False,
    volume: Volume | None = None,
    study: str = "body",
) -> tuple[list[Path], NDArray[np.bool_]]:
    """A series of the body of `pipelines.monai_bundle.phantom`, and its mask (D, H, W) in ascending place.

    Parameters
    ----------
    folder
        Where the files go.
    modality
        CT or MR.
    number, description
        Of the series.
    numbered_backwards
        Whether InstanceNumber runs against the normal of the slices.
    volume
        In place of the body.
    study
        What its UID is made from.
    """
    whole, mask = phantom.body()
    volume = volume or whole
    header = phantoms.study_header(phantoms.Person(), study, "SIMULATED ABDOMEN")
    series = phantoms.series_header(header, modality, number, description, "ABDOMEN", "R")
    del series.Laterality  # no paired part
    series.FrameOfReferenceUID = uid("2.25", "phantom", str(header.StudyInstanceUID), "frame of reference")
    series.PositionReferenceIndicator, series.PatientPosition = "", "HFS"
    series.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if modality == "CT" else ["ORIGINAL", "PRIMARY", "M", "SE"]
    if modality == "CT":
        series.KVP, series.RescaleType = "120", "HU"
    else:
        series.ScanningSequence, series.SequenceVariant, series.ScanOptions = "SE", "NONE", ""
        series.MRAcquisitionType, series.RepetitionTime, series.EchoTime, series.EchoTrainLength = (
            "2D",
            "500",
            "10",
            "1",
        )
    series.RescaleIntercept, series.RescaleSlope = "-1024", "1"
    affine = volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    series.SliceThickness, series.PixelSpacing = decimal(spacing[0]), [decimal(spacing[1]), decimal(spacing[2])]
    cosines = [*(affine[:3, 2] / spacing[2]), *(affine[:3, 1] / spacing[1])]
    series.ImageOrientationPatient = [decimal(one) for one in cosines]
    paths = []
    count = len(volume.array)
    for index in range(count):
        instance_number = count - index if numbered_backwards else index + 1
        stored = np.rint(volume.array[index] + 1024).astype(np.uint16)
        ds = _instance(series, CTImageStorage if modality == "CT" else MRImageStorage, instance_number, stored)
        ds.ImagePositionPatient = [decimal(one) for one in affine[:3, 3] + index * affine[:3, 0]]
        ds.AcquisitionNumber = 1
        paths.append(phantoms.write_instance(ds, folder, f"{modality.lower()}-{number}-{instance_number:04d}.dcm"))
    return paths, mask


def write_radiograph(folder: Path, pixels: NDArray[np.uint16]) -> Path:
    """A radiograph with these pixels (H, W), 12 bits."""
    header = phantoms.study_header(phantoms.Person(), "film", "SIMULATED WRIST")
    series = phantoms.series_header(header, "DX", 2, "WRIST", "WRIST", "R")
    series.ImageLaterality, series.ImageType = "R", ["ORIGINAL", "PRIMARY", ""]
    ds = _instance(series, DigitalXRayImageStorageForPresentation, 1, pixels)
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationIntentType, ds.PresentationLUTShape, ds.LossyImageCompression = "FOR PRESENTATION", "IDENTITY", "00"
    ds.ImagerPixelSpacing, ds.BurnedInAnnotation = ["0.2", "0.2"], "NO"
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    return phantoms.write_instance(ds, folder, "dx.dcm")


def _instance(series: Dataset, sop_class: str, number: int, pixels: NDArray[np.uint16]) -> Dataset:
    ds = Dataset()
    ds.update(series)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = uid("2.25", "phantom", str(series.SeriesInstanceUID), "instance", str(number))
    ds.InstanceNumber = number
    ds.ContentDate = ds.AcquisitionDate = ds.StudyDate
    ds.ContentTime = ds.AcquisitionTime = ds.StudyTime
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    return ds
