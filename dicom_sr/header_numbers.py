"""Numbers in headers: one way to read them, and to mend what devices write that is none (``1,25``, ``3mm``).

Importing this module mends decimal and integer strings as pydicom reads them, here and in every library above it: what
can only mean one number becomes that number, and what is none becomes an empty value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, TypeVar

from pydicom.config import IGNORE
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.hooks import hooks, raw_element_value
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import IS, STANDARD_VR, DSfloat

from dicom_sr.errors import UNREADABLE, UnsuitableInput
from dicom_sr.photometric import least_is_white

_Found = TypeVar("_Found")

_NUMBER = re.compile(r"([+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?)\s*(mm|ms|T|MHz|Hz|deg|%)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?0*[1-9]\d*,\d{3}(?!\d)", re.ASCII)  # 1,250 may be 1.25 as well as 1250
_COMMA_IN_WHOLE = re.compile(r"[^,]*(,00?)?", re.ASCII)
# the unit that the standard gives an element anyway: any other would need converting
_UNITS = {
    "mm": {
        "DetectorElementSpacing",
        "DistanceSourceToDetector",
        "DistanceSourceToPatient",
        "ImagePositionPatient",
        "ImagerPixelSpacing",
        "NominalScannedPixelSpacing",
        "PixelSpacing",
        "ReconstructionDiameter",
        "SliceLocation",
        "SliceThickness",
        "SpacingBetweenSlices",
        "TableHeight",
    },
    "ms": {
        "EchoTime",
        "ExposureTime",
        "FrameTime",
        "HighRRValue",
        "InversionTime",
        "LowRRValue",
        "NominalInterval",
        "RepetitionTime",
        "TriggerTime",
    },
    "T": {"MagneticFieldStrength"},
    "MHz": {"ImagingFrequency"},
    "Hz": {"PixelBandwidth"},
    "deg": {"FlipAngle", "GantryDetectorTilt", "PositionerPrimaryAngle", "PositionerSecondaryAngle"},
    "%": {"PercentPhaseFieldOfView", "PercentSampling"},
}
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_VRS = {str(vr) for vr in STANDARD_VR}
_GREATEST_WHOLE = 2**63  # an integer string has at most 12 characters (PS3.5 6.2)


def number_in(header: Dataset, keyword: str) -> float | None:
    """The value of an element, the first where it has several; None where that is no finite number."""
    values = _values(header, keyword)
    return values[0] if values else None


def numbers_in(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """The values of an element; None where they are not `count` finite numbers."""
    values = _values(header, keyword)
    if len(values) != count:
        return None
    found = tuple(value for value in values if value is not None)
    return found if len(found) == count else None


def whole_number_in(header: Dataset, keyword: str) -> int | None:
    """The value of an element, the first where it has several; None where that is no whole number."""
    value = number_in(header, keyword)
    return int(value) if value is not None and value.is_integer() else None


def needed_numbers(header: Dataset, keyword: str, count: int) -> tuple[float, ...]:
    """As `numbers_in`, for an attribute without which there is no result.

    Raises
    ------
    UnsuitableInput
        Naming the attribute and what it should hold.
    """
    wanted = "a number" if count == 1 else f"{count} numbers"
    return _needed(numbers_in(header, keyword, count), header, keyword, wanted)


def needed_whole_number(header: Dataset, keyword: str) -> int:
    """As `whole_number_in`, for an attribute without which there is no result.

    Raises
    ------
    UnsuitableInput
        Naming the attribute and what it should hold.
    """
    return _needed(whole_number_in(header, keyword), header, keyword, "a whole number")


def needed_size(header: Dataset, keyword: str) -> tuple[float, float]:
    """As `size_in`, for an attribute without which there is no result.

    Raises
    ------
    UnsuitableInput
        Naming the attribute and what it should hold.
    """
    return _needed(size_in(header, keyword), header, keyword, "2 numbers above 0")


def _needed(found: _Found | None, header: Dataset, keyword: str, wanted: str) -> _Found:
    if found is None:
        raise UnsuitableInput(lacking(header, keyword, wanted))
    return found


def size_in(header: Dataset, keyword: str) -> tuple[float, float] | None:
    """Two values above zero, such as height and width of a pixel; None where the element does not hold them."""
    found = numbers_in(header, keyword, 2)
    return (found[0], found[1]) if found is not None and min(found) > 0 else None


def rescale_in(header: Dataset) -> tuple[float, float] | None:
    """RescaleSlope and RescaleIntercept (PS3.3 C.11.1.1), 1 and 0 where absent.

    None where one of them is there without a number, where the slope is 0, or where a table takes their place.
    """
    if header.get("ModalityLUTSequence"):
        return None
    slope = number_in(header, "RescaleSlope") if "RescaleSlope" in header else 1.0
    intercept = number_in(header, "RescaleIntercept") if "RescaleIntercept" in header else 0.0
    return None if not slope or intercept is None else (slope, intercept)


def needed_rescale(header: Dataset) -> None:
    """Refuse an image whose stored values cannot be turned into real ones.

    Raises
    ------
    UnsuitableInput
        Naming the attribute.
    """
    if rescale_in(header) is None and not header.get("ModalityLUTSequence"):
        for keyword in ("RescaleSlope", "RescaleIntercept"):
            if keyword in header:
                needed_numbers(header, keyword, 1)
        raise UnsuitableInput(lacking(header, "RescaleSlope", "a number other than 0"))


def one_rescale(headers: Iterable[Dataset]) -> bool:
    """Whether all images share one rescale pair, however it is written: only then do their stored values compare.

    Not so where the least value is white: such values are turned, and the pair is no longer theirs. Nor where some
    pixels are signed and others are not: 16 bits may not hold both.
    """
    shared = {
        (None if least_is_white(header) else rescale_in(header), whole_number_in(header, "PixelRepresentation") or 0)
        for header in headers
    }
    return len(shared) == 1 and all(pair is not None for pair, _ in shared)


def lacking(header: Dataset, keyword: str, wanted: str) -> str:
    """What is wrong with an element of an image that should hold `wanted`, as a sentence."""
    instance = f"image {header.get('SOPInstanceUID') or 'without SOPInstanceUID'}"
    if keyword not in header:
        return f"{instance} has no {keyword}"
    return f"{keyword} of {instance} does not hold {wanted}"


def _values(header: Dataset, keyword: str) -> list[float | None]:
    value: Any = header.get(keyword)
    several = isinstance(value, MultiValue | list | tuple)
    return [_finite(one, keyword) for one in (value if several else [value])]


def _finite(value: Any, keyword: str) -> float | None:
    if isinstance(value, str):
        value = _parsed(value, keyword)
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _parsed(text: str, keyword: str) -> str | None:
    """The number that `text` can only mean in that element, as Python reads it; None where there is none."""
    match = _NUMBER.fullmatch(text.strip(" \0"))
    if match is None or _THOUSANDS.match(match[1]) or (match[2] and keyword not in _UNITS[match[2]]):
        return None
    return match[1].replace(",", ".")


# ---- decimal and integer strings as they are read
def _read(raw: RawDataElement, data: dict[str, Any], **context: Any) -> None:
    """pydicom's way from bytes to a value; an element whose bytes are no value of its VR is empty."""
    try:
        _read_or_mended(raw, data, **context)
    except UNREADABLE:
        known = data["VR"] in _VRS
        data["VR"] = data["VR"] if known else "UN"
        data["value"] = Sequence() if data["VR"] == "SQ" else None


