"""Dates as records tell them: a day, or only a month or a year where no more is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from pipelines.context import Precision

EARLIEST = 1800  # what claims to be older stands for "no date" (0001-01-01, 00000000)

# HL7 v2's YYYY[MM[DD[time]]][zone] and DICOM's; a zone may follow a year too, and must not be taken for a month
_PLAIN = re.compile(r"(\d{4})(?:(\d\d)(?:(\d\d).*)?)?(?:[+-]\d{4})?", re.ASCII | re.DOTALL)
# FHIR's YYYY[-MM[-DD[Ttime]]], and the dots that DICOM's forerunner had
_PARTED = re.compile(r"(\d{4})(?:([-.])(\d\d)(?:\2(\d\d)(?:[T ].*)?)?)?", re.ASCII | re.DOTALL)


@dataclass(frozen=True, order=True)
class PartialDate:
    """A date as far as it is known."""

    first: date  # the first day that it may be
    precision: Precision = "day"

    @property
    def middle(self) -> date:
        """The day that is nearest to all that it may be: for ages, which need one."""
        if self.precision == "year":
            return self.first.replace(month=7)
        return self.first.replace(day=15) if self.precision == "month" else self.first


def partial_date(text: str) -> PartialDate | None:
    """The date that a text begins with, as HL7 v2, DICOM and FHIR write it; None if it is none.

    A month or a day of 00 is one that is not known. The day is that of the sender's clock, whatever the zone.
    """
    text = text.strip()
    if (found := _PLAIN.fullmatch(text)) is not None:
        year, month, day = found.groups()
    elif (found := _PARTED.fullmatch(text)) is not None:
        year, _, month, day = found.groups()
    else:
        return None
    numbers = [int(part or 0) for part in (year, month, day)]
    if numbers[0] < EARLIEST:
        return None
    precision: Precision = "year" if numbers[1] == 0 else "month" if numbers[2] == 0 else "day"
    try:
        return PartialDate(date(numbers[0], numbers[1] or 1, numbers[2] or 1), precision)
    except ValueError:
        return None


def no_date(text: str) -> bool:
    """Whether a text says in so many words that there is no date: empty, zeros, or the first day of all calendars."""
    return text.strip(' 0"') == "" or text.startswith(("0001", "0000"))


def same_as_far_as_known(one: date, other: date, precisions: set[Precision]) -> bool:
    """Whether two dates may be the same day, of which the less precise one has the coarsest of `precisions`."""
    if "year" in precisions:
        return one.year == other.year
    return (one.year, one.month) == (other.year, other.month) if "month" in precisions else one == other
