"""The layout ``labels``: a folder of a site's own cases with a table, ``labels.csv``, that says what each file shows.

One row a picture or scan, in UTF-8, separated by commas, with a heading. Columns that it does not know are left out.

| column | |
| --- | --- |
| `file` | name of the file, or of a folder of DICOM slices, relative to the table |
| `patient` | whatever tells patients apart; all rows of a patient stay on one side of every split |
| `label` | `healthy`, `ra`, `psa`; `unknown` for what is none of them, from which "none of these" is learned |
| `age` | years; may be empty |
| `sex` | F or M; may be empty |
| `width_mm` | of an ultrasound picture that does not say how large a pixel is; may be empty elsewhere |
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.image_files import read_picture, read_scan
from pipelines.joint_classification.prepare import Inputs, prepare
from pipelines.joint_classification.training.cohort import Cohort
from pipelines.joint_classification.volume import cut_head
from pipelines.lab.training_data import digest_of

Array = NDArray[np.float32]

TABLE = "labels.csv"
NEEDED, OPTIONAL = ("file", "patient", "label"), ("age", "sex", "width_mm")
LABELS = (*CLASSES, "unknown")
UNKNOWN = float("nan")


@dataclass(frozen=True)
class LabelledFile:
    """A row of the table."""

    file: str  # relative to the table
    patient: str
    label: str  # one of `LABELS`
    age_years: float  # NaN where not known
    female: float  # 1, 0, NaN where not known
    width_mm: float  # NaN where not known


def read_labels(folder: Path) -> list[LabelledFile]:
    """The rows of the table.

    Raises
    ------
    UnsuitableInput
        Naming the line and what would be right.
    """
    table = folder / TABLE
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except FileNotFoundError:
        raise UnsuitableInput(
            f"{folder}: has no {TABLE}; the layout `labels` is a folder with that table, a row for each file, with the"
            f" columns {', '.join(NEEDED)} and, where they are known, {', '.join(OPTIONAL)}"
        ) from None
    except OSError as error:
        raise UnsuitableInput(f"{table}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UnsuitableInput(f"{table}: is not in UTF-8; store it again as `CSV UTF-8`") from None
    if missing := [name for name in NEEDED if name not in (reader.fieldnames or ())]:
        raise UnsuitableInput(
            f"{table}: has no column {', '.join(missing)}; the heading should hold {', '.join(NEEDED)}, separated by"
            " commas"
        )
    if not rows:
        raise UnsuitableInput(f"{table}: has no rows")
    found: list[LabelledFile] = []
    lines: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        try:
            found.append(_labelled(folder, row))
        except ValueError as error:
            raise UnsuitableInput(f"{table}, line {line}: {error}") from None
        first = lines.setdefault(found[-1].file, line)
        if first != line:
            raise UnsuitableInput(
                f"{table}, line {line}: {found[-1].file} stands on line {first} too; keep one of them"
            )
    return found


def _labelled(folder: Path, row: dict[str, str | None]) -> LabelledFile:
    given = {name: (row.get(name) or "").strip() for name in (*NEEDED, *OPTIONAL)}
    if empty := [name for name in NEEDED if not given[name]]:
        raise ValueError(f"column {empty[0]!r} is empty")
    label, sex = given["label"].lower(), given["sex"].upper()
    if label not in LABELS:
        raise ValueError(f"label {given['label']!r} is not one of {', '.join(LABELS)}")
    if sex not in ("F", "M", ""):
        raise ValueError(f"sex {given['sex']!r} is neither F nor M, nor empty")
    if not (folder / given["file"]).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{given['file']} lies outside the folder; name it relative to the table")
    if not (folder / given["file"]).exists():
        raise ValueError(f"there is no file {given['file']}")
    age, width = (_number(name, given[name]) for name in ("age", "width_mm"))
    return LabelledFile(given["file"], given["patient"], label, age, {"F": 1.0, "M": 0.0}.get(sex, UNKNOWN), width)


def _number(name: str, text: str) -> float:
    """A number above 0; NaN where there is none."""
    if not text:
        return UNKNOWN
    try:
        value = float(text)
    except ValueError:
        value = UNKNOWN
    if not 0 < value < np.inf:
        raise ValueError(f"{name} {text!r} is no number above 0; a point separates decimals")
    return value


def read_folder(folder: Path, dimensions: int, inputs: Inputs = "grey") -> Cohort:
    """The cases of a folder, as the network sees them, in the order of the table.

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
    images = [_read_case(folder, row, dimensions, inputs) for row in rows]
    known: dict[str, int] = {name: number for number, name in enumerate(CLASSES)}
    return Cohort(
        np.stack(images)[:, None],
        np.array([known.get(row.label, -1) for row in rows]),
        np.unique([row.patient for row in rows], return_inverse=True)[1].astype(np.int64),
        np.array([row.age_years for row in rows]),
        np.array([row.female for row in rows]),
        np.full(len(rows), np.nan),
        np.zeros((len(rows), *images[0].shape), bool),
        tuple("" if row.label in known else "unknown" for row in rows),
    )


def data_digest(folder: Path) -> str:
    """SHA-256, hex, over the table and every file that it names."""
    files = [folder / TABLE]
    for row in read_labels(folder):
        path = folder / row.file
        files += [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return digest_of(folder, files)


def _read_case(folder: Path, row: LabelledFile, dimensions: int, inputs: Inputs) -> Array:
    path = folder / row.file
    try:
        if dimensions == 2:
            return prepare(read_picture(path, row.width_mm))
        array, spacing_mm = read_scan(path)
        return prepare(cut_head(array, spacing_mm).density, inputs)
    except (UnsuitableInput, OSError, RuntimeError) as error:
        why = str(error).removeprefix(f"{path.name} ")
        raise UnsuitableInput(f"{row.file}: {why}") from error