def _read_or_mended(raw: RawDataElement, data: dict[str, Any], **context: Any) -> None:
    """As pydicom does, except for texts of DS and IS that are no numbers as they stand."""
    vr = data["VR"]
    if vr not in ("DS", "IS") or not raw.value:
        raw_element_value(raw, data, **context)
        return
    parts = [part.strip(" \0") for part in raw.value.decode("latin-1").split("\\")]
    keyword = keyword_for_tag(raw.tag)
    found = [_mended(part, vr, keyword) for part in "\\".join(parts).rstrip("\\").split("\\")]
    if found == parts:
        raw_element_value(raw, data, **context)
    elif None in found:
        data["value"] = None
    else:
        kind = IS if vr == "IS" else DSfloat
        values = [kind(text, validation_mode=IGNORE) for text in found if text is not None]
        data["value"] = values[0] if len(values) == 1 else MultiValue(kind, values)


def _mended(text: str, vr: str, keyword: str) -> str | None:
    """The number that one value of an element can only mean, as text; None where it means none."""
    found = _parsed(text, keyword)
    value = None if found is None else _finite(found, keyword)
    if value is None or vr == "DS":
        return None if value is None else found
    if not value.is_integer() or not _COMMA_IN_WHOLE.fullmatch(text) or abs(value) >= _GREATEST_WHOLE:
        return None
    return found if found and _WHOLE.fullmatch(found) else str(int(value))


hooks.register_callback("raw_element_value", _read)
