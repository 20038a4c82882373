"""A folder of real cases with a table of labels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference
from dicom_sr.read.pixels import Picture, pictures
from dicom_sr.read.stacks import read_volume
from dicom_sr.series import read_studies
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.prepare import Inputs, prepare
from pipelines.joint_classification.training import scanco
from pipelines.joint_classification.training.cohort import Cohort
from pipelines.joint_classification.ultrasound import windows
from pipelines.joint_classification.volume import cut_head

Array = NDArray[np.float32]

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SCANCO = (".aim", ".isq", ".aim;1", ".isq;1")
LABELS = (*CLASSES, "unknown")


# ---- real cases
def read_folder(folder: Path, dimensions: int, inputs: Inputs = "grey") -> Cohort:
    """The cases of a folder with ``labels.csv``, as the network sees them, in the order of the table.

    Parameters
    ----------
    folder
        With the table and the files that it names.
    dimensions
        2 for images, 3 for volumes.
    inputs
        What a volume holds: grey values, bone mask or their product.

    Raises
    ------
    UnsuitableInput
        Naming the file and what is wrong with it.
    """
    rows = read_labels(folder)
    if not rows:
        raise UnsuitableInput(f"{folder / 'labels.csv'}: has no rows")
    images = [_read_case(folder, row, dimensions, inputs) for row in rows]
    known: dict[str, int] = {name: number for number, name in enumerate(CLASSES)}
    return Cohort(
        np.stack(images)[:, None],
        np.array([known.get(row["label"], -1) for row in rows]),
        np.unique([row["patient"] for row in rows], return_inverse=True)[1].astype(np.int64),
        np.array([_number(row.get("age")) for row in rows]),
        np.array([{"F": 1.0, "M": 0.0}.get((row.get("sex") or "").strip().upper(), np.nan) for row in rows]),
        np.full(len(rows), np.nan),
        np.zeros((len(rows), *images[0].shape), bool),
        tuple("" if row["label"] in known else "unknown" for row in rows),
    )


def _read_case(folder: Path, row: dict[str, str], dimensions: int, inputs: Inputs) -> Array:
    path = folder / row["file"]
    try:
        if dimensions == 2:
            return prepare(read_picture(path, _number(row.get("width_mm"))))
        array, spacing_mm = read_scan(path)
        return prepare(cut_head(array, spacing_mm).density, inputs)
    except (UnsuitableInput, OSError, RuntimeError) as error:
        raise UnsuitableInput(f"{row['file']}: {error}") from error


def _number(text: str | None) -> float:
    """A number, NaN where there is none."""
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def read_picture(path: Path, width_mm: float = float("nan")) -> Array:
    """An ultrasound picture, (H, W) in 0..1, as the node would cut it out; of a cine, the frame in the middle.

    Parameters
    ----------
    width_mm
        Of the ultrasound picture, for files that do not say how large a pixel is; NaN: not known.

    Raises
    ------
    UnsuitableInput
        If the file cannot be read, or its scale is not known.
    """
    if path.suffix.lower() in PICTURES:
        rgb = np.asarray(Image.open(path).convert("RGB"))
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
    if path.is_dir() or name.endswith((".dcm", ".ima")):
        files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
        studies = read_studies(files)
        if len(studies) != 1 or len(studies[0].series) != 1:
            raise UnsuitableInput("one DICOM series is expected")
        volume = read_volume(studies[0].series[0])
        return np.asarray(volume.array, np.float32), volume.spacing_mm
    if name.endswith(SCANCO):
        scan = scanco.read(path)
        return scan.array, scan.spacing_mm
    image = SimpleITK.ReadImage(str(path), SimpleITK.sitkFloat32)
    if image.GetDimension() != 3:
        raise UnsuitableInput("is not a volume")
    x, y, z = image.GetSpacing()
    return np.asarray(SimpleITK.GetArrayFromImage(image), np.float32), (z, y, x)


def read_labels(folder: Path) -> list[dict[str, str]]:
    """The rows of ``labels.csv``.

    Raises
    ------
    UnsuitableInput
        Naming the file, the line and what would be right.
    """
    table = folder / "labels.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UnsuitableInput(f"{table}: cannot be read: {error.strerror}") from error
    for line, row in enumerate(rows, start=2):
        for column in ("file", "patient", "label"):
            if not (row.get(column) or "").strip():
                raise UnsuitableInput(f"{table}, line {line}: column {column!r} is missing or empty")
        if row["label"] not in LABELS:
            raise UnsuitableInput(f"{table}, line {line}: label {row['label']!r} is not one of {', '.join(LABELS)}")
        if not (folder / row["file"]).exists():
            raise UnsuitableInput(f"{table}, line {line}: there is no file {row['file']}")
    return rows
