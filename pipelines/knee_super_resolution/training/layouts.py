"""How folders of real volumes are arranged: what is read of them, and whose each volume is.

A subject never falls on both sides of a split, so both knees of a person, and every visit, have to be known as one's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from dicom_sr.errors import UnsuitableInput

OAI_PARTICIPANT = re.compile(r"(?<!\d)9\d{6}(?!\d)")  # participants have numbers of seven digits from 9000000 on
SKM_TEA_SCAN = re.compile(r"MTR_\d+")  # one scan of one patient each (Desai 2021, arXiv 2203.06823)


@dataclass(frozen=True)
class Layout:
    """One arrangement."""

    sentence: str  # for the help of the commands
    subject: Callable[[PurePath], str]  # of a file, by its path below the folder
    holds: Callable[[PurePath], bool] = lambda path: True  # whether a file may belong to a volume
    series: str = ""  # words that the description of a DICOM series has to contain


def _first_folder(path: PurePath) -> str:
    return path.parts[0].split(".")[0]


def _participant(path: PurePath) -> str:
    found = OAI_PARTICIPANT.search(path.as_posix())
    if found is None:
        raise UnsuitableInput(
            f"{path}: names no participant of the OAI, a number of seven digits that begins with 9;"
            " choose another --layout"
        )
    return found.group()


def _scan(path: PurePath) -> str:
    found = SKM_TEA_SCAN.search(path.as_posix())
    if found is None:
        raise UnsuitableInput(f"{path}: names no scan of SKM-TEA, such as MTR_001; choose another --layout")
    return found.group()


LAYOUTS: Mapping[str, Layout] = {
    "folder": Layout(
        "DICOM, NIfTI, MetaImage and NRRD in any depth; the first folder, or else the file, names the patient",
        _first_folder,
    ),
    "oai": Layout(
        "as the OAI has them, RELEASE/PARTICIPANT/DATE/SERIES of DICOM, or NIfTI files with the participant in their"
        " names; of DICOM, the DESS series",
        _participant,
        series="SAG_3D_DESS",
    ),
    "skm-tea": Layout(
        "as SKM-TEA has them, dicoms/MTR_NUMBER of DICOM; every scan is a patient",
        _scan,
        holds=lambda path: "dicoms" in path.parts,
    ),
}
FOLDER = LAYOUTS["folder"]
