"""How long a scrape of ``/metrics`` takes beside a full database: ``python benchmarks/metrics_scrape.py``.

A node after some years: a million instances, 300,000 jobs with a million lines of timeline, and a million lines of the
outbox; one in a hundred jobs has not ended, and one in a hundred lines waits. The peer is the node as it was: every
figure was a count or a sum over the whole table, asked at each scrape. Its statements are kept here. Now counters are
in the process, and how things stand is found by indexes of the rows that have not ended. What is measured is the whole
text of the answer, without HTTP.

Measured on 1 Dec 2026 on two cores that other work wanted too (load 4 to 12):

==========  ==================  ================  ===========  ================================
database    before: 10^4, 10^6  now: 10^4, 10^6   10^6: ratio  10^6, half of the lines wait
==========  ==================  ================  ===========  ================================
SQLite      10 ms, 965 ms       7.0 ms, 8.4 ms    114          2,318 ms before, 63 ms now: 37
PostgreSQL  12 ms, 637 ms       15 ms, 15 ms      43           2,480 ms before, 284 ms now: 8.7
==========  ==================  ================  ===========  ================================

What does not grow is the time to write 50 KB of text and to ask some twenty questions. What waits is counted: half a
million objects for destinations that have been down for long cost what it takes to read that many entries of an index.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # PostgreSQL is started by the tests' own means

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database, open_database
from node.database.migrations import migrate
from node.database.tables import (
    AssociationRow,
    EventRow,
    ExecutorRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    OutboxRow,
    SeriesRow,
    StudyRow,
)
from node.status.connections import Connections
from node.status.metrics import Metrics
from tests.node.backlog import NOW, add, job_row
from tests.postgres import Postgres

INSTANCES, JOBS, EVENTS, LINES = 1_000_000, 300_000, 1_000_000, 1_000_000
AT_ONCE = 20_000  # rows in a transaction
OPEN = 100  # one in so many jobs, and one in so many lines, has not ended
PIPELINES = ("knee_super_resolution", "hand_foot_scoring", "joint_classification")
DESTINATIONS = ("pacs", "vna", "web")
STEPS = ("queued", "prepare", "infer", "encode", "hand over", "done")
REPEATS = 9


# ---- the peer
def figures_before(session: Session) -> None:
    """What a scrape asked before."""
    session.scalar(select(func.count()).select_from(InstanceRow))
    session.scalar(select(func.sum(InstanceRow.size)))
    session.scalar(select(func.count()).select_from(InstanceRow).where(InstanceRow.given_up != ""))
    way = (AssociationRow.way, AssociationRow.outcome)
    session.execute(select(*way, func.sum(AssociationRow.times)).group_by(*way)).all()
    state = (JobRow.pipeline, JobRow.state)
    session.execute(select(*state, func.count()).group_by(*state)).all()
    step = (JobRow.pipeline, EventRow.what)
    session.execute(
        select(*step, func.count(), func.sum(EventRow.seconds))
        .join(JobRow, JobRow.id == EventRow.job_id)
        .where(EventRow.seconds.is_not(None))
        .group_by(*step)
    ).all()
    line = (OutboxRow.destination, OutboxRow.state)
    session.execute(select(*line, func.count()).group_by(*line)).all()
    session.execute(
        select(OutboxRow.destination, func.min(JobRow.created))
        .join(JobRow, JobRow.id == OutboxRow.job_id)
        .where(OutboxRow.state == "waiting")
        .group_by(OutboxRow.destination)
    ).all()


# ---- the records
def _in_bulk(database: Database, kind: Any, count: int, row: Callable[[int], dict[str, Any]]) -> None:
    for first in range(0, count, AT_ONCE):
        add(database, kind, [row(number) for number in range(first, min(first + AT_ONCE, count))])


def fill(database: Database, scale: float, waiting: float) -> None:
    """The records of some years.

    Parameters
    ----------
    scale
        1.0 makes `INSTANCES`, `JOBS`, `EVENTS` and `LINES`.
    waiting
        Share of the lines that wait.
    """
    instances, jobs, events, lines = (int(number * scale) for number in (INSTANCES, JOBS, EVENTS, LINES))

    def at(number: int, of: int) -> Any:
        return NOW - timedelta(days=1000) * (1 - number / of)

    def study(number: int) -> str:
        return f"1.2.{number // 100}"

    def job(number: int) -> dict[str, Any]:
        state = ("queued", "running", "sending")[number % 3] if number % OPEN == 0 else "done"
        moment = at(number, jobs)
        row = job_row(f"{number:032x}", state=state, created=moment, updated=moment, cleaned=moment)
        return {**row, "pipeline": PIPELINES[number % 3]}

    of = {"sop_class_uid": "1.2", "transfer_syntax_uid": "1.2.1", "path": "ab/cd", "size": 524288}
    _in_bulk(
        database,
        InstanceRow,
        instances,
        lambda n: {
            **of,
            "sop_instance_uid": f"1.2.9.{n}",
            "study_instance_uid": study(n),
            "series_instance_uid": f"{study(n)}.1",
            "association_id": f"a-{n // 100}",
            "received": at(n, instances),
        },
    )
    rows = instances // 100
    times = {"first_received": NOW}
    _in_bulk(
        database, StudyRow, rows, lambda n: {**times, "study_instance_uid": f"1.2.{n}", "last_received": at(n, rows)}
    )
    _in_bulk(
        database,
        SeriesRow,
        rows,
        lambda n: {
            **times,
            "study_instance_uid": f"1.2.{n}",
            "series_instance_uid": f"1.2.{n}.1",
            "last_received": at(n, rows),
            "instances": 100,
            "routed_instances": 100,
            "study_routed_instances": 100,
        },
    )
    association = {"way": "dimse", "outcome": "released"}
    _in_bulk(
        database, AssociationRow, rows, lambda n: {**association, "id": f"a-{n}", "started": at(n, rows), "ended": NOW}
    )
    _in_bulk(database, JobRow, jobs, job)
    _in_bulk(
        database,
        EventRow,
        events,
        lambda n: {
            "job_id": f"{n * jobs // events:032x}",
            "what": STEPS[n % len(STEPS)],
            "at": at(n, events),
            "seconds": 1.5 if n % 3 else None,
        },
    )
    made = {**of, "kind": "derived_series", "sha256": "0" * 64}
    _in_bulk(
        database,
        ObjectRow,
        lines,
        lambda n: {
            **{key: value for key, value in made.items() if key != "transfer_syntax_uid"},
            "sop_instance_uid": f"2.25.{n}",
            "series_instance_uid": f"2.25.{n}.1",
            "study_instance_uid": study(n),
            "job_id": f"{n * jobs // lines:032x}",
        },
    )
    every = round(1 / waiting)

    def line(number: int) -> dict[str, Any]:
        waits = number % every == 0
        return {
            "sop_instance_uid": f"2.25.{number}",
            "job_id": f"{number * jobs // lines:032x}",
            "destination": DESTINATIONS[number // every % 3],
            "state": "waiting" if waits else "delivered",
            "not_before": NOW,
            "delivered": None if waits else NOW,
            "failing_since": NOW if waits and number // every % 3 == 0 else None,
        }

    _in_bulk(database, OutboxRow, lines, line)
    add(database, ExecutorRow, [{"id": "host:1", "seen": NOW}])


# ---- measuring
def took_s(work: Callable[[], object], repeats: int) -> float:
    """Seconds, the least of a few times."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(url: str, scale: float, waiting: float) -> None:
    """Fill the database at `url`, and print how long a scrape takes, before and now."""
    database = open_database(url, power=False)
    migrate(database)
    fill(database, scale, waiting)
    postgresql = database.dialect.name == "postgresql"
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE" if postgresql else "ANALYZE"))  # as each does by itself now and then
    destinations = {name: {"kind": "folder", "path": f"/tmp/{name}"} for name in DESTINATIONS}
    routes = {
        name: {"pipeline": name, "when": {"Modality": "MR"}, "destinations": list(DESTINATIONS)} for name in PIPELINES
    }
    configuration = Configuration.model_validate(
        {"node": {"data": "."}, "destinations": destinations, "routes": routes}
    )
    scraped = Metrics(configuration, database, Connections(), lambda: {"database": None})
    scraped.text()  # the first time, statements are compiled and the models' files are read

    def before() -> None:
        with Session(database) as session:
            figures_before(session)

    before_s, now_s = took_s(before, 2), took_s(scraped.text, REPEATS)
    size = len(scraped.text())
    print(
        f"{database.dialect.name}, scale {scale:g}, {waiting:.0%} waiting: before {before_s * 1000:,.0f} ms, "
        f"now {now_s * 1000:.1f} ms ({size:,} bytes): {before_s / now_s:.3g} times as fast",
        flush=True,
    )
    database.dispose()


@contextmanager
def databases() -> Iterator[dict[str, Callable[[], str]]]:
    """By kind: makes a new database and returns its URL."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pg").mkdir()
        numbers = iter(range(1000))
        with Postgres(Path(folder) / "pg") as server:
            yield {
                "sqlite": lambda: f"sqlite:///{folder}/{next(numbers)}.db",
                "postgresql": server.database,
            }


def main() -> None:
    """Measure on both kinds of database."""
    parser = argparse.ArgumentParser(description="How long a scrape of /metrics takes beside a full database.")
    parser.add_argument("--scale", type=float, nargs="*", default=[0.01, 1.0], help="1: a million instances")
    parser.add_argument("--waiting", type=float, default=1 / OPEN, help="share of the outbox that waits")
    asked = parser.parse_args()
    with databases() as kinds:
        for new in kinds.values():
            for scale in asked.scale:
                measure(new(), scale, asked.waiting)


if __name__ == "__main__":
    main()
