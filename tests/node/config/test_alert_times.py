"""How long, from when to when and on which days, as the configuration of alerts says it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from node.config.alert_times import (
    WEEKDAYS,
    DailyHours,
    Duration,
    Hours,
    TimeOfDay,
    Weekday,
    before_in_hours,
    end_of_stretch,
    in_words,
    next_time,
)

HOURS, TIME, LONG = TypeAdapter(DailyHours), TypeAdapter(TimeOfDay), TypeAdapter(Duration)
WORK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("4 h", 14400), ("7d", 604800), ("2w", 1209600), ("0s", 0)]
)
def test_a_duration_has_a_unit(text: str, seconds: int) -> None:
    assert LONG.validate_python(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["10", 10, "1.5h", "-1h", "", None, "9999999d"])
def test_what_is_no_duration_is_told_what_would_be(text: object) -> None:
    with pytest.raises(ValidationError, match="should be a number with a unit: 90s, 10m, 4h, 7d or 2w"):
        LONG.validate_python(text)


@pytest.mark.parametrize(
    ("text", "minute"), [("07:30", 450), ("7:30", 450), ("24:00", 1440), (1050, 1050), ("00:00", 0)]
)
def test_a_time_of_day(text: object, minute: int) -> None:
    assert TIME.validate_python(text) == minute


@pytest.mark.parametrize("text", ["24:01", "7:60", "seven", 1441, -1, None, "07:30:00"])
def test_what_is_no_time_of_day_is_told_what_would_be(text: object) -> None:
    with pytest.raises(ValidationError, match="should be a time of day such as 07:30"):
        TIME.validate_python(text)


def test_hours_are_two_times_and_may_end_on_the_next_day() -> None:
    assert HOURS.validate_python("20:00-07:00") == HOURS.validate_python("20:00 – 7:00") == Hours(1200, 420)
    for text in ("20:00", "20:00-", "a-b", None):
        with pytest.raises(ValidationError, match="should be two times of day such as 22:00-07:00"):
            HOURS.validate_python(text)
    begin, end = Hours(1200, 420).on(date(2026, 1, 2))
    assert (begin, end) == (at("2026-01-02 20:00"), at("2026-01-03 07:00"))


def test_a_stretch_is_one_of_the_day_on_which_it_begins() -> None:
    night = Hours(1200, 420)
    assert end_of_stretch(night, ("fri",), at("2026-01-03 06:59")) == at("2026-01-03 07:00")  # a Saturday
    assert end_of_stretch(night, ("fri",), at("2026-01-03 07:00")) is None
    assert end_of_stretch(night, ("sat",), at("2026-01-03 06:59")) is None


def test_the_next_time_is_never_now() -> None:
    assert next_time(450, WEEKDAYS, at("2026-01-02 07:30")) == at("2026-01-03 07:30")
    assert next_time(450, ("fri",), at("2026-01-02 07:30")) == at("2026-01-09 07:30")
    assert next_time(450, ("fri",), at("2026-01-02 07:29")) == at("2026-01-02 07:30")


@pytest.mark.parametrize(
    ("now", "since"),
    [
        ("2026-01-05 12:00", "2026-01-05 10:00"),  # a Monday
        ("2026-01-05 09:00", "2026-01-02 17:00"),  # an hour of Friday counts
        ("2026-01-04 12:00", "2026-01-02 16:00"),  # none of the weekend does
    ],
)
def test_time_counts_within_the_hours_alone(now: str, since: str) -> None:
    found = before_in_hours(timedelta(hours=2), Hours(480, 1080), WORK, at(now))
    assert found == at(since)


def test_no_more_than_a_fortnight_is_gone_back() -> None:
    now = at("2026-01-05 12:00")
    assert before_in_hours(timedelta(days=30), Hours(480, 1080), WORK, now) == now - timedelta(days=15)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (7200, "2 hours"),
        (86400, "1 day"),
        (180000, "2 days"),
    ],
)
def test_a_duration_in_words(seconds: int, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words
