"""Cases to learn from and be judged by: simulated, or a folder of real ones with a table of labels.

A folder holds ``labels.csv`` with the columns ``file, patient, label`` and, where known, ``age, sex, width_mm``, and
the files it names. Ultrasound: DICOM, PNG, JPEG or TIFF. HR-pQCT: DICOM, Scanco AIM or ISQ (with or without a version
number, as ``;1``), NIfTI, MetaImage or NRRD. The label is healthy, ra, psa, or unknown for what is to be refused;
``width_mm`` is that of an ultrasound picture whose file does not say how large a pixel is.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import ImageReference
from dicom_sr.read.pixels import Picture, UltrasoundRegion, pictures
from dicom_sr.read.stacks import read_volume
from dicom_sr.series import read_studies
from pipelines.joint_classification.simulation import CLASSES, Case
from pipelines.joint_classification.simulation.metacarpal import bone_mask
from pipelines.joint_classification.simulation.screen import show
from pipelines.joint_classification.training import scanco
from pipelines.joint_classification.ultrasound import windows
from pipelines.joint_classification.volume import cut_head

SIZE_2D = (96, 160)  # (H, W) of what the network sees: the upper three quarters; below is the shadow of bone
FIELD_2D = (128, 160)  # of an image as it comes
SIZE_3D = (24, 32, 32)  # (D, H, W): voxels of about half a millimetre
SOFTEST_PX = 0.7  # standard deviation of the blur of a screen that was resampled
GRAIN = 0.012  # standard deviation of its noise
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SCANCO = (".aim", ".isq", ".aim;1", ".isq;1")
LABELS = (*CLASSES, "unknown")

Inputs = Literal["grey", "mask", "product"]
INPUTS: dict[str, Inputs] = {"grey": "grey", "mask": "mask", "product": "product"}
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Cohort:
    """Cases as arrays, one row each."""

    images: Array  # (N, 1, *size), normalised as the network sees them
    labels: NDArray[np.int64]  # (N,) index into CLASSES; -1 unknown
    patients: NDArray[np.int64]  # (N,)
    ages: NDArray[np.float64]  # (N,) years, NaN where not known
    female: NDArray[np.float64]  # (N,) 1, 0, NaN where not known
    severity: NDArray[np.float64]  # (N,) NaN where not known
    lesions: NDArray[np.bool_]  # (N, *size); all False where not known
    kinds: tuple[str, ...] = ()  # of the unknowns

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Cohort:
        """The cases at `index`, in that order."""
        kinds = tuple(np.array(self.kinds)[index]) if self.kinds else ()
        return Cohort(
            self.images[index],
            self.labels[index],
            self.patients[index],
            self.ages[index],
            self.female[index],
            self.severity[index],
            self.lesions[index],
            kinds,
        )


def cohort(cases: Sequence[Case], inputs: Inputs = "grey") -> Cohort:
    """Simulated cases as the network sees them."""
    return Cohort(
        np.stack([prepare(case.image, inputs) for case in cases])[:, None],
        np.array([CLASSES.index(case.condition) if case.condition else -1 for case in cases]),
        np.array([case.patient for case in cases]),
        np.array([case.age_years for case in cases]),
        np.array([float(case.female) for case in cases]),
        np.array([case.severity for case in cases]),
        np.stack([fitted(case.lesion) for case in cases]),
        tuple(case.kind for case in cases),
    )


def joined(one: Cohort, other: Cohort) -> Cohort:
    """Both, one after the other; patients keep their numbers."""
    return Cohort(
        np.concatenate([one.images, other.images]),
        np.concatenate([one.labels, other.labels]),
        np.concatenate([one.patients, other.patients]),
        np.concatenate([one.ages, other.ages]),
        np.concatenate([one.female, other.female]),
        np.concatenate([one.severity, other.severity]),
        np.concatenate([one.lesions, other.lesions]),
        one.kinds + other.kinds,
    )


def unit(image: Array) -> Array:
    """To 0..1, whatever the range was."""
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / max(high - low, 1e-6), np.float32)


def on_screen(cases: Sequence[Case], seed: int, share: float = 0.0) -> list[Case]:
    """The same pictures softer, a little noisy and in 256 steps, as scanners store them.

    Parameters
    ----------
    share
        Of the pictures, to be drawn on a scanner's screen, with writing and rulers, and read from it again as the node
        does. Where the lesion lies is not known of these any more.
    """
    rng = np.random.default_rng([seed, 8])
    shown = []
    for case in cases:
        if rng.random() < share:
            empty = np.zeros_like(case.lesion)
            shown.append(replace(case, image=_read_again(case.image, float(rng.uniform(0.045, 0.075))), lesion=empty))
            continue
        soft = ndimage.gaussian_filter(case.image, rng.uniform(0.0, SOFTEST_PX))
        grainy = soft + rng.normal(0.0, rng.uniform(0.0, GRAIN), soft.shape)
        steps = np.round(np.clip(grainy, 0, 1) * 255) / 255
        shown.append(replace(case, image=np.asarray(steps, np.float32)))
    return shown


def _read_again(image: Array, pixel_mm: float) -> Array:
    """What the node makes of a picture on a scanner's screen."""
    screen = show(image, pixel_mm=pixel_mm)
    region = UltrasoundRegion(screen.box, (pixel_mm, pixel_mm), 1)
    picture = Picture(ImageReference("1"), screen.pixels, "", None, "none", regions=(region,))
    return np.asarray(windows(picture)[0], np.float32)


