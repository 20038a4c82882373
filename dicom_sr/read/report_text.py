"""A structured report as lines of text for people, whoever wrote it: headings, statements, and what is below each."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr.errors import UNREADABLE, UnsuitableInput, why_unreadable

DEEPEST, MOST_LINES, LONGEST_TEXT = 32, 5_000, 2_000  # of a report; ours have a few hundred lines
VALUES = {  # keyword that holds the value, by value type (PS3.3 C.17.3)
    "TEXT": "TextValue",
    "DATE": "Date",
    "TIME": "Time",
    "DATETIME": "DateTime",
    "PNAME": "PersonName",
}
REFERENCES = {"IMAGE", "COMPOSITE", "WAVEFORM", "SCOORD", "SCOORD3D", "TCOORD", "UIDREF"}  # nothing to be read
LEFT_OUT = {  # says how the report is written, and nothing of the patient
    (code.value, code.scheme_designator)
    for code in (
        standard.DCM.LanguageOfContentItemAndDescendants,
        standard.DCM.CountryOfLanguage,
        standard.DCM.ObserverType,
        standard.DCM.GeometricPurposeOfRegion,
    )
}


@dataclass(frozen=True)
class ReportLine:
    """One line of a report."""

    level: int  # 0: right below the title
    name: str  # of a heading, or of what is stated
    value: str = field(default="", repr=False)  # empty: it is a heading


@dataclass(frozen=True)
class ReportText:
    """A report as text."""

    title: str
    lines: tuple[ReportLine, ...] = field(repr=False)
    is_whole: bool = True  # else it has more lines than are shown


def report_text_in(content: bytes) -> ReportText:
    """The report in a Part 10 file.

    Raises
    ------
    UnsuitableInput
        If it cannot be read, or is no structured report; names nobody.
    """
    try:
        ds = pydicom.dcmread(io.BytesIO(content))
        if ds.get("ValueType") != "CONTAINER":
            raise UnsuitableInput("it is no structured report")
        lines = []
        for line in _lines(ds.get("ContentSequence") or (), 0):
            if len(lines) == MOST_LINES:
                return ReportText(_named(ds), tuple(lines), is_whole=False)
            lines.append(line)
        return ReportText(_named(ds), tuple(lines))
    except UNREADABLE as error:
        raise UnsuitableInput(why_unreadable(error)) from error


def _lines(items: Iterable[Dataset], level: int) -> Iterator[ReportLine]:
    for item in items:
        kind, name = str(item.get("ValueType", "")), _code(item.get("ConceptNameCodeSequence"))
        if kind in REFERENCES or (name is not None and (name.value, name.scheme_designator) in LEFT_OUT):
            continue
        below = item.get("ContentSequence") or ()
        if kind == "CONTAINER":
            inner = list(_lines(below, level + 1)) if level < DEEPEST else []
            if inner:  # else it holds references only
                yield ReportLine(level, _named(item))
                yield from inner
            continue
        yield ReportLine(level, _named(item), _value(item, kind))
        if level < DEEPEST:
            yield from _lines(below, level + 1)


def _value(item: Dataset, kind: str) -> str:
    if kind == "NUM":
        return _number(item)
    if kind == "CODE":
        value = _code(item.get("ConceptCodeSequence"))
        return value.meaning if value is not None else "not stated"
    text = str(item.get(VALUES.get(kind, ""), "") or "").strip()
    if kind == "PNAME":
        text = " ".join(part for part in text.split("=")[0].split("^") if part)
    return f"{text[:LONGEST_TEXT]}…" if len(text) > LONGEST_TEXT else text or "not stated"


def _number(item: Dataset) -> str:
    measured = next(iter(item.get("MeasuredValueSequence") or ()), None)
    if measured is None:
        why = _code(item.get("NumericValueQualifierCodeSequence"))
        return why.meaning if why is not None else "not stated"
    unit = _code(measured.get("MeasurementUnitsCodeSequence"))
    shown = {"1": "", "{ratio}": ""}.get(unit.value, unit.value) if unit is not None else ""
    return f"{measured.get('NumericValue', '')} {shown}".strip()


def _named(item: Dataset) -> str:
    name = _code(item.get("ConceptNameCodeSequence"))
    return name.meaning if name is not None else "Statement"


def _code(sequence: object) -> Code | None:
    first = next(iter(sequence), None) if isinstance(sequence, Iterable) else None
    if not isinstance(first, Dataset):
        return None
    value = first.get("CodeValue") or first.get("LongCodeValue") or first.get("URNCodeValue") or ""
    return Code(str(value), str(first.get("CodingSchemeDesignator") or ""), str(first.get("CodeMeaning") or value))
