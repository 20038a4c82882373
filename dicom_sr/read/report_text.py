"""A structured report as lines of text for people, whoever wrote it: conclusions first, then what was measured."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from dicom_sr.errors import UNREADABLE, UnsuitableInput, why_unreadable

DEEPEST, MOST_LINES, LONGEST_TEXT = 32, 5_000, 2_000  # of a report; ours have a few hundred lines
HOW = "How it was made"  # heading of what is said of the algorithm, once for all measurements
VALUES = {  # keyword that holds the value, by value type (PS3.3 C.17.3)
    "TEXT": "TextValue",
    "DATE": "Date",
    "TIME": "Time",
    "DATETIME": "DateTime",
    "PNAME": "PersonName",
}
REFERENCES = {"IMAGE", "COMPOSITE", "WAVEFORM", "SCOORD", "SCOORD3D", "TCOORD", "UIDREF"}  # nothing to be read
_RANGE = re.compile(r"{(\d+):(\d+)}")  # of a score, as a unit
_NO_UNIT = {"1", "{ratio}", "{score}"}

_Key = tuple[str, str]  # code value and scheme


def _keys(*codes: Code) -> frozenset[_Key]:
    return frozenset((code.value, code.scheme_designator) for code in codes)


LEFT_OUT = _keys(  # how the report is written, and what the name of a number says already
    standard.DCM.LanguageOfContentItemAndDescendants,
    standard.DCM.CountryOfLanguage,
    standard.DCM.ObserverType,
    standard.DCM.GeometricPurposeOfRegion,
    standard.DCM.Derivation,
    standard.DCM.ImageLibrary,
    standard.DCM.DeviceObserverUID,
)
OF_HOW = _keys(
    standard.DCM.DeviceObserverName,
    standard.DCM.DeviceObserverManufacturer,
    standard.DCM.DeviceObserverModelName,
    standard.DCM.DeviceObserverSerialNumber,
    standard.DCM.ProcedureReported,
    standard.DCM.AlgorithmName,
    standard.DCM.AlgorithmVersion,
    standard.DCM.AlgorithmParameters,
    standard.DCM.AlgorithmFamily,
)
TRACKING_ID = _keys(standard.DCM.TrackingIdentifier)


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
        return _Reading().text(ds)
    except UNREADABLE as error:
        raise UnsuitableInput(why_unreadable(error)) from error


class _Reading:
    """A walk through the content tree."""

    def __init__(self) -> None:
        self._how: dict[ReportLine, None] = {}  # each once

    def text(self, ds: Dataset) -> ReportText:
        """The whole report."""
        items = list(ds.get("ContentSequence") or ())
        statements = [item for item in items if item.get("ValueType") == "TEXT"]
        others = [item for item in items if item.get("ValueType") != "TEXT"]
        lines: list[ReportLine] = []
        for line in self._lines([*statements, *others], 0):
            if len(lines) == MOST_LINES:
                return ReportText(_meaning(_code(ds)), tuple(lines), is_whole=False)
            lines.append(line)
        how = [ReportLine(0, HOW), *self._how] if self._how else []
        return ReportText(_meaning(_code(ds)), (*lines, *how))

    def _lines(self, items: Iterable[Dataset], level: int) -> Iterator[ReportLine]:
        for item in items:
            kind = str(item.get("ValueType", ""))
            name = None if kind in REFERENCES else _code(item)
            key = _key(name)
            if kind in REFERENCES or key in LEFT_OUT:
                continue
            if key in OF_HOW:
                self._how.setdefault(ReportLine(1, _meaning(name), _value(item, kind)))
            elif kind == "CONTAINER":
                yield from self._container(item, _meaning(name), level)
            else:
                below = list(item.get("ContentSequence") or ()) if level < DEEPEST else []
                said = [one for one in below if kind == "CODE" and one.get("ValueType") == "CODE"]
                values = (_value(one, "CODE") for one in said if _key(_code(one)) not in LEFT_OUT)
                yield ReportLine(level, _meaning(name), ", ".join((_value(item, kind), *values)))
                yield from self._lines((one for one in below if one not in said), level + 1)

    def _container(self, item: Dataset, heading: str, level: int) -> Iterator[ReportLine]:
        """What is in a container, below its heading: what it is tracked as, where it is."""
        items = list(item.get("ContentSequence") or ()) if level < DEEPEST else []
        tracked = [one for one in items if one.get("ValueType") == "TEXT" and _key(_code(one)) in TRACKING_ID]
        inner = self._lines((one for one in items if one not in tracked), level + 1)
        first = next(inner, None)
        if first is not None:  # else it holds references only
            yield ReportLine(level, _value(tracked[0], "TEXT") if tracked else heading)
            yield first
            yield from inner


def _value(item: Dataset, kind: str) -> str:
    if kind == "NUM":
        return _number(item)
    if kind == "CODE":
        return _meaning(_code(item, "ConceptCodeSequence"), "not stated")
    text = str(item.get(VALUES.get(kind, ""), "") or "").strip()
    if kind == "PNAME":
        text = " ".join(part for part in text.split("=")[0].split("^") if part)
    return f"{text[:LONGEST_TEXT]}…" if len(text) > LONGEST_TEXT else text or "not stated"


def _number(item: Dataset) -> str:
    measured = next(iter(item.get("MeasuredValueSequence") or ()), None)
    if measured is None:
        return _meaning(_code(item, "NumericValueQualifierCodeSequence"), "not stated")
    code = _code(measured, "MeasurementUnitsCodeSequence")
    unit = "" if code is None or code.value in _NO_UNIT else code.value
    if (of := _RANGE.fullmatch(unit)) is not None:
        unit = f"({of[1]} to {of[2]})"
    return f"{measured.get('NumericValue', '')} {unit}".strip()


def _key(code: Code | None) -> _Key:
    return (code.value, code.scheme_designator) if code is not None else ("", "")


def _meaning(code: Code | None, without: str = "Statement") -> str:
    return code.meaning if code is not None else without


def _code(item: Dataset, keyword: str = "ConceptNameCodeSequence") -> Code | None:
    """The code in a sequence of an item; unlike pydicom's it may have any value."""
    coded = next(iter(item.get(keyword) or ()), None)
    if not isinstance(coded, Dataset):
        return None
    value = str(coded.get("CodeValue") or coded.get("LongCodeValue") or coded.get("URNCodeValue") or "")
    return Code(value, str(coded.get("CodingSchemeDesignator") or ""), str(coded.get("CodeMeaning") or value))
