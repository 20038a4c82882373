"""What the page says of routes: hits, the clause that decided, jobs and their time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database
from node.database.tables import DecisionRow, EventRow, JobRow
from node.status.route_hits import RouteView, route_views
from tests.node.status.any_database import any_database

__all__ = ["any_database"]
pytestmark = pytest.mark.postgres
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
CONFIGURATION = Configuration.model_validate(
    {
        "destinations": {"pacs": {"kind": "folder", "path": "/x"}},
        "routes": {
            "knee": {
                "when": {"Modality": "MR", "any_of": [{"PatientName": "X*"}, {"SliceThickness": {"min": 2}}]},
                "pipeline": "knee_super_resolution",
                "destinations": [{"to": "pacs", "when": {"state": "done"}}],
            },
            "hands": {"when": {}, "level": "study", "pipeline": "hand_foot_scoring", "destinations": []},
        },
    }
)


def decision(
    hours_ago: float, *, matched: bool = False, failed: tuple[str, ...] = (), route: str = "knee"
) -> DecisionRow:
    clauses: list[dict[str, Any]] = [
        {"key": key, "expected": "x", "found": "y", "holds": False} for key in failed if key != "any"
    ]
    if "any" in failed:
        inner = {"key": "SliceThickness", "expected": "x", "found": "y", "holds": False}
        clauses.append({"key": "any_of", "expected": "x", "found": "y", "holds": False, "clauses": [inner]})
    return DecisionRow(
        route=route,
        level="series",
        study_instance_uid="1.2",
        series_instance_uid="1.2.1",
        matched=matched,
        trace={"series": [{"clauses": clauses}]},
        decided=NOW - timedelta(hours=hours_ago),
    )


def job(number: int, hours_ago: float, seconds: float, state: str = "done", route: str = "knee") -> list[Any]:
    row = JobRow(
        id=f"{number:032x}",
        route=route,
        pipeline="p",
        study_instance_uid="1.2",
        series_instance_uids=[],
        sop_instance_uids=[],
        settings={},
        destinations=[],
        state=state,
        created=NOW - timedelta(hours=hours_ago),
        updated=NOW,
    )
    steps = [("prepare", seconds / 4), ("infer", 3 * seconds / 4), ("sending", None)]
    return [row, *(EventRow(job_id=row.id, what=what, at=NOW, seconds=took) for what, took in steps)]


def views(database: Database, *rows: Any, paused: dict[str, str] | None = None) -> dict[str, RouteView]:
    with Session(database) as session, session.begin():
        for row in rows:
            session.add(row)
            session.flush()
    return {view.name: view for view in route_views(CONFIGURATION, database, NOW, paused or {})}


def test_hits_are_counted_by_day_and_week(any_database: Database) -> None:
    rows = [decision(hours, matched=True) for hours in (1, 30, 200)] + [decision(2), decision(100), decision(300)]
    view = views(any_database, *rows, decision(1, matched=True, route="hands"))["knee"]
    assert (view.day.matched, view.day.asked) == (1, 2)
    assert (view.week.matched, view.week.asked) == (2, 4)
    assert view.last_hit == NOW - timedelta(hours=1)


def test_the_clause_that_decides_most_often_comes_first(any_database: Database) -> None:
    rows = [decision(1, failed=("Modality",)) for _ in range(3)] + [decision(1, failed=("Modality", "any"))]
    view = views(any_database, *rows, decision(300, failed=("any",)))["knee"]
    assert [(one.key, one.share, one.alone) for one in view.deciding] == [
        ("Modality", 1.0, 0.75),
        ("SliceThickness", 0.25, 0.0),
    ]
    assert view.looked_into == 4


def test_jobs_are_told_by_state_with_their_time_and_share(any_database: Database) -> None:
    rows = [job(number, 1, seconds) for number, seconds in enumerate([*range(1, 21)])]
    rows += [job(100, 2, 99, state="failed"), job(101, 300, 99), job(102, 3, 70, route="hands")]
    found = views(any_database, *(row for some in rows for row in some))
    times = found["knee"].times
    assert times is not None
    assert dict(found["knee"].jobs) == {"done": 20, "failed": 1}
    assert (times.jobs, times.median_s, times.p95_s, times.mean_s) == (20, 10.5, 19.0, 10.5)
    assert found["knee"].share == pytest.approx(210 / 280)
    assert found["hands"].share == pytest.approx(70 / 280)


def test_a_route_without_decisions_and_jobs_says_so(any_database: Database) -> None:
    view = views(any_database, paused={"knee": "by Anna"})["knee"]
    assert (view.day.asked, view.week.asked, view.last_hit, view.times, view.share) == (0, 0, None, None, None)
    assert (view.deciding, view.jobs, view.paused) == ((), {}, "by Anna")


def test_clauses_and_conditions_are_told_as_they_are_read_and_no_name(any_database: Database) -> None:
    view = views(any_database)["knee"]
    assert [(one.key, one.test) for one in view.clauses] == [("Modality", "MR"), ("any of these holds", "")]
    assert [(one.key, one.test) for one in view.clauses[1].clauses] == [
        ("PatientName", "(not shown)"),
        ("SliceThickness", "at least 2"),
    ]
    (destination,) = view.destinations
    assert (destination.name, destination.clauses[0].key, destination.clauses[0].test) == ("pacs", "state", "done")
