"""Texts without what identifies a patient: a library's message may quote a data element's value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pydicom

IDENTIFYING = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "PatientAddress", "AccessionNumber")
SHORTEST = 3  # characters of a value that is looked for: shorter ones stand in every other word


def identity_of(paths: Iterable[Path]) -> Iterator[str]:
    """What images say of their patient.

    Raises
    ------
    dicom_sr.errors.UNREADABLE
        If one cannot be read.
    """
    for path in paths:
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(IDENTIFYING), force=True)
        yield from (str(element.value) for element in ds)


def without(text: str, values: Iterable[str]) -> str:
    """`text` with asterisks in place of each of the values, and of the parts of a name, in whatever case."""
    parts = {part for value in values for part in _parts(value) if len(part) >= SHORTEST}
    for part in sorted(parts, key=len, reverse=True):
        text = re.sub(re.escape(part), "***", text, flags=re.IGNORECASE)
    return text


def _parts(value: str) -> list[str]:
    return [value, *value.replace("=", "^").split("^")]
