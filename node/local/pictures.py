"""Pictures (PNG, JPEG) of radiographs as DICOM, with nothing in it that a picture does not state."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from dicom_sr.decimal_string import decimal
from dicom_sr.errors import UnsuitableInput
from dicom_sr.uids import UUID_ROOT, uid
from node.files import file_name

FORMATS = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff"}  # by how a file begins
MODALITIES = ("DX",)  # what a picture can be said to be
NOT_STATED = (
    "The images were pictures ({formats}), not DICOM: patient, age, date, side, view and the size of a pixel are not "
    "known."
)
_LONGEST_START = max(map(len, FORMATS.values()))
# what Pillow raises for pictures that are cut off, not what they seem to be, or far too large
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    MemoryError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True)
class Picture:
    """A picture that was taken for a radiograph."""

    path: Path
    format: str  # PNG or JPEG
    sop_instance_uid: str


def picture_format(path: Path) -> str | None:
    """PNG or JPEG; None for any other file, and for one that cannot be read."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_LONGEST_START)
    except OSError:
        return None
    return next((name for name, mark in FORMATS.items() if start.startswith(mark)), None)


def write_radiograph(path: Path, folder: Path) -> tuple[Path, Picture]:
    """Write a picture as a Digital X-Ray Image for presentation.

    The same picture has the same UIDs wherever it lies, and is a study of its own: it does not say whose it is.
    Patient, date, side, view and anatomy are empty. There is no pixel spacing: the dots per inch of a picture are those
    of whoever saved it.

    Parameters
    ----------
    path
        The picture: grey, or in colour, of which the luminance is taken.
    folder
        Where the file goes.

    Raises
    ------
    UnsuitableInput
        If it cannot be read as a picture.
    """
    kind = picture_format(path)
    if kind is None:
        raise UnsuitableInput("is no picture: neither PNG nor JPEG")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnsuitableInput(f"cannot be read: {error.strerror}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            grey = _grey(path)
    except _UNREADABLE as error:
        raise UnsuitableInput("cannot be read: the picture is damaged, cut off, or larger than any film") from error
    ds = _header(hashlib.sha256(content).hexdigest(), kind)
    _put_pixels(ds, grey, kind, len(content))
    written = folder / f"{file_name(ds.SOPInstanceUID)}.dcm"
    ds.save_as(written, enforce_file_format=True)
    shutil.copystat(path, written)  # results of images without a date carry that of their files
    return written, Picture(path, kind, str(ds.SOPInstanceUID))


def _grey(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The picture (H, W), turned upright as its EXIF says."""
    with Image.open(path, formats=list(FORMATS)) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.mode.startswith("I"):  # PNG of 16 bits
            deep: NDArray[np.uint16] = np.clip(np.asarray(picture), 0, 2**16 - 1).astype(np.uint16)
            return deep
        grey: NDArray[np.uint8] = np.asarray(picture.convert("RGB").convert("L"), np.uint8)
        return grey


def _header(digest: str, kind: str) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = ds.PatientID = ds.PatientBirthDate = ds.PatientSex = ""
    ds.StudyInstanceUID = uid(UUID_ROOT, "picture", digest, "study")
    ds.SeriesInstanceUID = uid(UUID_ROOT, "picture", digest, "series")
    ds.SOPInstanceUID = uid(UUID_ROOT, "picture", digest, "instance")
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.StudyDate = ds.StudyTime = ds.StudyID = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "DX", 1, 1
    ds.Manufacturer = ds.BodyPartExamined = ds.PatientOrientation = ds.PositionerType = ds.DetectorType = ""
    ds.ContentDate = ds.ContentTime = ""
    ds.AcquisitionContextSequence, ds.AnatomicRegionSequence = [], []
    ds.ImageType, ds.PresentationIntentType = ["ORIGINAL", "PRIMARY", ""], "FOR PRESENTATION"
    ds.DerivationDescription = f"Made from a picture ({kind}) that was no DICOM; what it does not state is left out."
    ds.BurnedInAnnotation = "YES"  # nobody has looked: whoever passes it on should
    return ds


def _put_pixels(ds: Dataset, grey: NDArray[np.uint8] | NDArray[np.uint16], kind: str, size: int) -> None:
    bits = 8 * grey.dtype.itemsize
    ds.Rows, ds.Columns = grey.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelIntensityRelationshipSign, ds.PresentationLUTShape = 1, "IDENTITY"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.WindowCenter, ds.WindowWidth = decimal(2 ** (bits - 1)), decimal(2**bits)
    ds.LossyImageCompression = "01" if kind == "JPEG" else "00"
    if kind == "JPEG":
        ds.LossyImageCompressionMethod = "ISO_10918_1"
        ds.LossyImageCompressionRatio = decimal(grey.nbytes / size)
    ds.PixelData = grey.tobytes() + b"\0" * (grey.nbytes % 2)
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.preamble = b"\0" * 128
