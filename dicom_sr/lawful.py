"""Values as the standard allows them: what devices wrote is made lawful for its VR before a result carries it.

A lawful value stays as it is (PS3.5 6.2). Of a text, control characters go, and what is too long is cut. A date, a
time, a number, a code or a key that is none has no lawful form: half of a key would be another one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import date
from itertools import accumulate
from math import isfinite
from operator import is_
from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_sr.decimal_string import decimal

# characters of one value; of a name in each of its component groups
_LONGEST = {"LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024}
_OF_LINES = {"LT", "ST", "UT"}  # may hold TAB, LF, FF and CR, and `\` as a character
_TEXTS = {*_LONGEST, "UC", "UT"}
_NUMBERS = {"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"}
_BYTES_OF_AN_ELEMENT = 65534  # with a length of 16 bits (PS3.5 7.1.2)

# half of a patient's ID may be somebody else's: where it has to be changed, a digest of the whole keeps it apart
_WHOSE = {"PatientID", "IssuerOfPatientID"}
_MARK = 8  # hexadecimal digits
# what finds something elsewhere: as it is, or not at all
_KEYS = {
    "AccessionNumber",
    "AdmissionID",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "CodeValue",
    "CodingSchemeDesignator",
    "CodingSchemeVersion",
    "OtherPatientIDs",
    "ServiceEpisodeID",
    "StudyID",
}

# characters that end or set off words become a space
_BETWEEN_WORDS = re.compile("[\t\n\x0b\f\r\x1c-\x1f\x85\u2028\u2029]+")
# C0, DEL and C1, half characters, and what turns the direction of the text behind it (marks of a direction may stay)
_FORBIDDEN = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_IN_A_LINE = re.compile(f"[{_FORBIDDEN}\\\\]")
_IN_LINES = re.compile(f"(?![\t\n\f\r])[{_FORBIDDEN}]")

_DATE = r"(\d{4})\.?(\d\d)\.?(\d\d)"  # the older form has points
_TIME = r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(\.\d{1,6})?\d*)?)?"  # the older form has colons
_MOMENT = r"(\d{4})(?:(\d\d)(?:(\d\d)(?:([01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?)?)?)?([+-]\d{4})?"
_CODE = re.compile(r"[A-Z0-9 _]{1,16}")
_DECIMAL = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *", re.ASCII)


def lawful(element: DataElement) -> DataElement | None:
    """The element as a result may hold it: itself where it is lawful, else what can be kept; None where nothing can."""
    if element.VR == "SQ" or element.is_empty:
        return element
    value, vr = element.value, dictionary_VR(element.tag)
    if " or " in vr:
        vr = element.VR
    elif vr != element.VR:  # somebody wrote another VR than the element's own
        if not {vr, element.VR} <= _TEXTS:
            return None
        value = str(value) if vr in _OF_LINES or element.VM > 1 else str(value).split("\\")
    values = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    found = [_one(element.keyword, vr, each) for each in values]
    if element.keyword in _WHOSE:
        kept = [_whose(values, found)]
    elif vr in _TEXTS or vr == "CS":
        kept = [each for each in found if each is not None]
    else:  # numbers belong together
        kept = found if None not in found else []
    kept = _as_many(element, kept)
    if vr == element.VR and len(kept) == len(values) and all(map(is_, kept, values)):
        return element
    return DataElement(element.tag, vr, kept[0] if len(kept) == 1 else kept) if kept else None


def unlawful(source: Dataset, keywords: Iterable[str]) -> tuple[str, ...]:
    """Those of `keywords` whose elements `source` holds with values that are not lawful, or in items that have some."""
    return tuple(keyword for keyword in keywords if keyword in source and _is_unlawful(source, keyword))


def _is_unlawful(source: Dataset, keyword: str) -> bool:
    element = source[keyword]
    if element.VR == "SQ":
        return any(unlawful(item, [one.keyword for one in item if one.keyword]) for item in element.value)
    return lawful(element) is not element


def make_texts_lawful(ds: Dataset) -> None:
    """Make the texts of `ds` lawful at any depth; one of which nothing can stay becomes empty."""
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                make_texts_lawful(item)
        elif element.VR in _TEXTS and element.keyword:
            # never in place: a source image may share the element
            ds[element.tag] = lawful(element) or DataElement(element.tag, element.VR, "")


def is_whole_code(item: Dataset) -> bool:
    """Whether an item of a code sequence has its code and its meaning; any other item is as whole as it is."""
    values = ("CodeValue", "LongCodeValue", "URNCodeValue")
    if not any(keyword in item for keyword in (*values, "CodeMeaning", "CodingSchemeDesignator")):
        return True
    named = item.get("CodingSchemeDesignator") or item.get("URNCodeValue")
    return bool(any(item.get(keyword) for keyword in values) and named and item.get("CodeMeaning"))


def is_uid(text: str) -> bool:
    """Whether `text` may stand as a UID: digits and dots, at most 64; a key that begins a part with 0 is kept too."""
    return len(text) <= 64 and re.fullmatch(r"\d+(\.\d+)*", text, re.ASCII) is not None


def _one(keyword: str, vr: str, value: Any) -> Any:
    """One value of an element made lawful; None where it has no lawful form."""
    if vr in _TEXTS:
        return _text(keyword, vr, value)
    if vr in _NUMBERS:
        return value if isinstance(value, int | float) else None
    return _OTHERS[vr](value) if vr in _OTHERS else value


def _as_many(element: DataElement, values: list[Any]) -> list[Any]:
    """As many of the values as the element may have; none where it must have more."""
    least, _, most = dictionary_VM(element.tag).partition("-")
    most = most or least
    kept = values[: int(most)] if most.isdigit() else list(values)
    ends = accumulate(len(str(each).encode(errors="replace")) + 1 for each in kept)
    kept = kept[: max(1, sum(end <= _BYTES_OF_AN_ELEMENT for end in ends))]
    return kept if len(kept) >= int(least) else []


# ---- texts
def _text(keyword: str, vr: str, value: Any) -> Any:
    before = str(value)
    text = (_name if vr == "PN" else _line if vr not in _OF_LINES else _lines)(before)
    longest = _LONGEST.get(vr)
    if longest is not None and vr != "PN" and len(text) > longest:
        text = text[:longest].rstrip()
    if text == before:
        return value
    return None if keyword in _KEYS or not text.strip() else text


def _line(text: str) -> str:
    if _IN_A_LINE.search(text) is None:
        return text
    return _IN_A_LINE.sub("", _BETWEEN_WORDS.sub(" ", text)).strip()


def _lines(text: str) -> str:
    return _IN_LINES.sub("", text)


def _name(text: str) -> str:
    """A name of at most three groups, each of at most five components (PS3.5 6.2.1)."""
    groups = ["^".join(group.split("^")[:5]) for group in _line(text).split("=")[:3]]
    longest = _LONGEST["PN"]
    return "=".join(group if len(group) <= longest else group[:longest].rstrip() for group in groups)


def _whose(values: list[Any], found: list[Any]) -> Any:
    if len(values) == 1 and found[0] is values[0]:
        return values[0]
    whole = "\\".join(str(value) for value in values)
    start = str(next((each for each in found if each), ""))[: _LONGEST["LO"] - _MARK - 1]
    return f"{start}_{hashlib.sha256(whole.encode(errors='replace')).hexdigest()[:_MARK]}"


def _code(value: Any) -> Any:
    text = str(value).strip(" ")
    if not text or _CODE.fullmatch(text):
        return value
    found = text.upper() if text.isascii() else ""
    return found if _CODE.fullmatch(found) else None


def _uid(value: Any) -> Any:
    return value if is_uid(str(value)) else None


# ---- days and times
def _rewritten(pattern: str, value: Any) -> Any:
    """The parts of `value` that `pattern` holds, joined; None where it does not fit."""
    text = str(value).strip(" ")
    match = re.fullmatch(pattern, text, re.ASCII)
    if match is None:
        return None
    found = "".join(part or "" for part in match.groups())
    return value if found == text else found


def _date(value: Any) -> Any:
    found = _rewritten(_DATE, value)
    return found if found is not None and _is_day(str(found).strip(" ")) else None


def _time(value: Any) -> Any:
    return _rewritten(_TIME, value)


def _moment(value: Any) -> Any:
    text = str(value).strip(" ")
    match = re.fullmatch(_MOMENT, text, re.ASCII)
    return value if match and _is_day(f"{match[1]}{match[2] or '01'}{match[3] or '01'}") else None


def _is_day(text: str) -> bool:
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return False
    return True


def _age(value: Any) -> Any:
    match = re.fullmatch(r"(\d{1,3})([DWMY])", str(value).strip(" ").upper(), re.ASCII)
    if match is None:
        return None
    found = f"{match[1]:0>3}{match[2]}"
    return value if found == str(value) else found


# ---- numbers as texts
def _decimal(value: Any) -> Any:
    text = str(value)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not isfinite(number):
        return None
    return value if len(text) <= 16 and _DECIMAL.fullmatch(text) else decimal(number)


def _whole(value: Any) -> Any:
    try:
        return value if int(value) == float(value) and abs(int(value)) < 2**31 else None
    except (TypeError, ValueError, OverflowError):
        return None


_OTHERS: dict[str, Callable[[Any], Any]] = {
    "AS": _age,
    "CS": _code,
    "DA": _date,
    "DS": _decimal,
    "DT": _moment,
    "IS": _whole,
    "TM": _time,
    "UI": _uid,
}
