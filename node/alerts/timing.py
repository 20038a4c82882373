"""When a channel is told: at once, at the end of quiet hours, or with the digest."""

from __future__ import annotations

from datetime import datetime

from node.config.alert_times import end_of_stretch, next_time
from node.config.alerts import AlertSettings

URGENT = "critical"
_MOST_STRETCHES = 100  # of quiet hours that follow each other without a gap


def not_before(settings: AlertSettings, rule: str, severity: str, now: datetime) -> datetime:
    """From when on a channel may be told of what a rule found.

    Parameters
    ----------
    rule
        Its name.
    severity
        What is critical waits for nothing.
    now
        The time, with its zone.
    """
    if severity == URGENT:
        return now
    digest = settings.digest
    when = next_time(digest.at, digest.days, now) if rule in digest.rules and digest.days else now
    return _after_quiet_hours(settings, when)


def _after_quiet_hours(settings: AlertSettings, when: datetime) -> datetime:
    for _ in range(_MOST_STRETCHES):
        ends = [end_of_stretch(quiet.hours, quiet.days, when) for quiet in settings.quiet_hours]
        if not (later := [end for end in ends if end is not None]):
            break
        when = max(later)
    return when
