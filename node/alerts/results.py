"""What rules see of jobs that have ended: each that a rule asks for is told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import literal, select, tuple_
from sqlalchemy.orm import Session

from node.alerts.conditions import STATE, of_rule, quoted
from node.config import Configuration
from node.config.alerts import ResultMade
from node.data_folder import job_folder
from node.database.alerts import Observation
from node.database.jobs import JobState
from node.database.tables import Instant, JobRow
from node.matching import result as matching
from node.matching.language import Group
from node.run.choice import ENDS
from node.run.job_folder import SUMMARY

OVERLAP = timedelta(minutes=2)  # what is committed after others that ended later is found too
LONGEST_BACK = timedelta(days=2)  # a node that was away for longer tells no old news
PAGE, MOST_PAGES = 200, 50  # of jobs that a round looks at
LOOKED_AT = (JobState.SENDING, JobState.DONE, JobState.UNSUITABLE, JobState.FAILED)


def results_made(
    session: Session, name: str, rule: ResultMade, configuration: Configuration, looked_until: datetime, now: datetime
) -> tuple[list[Observation], datetime]:
    """The jobs that ended since `looked_until` and that the rule asks for, and until when all were looked at now.

    A result that is being sent has been made: what is told of it does not wait for a destination.
    """
    since = max(looked_until, now - LONGEST_BACK) - OVERLAP
    matcher = matching.RESULT.matcher(rule.when, f"alerts.rules.{name}.when")
    found: list[Observation] = []
    until, last = looked_until, (since, "")
    for _ in range(MOST_PAGES):
        later = tuple_(JobRow.updated, JobRow.id) > tuple_(literal(last[0], Instant), last[1])
        rows = session.scalars(
            select(JobRow)
            .where(JobRow.cleaned.is_(None), later, STATE.in_(LOOKED_AT))
            .where(of_rule(rule.routes, rule.pipelines))
            .order_by(JobRow.updated, JobRow.id)
            .limit(PAGE)
        ).all()
        found += _asked_for(matcher, rule, rows, configuration.node.data)
        if rows:
            last = (rows[-1].updated, rows[-1].id)
            until = max(until, last[0])
        if len(rows) < PAGE:
            break
    return found, until


def _asked_for(matcher: Group, rule: ResultMade, rows: Iterable[JobRow], data: Path) -> Iterator[Observation]:
    for row in rows:
        ends = ENDS[JobState(row.state)]
        summary = _summary(data, row.id) if ends == matching.DONE else None
        clause = matcher.trace(matching.result_facts(ends, summary))
        if clause.holds:
            yield _told(rule, row, ends, matching.why(clause))


def _told(rule: ResultMade, row: JobRow, ends: str, why: str) -> Observation:
    study = f" Study {row.study_instance_uid}." if "study_instance_uid" in rule.include else ""
    reason = quoted(row.reason) if ends != matching.DONE else ""
    return Observation(
        subject=f"{row.id}:{ends}",
        title=f"{row.pipeline} has a result" if ends == matching.DONE else f"{row.pipeline}: a job is {ends}",
        sentence=f"Job {row.id[:8]} of route {row.route} ended as {ends}: {why}.{reason}{study}",
        link=f"/jobs/{row.id}",
        since=row.updated,
        job_id=row.id,
    )


def _summary(data: Path, job_id: str) -> Mapping[str, Any] | None:
    """Of the result; None where it is gone or cannot be read, so that only how the job ended is known."""
    try:
        return matching.read_summary((job_folder(data, job_id) / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return None
