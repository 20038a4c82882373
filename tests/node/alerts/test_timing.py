"""When a channel is told: what is critical at once, the rest after quiet hours and with the digest."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from node.alerts.timing import not_before
from node.config import AlertSettings

CHANNEL = {"kind": "syslog", "host": "h"}


def settings(**more: Any) -> AlertSettings:
    rules = {name: {"kind": "destination_down"} for name in ("now", "daily")}
    return AlertSettings.model_validate({"channels": {"log": CHANNEL}, "rules": rules, **more})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()


NIGHTS = [{"hours": "20:00-07:00", "days": ["mon", "tue", "wed", "thu", "fri"]}]
WEEKEND = [{"hours": "00:00-24:00", "days": ["sat", "sun"]}]
DIGEST = {"at": "07:30", "rules": ["daily"]}


@pytest.mark.parametrize(
    ("more", "rule", "severity", "now", "then"),
    [
        ({}, "now", "info", "2026-01-01 23:00", "2026-01-01 23:00"),
        ({"quiet_hours": NIGHTS}, "now", "warning", "2026-01-01 23:00", "2026-01-02 07:00"),
        ({"quiet_hours": NIGHTS}, "now", "critical", "2026-01-01 23:00", "2026-01-01 23:00"),
        ({"quiet_hours": NIGHTS}, "now", "warning", "2026-01-03 23:00", "2026-01-03 23:00"),  # a Saturday
        # the night of Friday leads into the weekend, and that into Monday
        ({"quiet_hours": NIGHTS + WEEKEND}, "now", "warning", "2026-01-02 21:00", "2026-01-05 00:00"),
        ({"digest": DIGEST}, "daily", "info", "2026-01-01 07:30", "2026-01-02 07:30"),
        ({"digest": DIGEST}, "daily", "info", "2026-01-01 07:29", "2026-01-01 07:30"),
        ({"digest": DIGEST}, "daily", "critical", "2026-01-01 12:00", "2026-01-01 12:00"),
        ({"digest": DIGEST}, "now", "info", "2026-01-01 12:00", "2026-01-01 12:00"),
        ({"digest": {**DIGEST, "days": ["mon"]}}, "daily", "info", "2026-01-06 12:00", "2026-01-12 07:30"),
        (
            {"digest": {**DIGEST, "at": "06:00"}, "quiet_hours": NIGHTS},
            "daily",
            "info",
            "2026-01-06 12:00",
            "2026-01-07 07:00",
        ),
    ],
)
def test_it_is_told_then(more: dict[str, Any], rule: str, severity: str, now: str, then: str) -> None:
    assert not_before(settings(**more), rule, severity, at(now)) == at(then)


def test_hours_that_are_always_quiet_end_at_some_time() -> None:
    always = settings(quiet_hours=[{"hours": "00:00-24:00"}])
    assert not_before(always, "now", "info", at("2026-01-01 12:00")) > at("2026-01-08 12:00")
