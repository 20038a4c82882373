"""When images were taken, as their headers say: the time that results made of them carry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from pydicom.dataset import Dataset

from dicom_sr.read.headers import offset_from_utc

_NAMES = ("Acquisition", "Content", "Series", "Study")
_EARLIEST, _LATEST = 1900, 9998  # years: what lies outside is no date of an image, and not every library writes it


def taken(headers: Iterable[Dataset]) -> datetime | None:
    """The latest time that the headers name, to the second; None where they name no day.

    It is in the zone that the headers state, else it is called UTC: its digits are those of the headers.
    """
    latest: datetime | None = None
    for header in headers:
        zone = offset_from_utc(header) or UTC
        for moment in _moments(header):
            aware = moment.replace(tzinfo=zone)
            if latest is None or aware > latest:
                latest = aware
    return latest


def _moments(header: Dataset) -> Iterator[datetime]:
    stamps = [str(header.get("AcquisitionDateTime") or "")]
    stamps += [f"{header.get(f'{name}Date') or '':<8}{header.get(f'{name}Time') or ''}" for name in _NAMES]
    for stamp in stamps:
        day, time = stamp[:8], stamp[8:14]
        for digits in (day + time, day + time[:4] + "00", day + "000000"):
            moment = _moment(digits)
            if moment is not None:
                yield moment
                break


def _moment(digits: str) -> datetime | None:
    if len(digits) != 14 or not (digits.isascii() and digits.isdigit()):
        return None
    try:
        moment = datetime.strptime(digits, "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return moment if _EARLIEST <= moment.year <= _LATEST else None
