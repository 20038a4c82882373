"""When images were taken, as their headers say: the time that results made of them carry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timezone

from pydicom.dataset import Dataset

from dicom_sr.read.headers import offset_from_utc, zone_in

_NAMES = ("Acquisition", "Content", "Series", "Study")
# Years: what lies outside is no date of an image. The clock is not asked what lies in the future: the same images have
# the same time whenever they are looked at.
_EARLIEST, _LATEST = 1900, 2100


def taken(headers: Iterable[Dataset]) -> datetime | None:
    """The latest time that the headers name, to the second; None where they name no day.

    It is in the zone that its header states, else in that of the first other one that states one, else it is called
    UTC: its digits are those of the headers.
    """
    stated = [(header, offset_from_utc(header) or _zone_of_acquisition(header)) for header in headers]
    common = next((zone for _, zone in stated if zone is not None), UTC)
    return max((moment for header, zone in stated for moment in _moments(header, zone or common)), default=None)


def _zone_of_acquisition(header: Dataset) -> timezone | None:
    """The zone at the end of AcquisitionDateTime."""
    return zone_in(str(header.get("AcquisitionDateTime") or "").strip()[-5:])


def _moments(header: Dataset, zone: timezone) -> Iterator[datetime]:
    """The times of a header, in a zone that it has."""
    stamp = re.split(r"[.+-]", str(header.get("AcquisitionDateTime") or "").strip())[0]
    if moment := moment_at(stamp[:8], stamp[8:14]):
        yield moment.replace(tzinfo=_zone_of_acquisition(header) or zone).astimezone(zone)
    for name in _NAMES:  # 2024.01.01 and 12:34:56 were written before DICOM 3
        day, time = (str(header.get(f"{name}{what}") or "").strip() for what in ("Date", "Time"))
        if moment := moment_at(day.replace(".", ""), time.replace(":", "").split(".")[0]):
            yield moment.replace(tzinfo=zone)


def moment_at(day: str, time: str) -> datetime | None:
    """The time, or the minute or the day where no more of it can be read; None where there is no day."""
    for digits in (day + time, day + time[:4] + "00", day + "000000"):
        if len(digits) != 14 or not (digits.isascii() and digits.isdigit()):
            continue
        try:
            moment = datetime.strptime(digits, "%Y%m%d%H%M%S")
        except ValueError:
            continue
        return moment if _EARLIEST <= moment.year <= _LATEST else None
    return None
