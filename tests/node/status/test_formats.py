"""Values look as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from node.status.formats import called, clock, seconds, size, sparkline, tail


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0.0421, "42 ms"),
        (0.9996, "1.0 s"),
        (59.96, "1 min 0 s"),
        (3599.6, "1 h 0 min"),
        (200_000, "2 days"),
        (None, "–"),
    ],
)
def test_durations_are_told_to_three_digits(number: float | None, told: str) -> None:
    assert seconds(number) == told


@pytest.mark.parametrize(
    ("number", "told"), [(999, "999 B"), (1000, "1.0 kB"), (540_000, "540 kB"), (2.5e12, "2.5 TB")]
)
def test_sizes_are_told_in_the_largest_fitting_unit(number: float, told: str) -> None:
    assert size(number) == told


def test_a_moment_of_another_day_has_its_date_and_none_is_a_dash() -> None:
    now = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
    assert clock(now, now) == f"{now.astimezone():%H:%M:%S}"
    assert clock(now - timedelta(days=3), now) == f"{(now - timedelta(days=3)).astimezone():%d %b %H:%M}"
    assert clock(None, now) == "–"


def test_a_uid_is_known_by_its_end_and_a_kind_of_object_by_its_name() -> None:
    assert tail("1.2.840.10008.1.2.3.4567") == "…1.2.3.4567"
    assert tail("1.2.3") == "1.2.3"
    assert called("secondary_capture") == "capture"
    assert called("parametric_map") == "parametric map"


def test_a_sparkline_runs_from_left_to_right_with_the_largest_value_at_its_top() -> None:
    assert sparkline([0, 5, 10], width=100, height=24) == "0.0,23.0 50.0,12.0 100.0,1.0"
    assert sparkline([0, 0], width=10, height=24) == "0.0,23.0 10.0,23.0"
