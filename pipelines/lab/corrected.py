"""Results that readers have judged, as the trainings of pipelines take them.

A pipeline whose training takes such has a module ``training.corrected`` with a function ``write_corrected(folder,
cases) -> WrittenCases``: it writes the cases in a layout of `condyle train`, without what tells whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom

from dicom_sr.errors import UNREADABLE


@dataclass(frozen=True)
class CorrectedFinding:
    """A finding that a reader took over, with the values that the reader left in it."""

    tracking_id: str
    values: Mapping[str, float | str]  # by the code of the name, as SCHEME:VALUE; codes are written so too
    changed: frozenset[str] = frozenset()  # the names of those that the reader changed


@dataclass(frozen=True)
class CorrectedCase:
    """A result that a reader has judged."""

    name: str  # for its files; tells nobody whose they are
    patient: str  # a code that tells patients apart
    images: Mapping[str, Path]  # by SOP Instance UID: those that the result is about, as far as they are stored
    report: Path  # of the result, in which the places stand
    findings: Sequence[CorrectedFinding]  # without those that the reader rejected or did not judge


@dataclass
class WrittenCases:
    """What became of the cases."""

    layout: str  # what `condyle train` is told
    rows: int = 0
    left_out: list[str] = field(default_factory=list)  # why some were, a sentence for each


def has_writing(path: Path) -> bool:
    """Whether the header of an image says that writing is burned into it, or cannot be read."""
    try:
        header = pydicom.dcmread(path, specific_tags=["BurnedInAnnotation"], stop_before_pixels=True)
    except UNREADABLE:
        return True
    return str(header.get("BurnedInAnnotation") or "") == "YES"
