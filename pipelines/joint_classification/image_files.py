"""Ultrasound pictures and HR-pQCT scans in files that are no DICOM series of a study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference
from dicom_sr.read.pixels import Picture, pictures
from dicom_sr.read.stacks import read_volume
from dicom_sr.series import read_studies
from pipelines.joint_classification import scanco
from pipelines.joint_classification.ultrasound import windows

Array = NDArray[np.float32]

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SCANCO = (".aim", ".isq", ".aim;1", ".isq;1")
DICOM = (".dcm", ".ima")
NO_PICTURE = (UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError)  # raised by Pillow
VOLUMES = (*SCANCO, ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")


def image_files(folder: Path, dimensions: int) -> list[Path]:
    """The pictures (2) or scans (3) below a folder, in the order of their names.

    A folder with DICOM files in it is one scan; single files are known by the end of their names.

    Raises
    ------
    UnsuitableInput
        If there is none.
    """
    names = (*PICTURES, *DICOM) if dimensions == 2 else VOLUMES
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [path for path in files if path.name.lower().endswith(names)]
    if dimensions == 3:
        found = sorted({*found, *(path.parent for path in files if path.name.lower().endswith(DICOM))})
    if not found:
        what = "ultrasound picture" if dimensions == 2 else "HR-pQCT scan"
        raise UnsuitableInput(f"{folder.name}: holds no {what}; known are {', '.join((*names, *DICOM[:1]))}")
    return found


def read_picture(path: Path, width_mm: float = float("nan")) -> Array:
    """An ultrasound picture, (H, W) in 0..1, as the node would cut it out; of a cine, the frame in the middle.

    Parameters
    ----------
    path
        A picture, or a DICOM file.
    width_mm
        Of the ultrasound picture, for files that do not say how large a pixel is; NaN: not known.

    Raises
    ------
    UnsuitableInput
        If the file cannot be read, or its scale is not known.
    """
    if path.suffix.lower() in PICTURES:
        try:
            rgb = np.asarray(Image.open(path).convert("RGB"))
        except NO_PICTURE:
            raise UnsuitableInput("is no picture") from None
        found = [Picture(ImageReference("1"), rgb, "", None, "none")]
    else:
        (study,) = read_studies([path])
        found = list(pictures(study.series[0]))
    return np.asarray(windows(found[len(found) // 2], None if np.isnan(width_mm) else width_mm)[0], np.float32)


def read_scan(path: Path) -> tuple[Array, tuple[float, float, float]]:
    """An HR-pQCT scan, (D, H, W) with D along the bone, and its spacing in mm: DICOM (a folder or a multi-frame file),
    Scanco AIM or ISQ, NIfTI, MetaImage or NRRD.

    Raises
    ------
    UnsuitableInput
        If it cannot be read.
    """
    name = path.name.lower()
    if path.is_dir() or name.endswith(DICOM):
        files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
        studies = read_studies(files)
        if len(studies) != 1 or len(studies[0].series) != 1:
            raise UnsuitableInput("one DICOM series is expected")
        volume = read_volume(studies[0].series[0])
        return np.asarray(volume.array, np.float32), volume.spacing_mm
    if name.endswith(SCANCO):
        scan = scanco.read(path)
        return scan.array, scan.spacing_mm
    try:
        image = SimpleITK.ReadImage(str(path), SimpleITK.sitkFloat32)
    except RuntimeError:  # with pages of where in ITK
        raise UnsuitableInput("is no volume that can be read") from None
    if image.GetDimension() != 3:
        raise UnsuitableInput("is not a volume")
    x, y, z = image.GetSpacing()
    return np.asarray(SimpleITK.GetArrayFromImage(image), np.float32), (z, y, x)