def prepare(image: NDArray[np.generic], inputs: Inputs = "grey") -> Array:
    """An image (H, W) or volume (D, H, W) as the network sees it.

    Parameters
    ----------
    inputs
        Of a volume: its grey values, the mask of the bone's envelope, or their product (the paper's inputs #1, #2 and
        #3). Of an image: grey values.
    """
    if image.ndim == 2:
        return normalise(resize(np.asarray(image, np.float32), FIELD_2D)[: SIZE_2D[0]], SIZE_2D)
    grey = resize(np.asarray(image, np.float32), SIZE_3D)
    if inputs == "grey":
        return normalise(grey, SIZE_3D)
    mask = bone_mask(grey).astype(np.float32)
    return normalise(mask if inputs == "mask" else mask * grey, SIZE_3D)


def fitted(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask on the grid that `prepare` brings its image to."""
    if mask.ndim == 2:
        return np.asarray(resize(mask.astype(np.float32), FIELD_2D)[: SIZE_2D[0]] > 0.3)
    return np.asarray(resize(mask.astype(np.float32), SIZE_3D) > 0.3)


def spread_over(heat: Array, shape: Sequence[int]) -> Array:
    """A map on the grid that `prepare` made, back on an image of `shape`; 0 where the network saw nothing."""
    if heat.ndim == 2:
        whole = np.zeros(FIELD_2D, np.float32)
        whole[: SIZE_2D[0]] = heat
        heat = whole
    return np.clip(resize(heat, shape), 0, 1)


def normalise(image: NDArray[np.generic], size: Sequence[int]) -> Array:
    """Bring an image to `size` and to mean 0, standard deviation 1 of itself.

    Only the input's own statistics are used: gain and dynamic range of the scanner drop out.
    """
    sized = resize(np.asarray(image, np.float32), size)
    deviation = float(sized.std())
    return np.asarray((sized - sized.mean()) / max(deviation, 1e-4), np.float32)


def resize(image: Array, size: Sequence[int]) -> Array:
    """Linear resampling with the corners of the field of view kept; smoothed first where it shrinks."""
    if image.shape == tuple(size):
        return image
    factors = [after / before for before, after in zip(image.shape, size, strict=True)]
    smooth = ndimage.gaussian_filter(image, [max(0.0, 0.4 * (1 / factor - 1)) for factor in factors])
    sized = ndimage.zoom(smooth, factors, order=1, mode="nearest", grid_mode=True)
    return np.asarray(sized, np.float32)


def folds(patients: NDArray[np.int64], number: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """`number` pairs of training and test indices; a patient is on one side only."""
    unique = np.unique(patients)
    np.random.default_rng(seed).shuffle(unique)
    parts = np.array_split(unique, number)
    return [(np.flatnonzero(~np.isin(patients, part)), np.flatnonzero(np.isin(patients, part))) for part in parts]


# ---- real cases
def read_folder(folder: Path, dimensions: int, inputs: Inputs = "grey") -> Cohort:
    """The cases of a folder with ``labels.csv``, as the network sees them; one row each, in the table's order.

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
