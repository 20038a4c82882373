"""How values look on the pages: moments, durations, sizes, names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dicom_sr.words import counted, escaped

KINDS = {
    "derived_series": "derived image",
    "secondary_capture": "capture",
    "segmentation_binary": "segmentation",
    "segmentation_fractional": "fractional segmentation",
    "segmentation_labelmap": "label map",
    "key_objects": "key object note",
}


def clock(moment: datetime | None, now: datetime) -> str:
    """Time of day where the node stands; with the date unless it is today."""
    if moment is None:
        return "–"
    local, today = moment.astimezone(), now.astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%d %b %H:%M}"


def seconds(number: float | None) -> str:
    """A duration to about three digits."""
    if number is None:
        return "–"
    if number < 0.9995:
        return f"{number * 1000:.0f} ms"
    if number < 59.95:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def size(number: float) -> str:
    """Bytes in the largest fitting unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def sparkline(values: Sequence[int], width: int = 120, height: int = 24) -> str:
    """The points of a line through the values, from left to right, in a box of that size; the largest is at its top."""
    most = max(*values, 1)
    step = width / max(len(values) - 1, 1)
    return " ".join(
        f"{place * step:.1f},{height - 1 - (height - 2) * value / most:.1f}" for place, value in enumerate(values)
    )


def called(kind: str) -> str:
    """What an object of that kind is called."""
    return KINDS.get(kind, words(kind))


def words(name: str) -> str:
    """A name of the code as words."""
    return name.replace("_", " ")


def tail(uid: str, length: int = 10) -> str:
    """The end of a UID: where UIDs of one site differ."""
    return uid if len(uid) <= length + 1 else f"…{uid[-length:]}"


def finalized(value: object) -> object:
    """What a template shows: texts of others, such as an AE title, cannot turn, hide or break what stands beside."""
    return escaped(value) if type(value) is str else value


FILTERS = {
    "sparkline": sparkline,
    "clock": clock,
    "seconds": seconds,
    "bytes": size,
    "words": words,
    "tail": tail,
    "counted": counted,
    "called": called,
}
"""Of the templates, by name."""
