"""Times in the configuration of alerts: how long, from when to when, on which days, in the time zone of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, PlainValidator

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_OF_DAY = 24 * 60
LONGEST_SEARCH = 15  # days that are gone through; every weekday comes twice


def read_duration(text: object) -> timedelta:
    """How long such a text means.

    Raises
    ------
    ValueError
        If it means none; says what would be right.
    """
    if isinstance(text, timedelta):
        return text
    found = re.fullmatch(r"([0-9]{1,6}) ?([smhdw])", str(text))
    if found is None:
        raise ValueError("should be a number with a unit: 90s, 10m, 4h, 7d or 2w")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _minute(text: object) -> int:
    """The minute of the day; 24:00 is its end."""
    if isinstance(text, int) and 0 <= text <= MINUTES_OF_DAY:  # YAML takes 17:30 for a number to the base of 60
        return text
    found = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", str(text))
    minute = 60 * int(found[1]) + int(found[2]) if found else -1
    if found is None or int(found[2]) > 59 or not 0 <= minute <= MINUTES_OF_DAY:
        raise ValueError("should be a time of day such as 07:30")
    return minute


class Hours(NamedTuple):
    """A stretch of the day, in minutes from midnight; where it ends before it begins, it ends on the next day."""

    begin: int
    end: int

    def on(self, day: date) -> tuple[datetime, datetime]:
        """When the stretch that begins on that day begins and ends, in the time zone of the machine."""
        over = self.end <= self.begin
        return _moment(day, self.begin), _moment(day + timedelta(days=1) if over else day, self.end)


def _hours(text: object) -> Hours:
    if isinstance(text, Hours):
        return text
    first, dash, second = str(text).replace("–", "-").partition("-")
    if not dash:
        raise ValueError("should be two times of day such as 22:00-07:00")
    try:
        return Hours(_minute(first.strip()), _minute(second.strip()))
    except ValueError:
        raise ValueError("should be two times of day such as 22:00-07:00") from None


def _moment(day: date, minute: int) -> datetime:
    day, minute = day + timedelta(days=minute // MINUTES_OF_DAY), minute % MINUTES_OF_DAY
    return datetime.combine(day, time(minute // 60, minute % 60)).astimezone()


def _stretches(hours: Hours, days: Iterable[Weekday], first: date, count: int) -> Iterator[tuple[datetime, datetime]]:
    wanted = {WEEKDAYS.index(day) for day in days}
    for number in range(count):
        day = first + timedelta(days=number)
        if day.weekday() in wanted:
            yield hours.on(day)


def end_of_stretch(hours: Hours, days: Iterable[Weekday], now: datetime) -> datetime | None:
    """When the stretch that `now` lies in ends; None where it lies in none.

    Parameters
    ----------
    hours, days
        The stretches: hours, and the weekdays on which they begin.
    now
        The time, with its zone.
    """
    today = now.astimezone().date()
    around = _stretches(hours, days, today - timedelta(days=1), 2)
    return max((end for begin, end in around if begin <= now < end), default=None)


def next_time(minute: int, days: Iterable[Weekday], now: datetime) -> datetime:
    """The next time that it is so many minutes after midnight on one of the days; `now` itself is over."""
    times = (begin for begin, _ in _stretches(Hours(minute, minute), days, now.astimezone().date(), LONGEST_SEARCH))
    return next(one for one in times if one > now)


def before_in_hours(long: timedelta, hours: Hours, days: Iterable[Weekday], now: datetime) -> datetime:
    """The moment from which to `now` so much time of these stretches has passed; at most a fortnight is gone back."""
    today = now.astimezone().date()
    left = long
    for begin, end in reversed(
        list(_stretches(hours, days, today - timedelta(days=LONGEST_SEARCH), LONGEST_SEARCH + 1))
    ):
        end = min(end, now)
        if end <= begin:
            continue
        if end - begin >= left:
            return end - left
        left -= end - begin
    return now - timedelta(days=LONGEST_SEARCH)


def in_words(long: timedelta) -> str:
    """A duration for people: 90 seconds, 10 minutes, 4 hours, 7 days."""
    seconds = long.total_seconds()
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit and (seconds % unit == 0 or seconds >= 2 * unit):
            number = round(seconds / unit)
            return f"{number} {name}{'' if number == 1 else 's'}"
    return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"


Duration = Annotated[timedelta, PlainValidator(read_duration)]
TimeOfDay = Annotated[int, BeforeValidator(_minute)]
DailyHours = Annotated[Hours, PlainValidator(_hours)]
