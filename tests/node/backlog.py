"""A database as it is after a weekend without a PACS, filled in bulk; and how it finds what it is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, event, insert, text

from node.database.connection import Database
from node.database.tables import Base, CommitmentRow, JobRow, ObjectRow, OutboxRow

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
OBJECTS = 50  # of a job: a knee series
AT_ONCE = 200  # jobs in a transaction
LARGE = 5000  # rows of a table that PostgreSQL must not read whole


def table(kind: type[Base]) -> Table:
    found = kind.__table__
    assert isinstance(found, Table)
    return found


def add(database: Database, kind: type[Base], rows: list[dict[str, Any]]) -> None:
    with database.begin() as connection:
        connection.execute(insert(table(kind)), rows)


def job_row(job_id: str, **more: Any) -> dict[str, Any]:
    """A job that is being sent."""
    study = f"1.2.{int(job_id, 16)}"
    made = {"series_instance_uids": [], "sop_instance_uids": [], "settings": {}, "destinations": ["pacs"]}
    return {
        **made,
        "id": job_id,
        "route": "route",
        "pipeline": "trial",
        "study_instance_uid": study,
        "state": "sending",
        "created": NOW,
        "updated": NOW,
        **more,
    }


def fill(database: Database, lines: int, *, objects: int = OBJECTS, asked: bool = False) -> None:
    """Jobs whose objects wait for the destination ``pacs``, which put the first of each off for an hour.

    Parameters
    ----------
    lines
        Of the outbox, about so many.
    objects
        Of each job.
    asked
        The objects were taken instead, and it has been asked to commit itself to them, and has not reported yet.
    """
    numbers = range(lines // objects)
    for first in range(0, len(numbers), AT_ONCE):
        jobs = numbers[first : first + AT_ONCE]
        items = [(job, item) for job in jobs for item in range(objects)]
        add(database, JobRow, [job_row(f"{job:032x}") for job in jobs])
        made = {"sop_class_uid": "1.2", "kind": "derived_series", "path": "", "sha256": "0" * 64, "size": 1}
        add(
            database,
            ObjectRow,
            [
                {
                    **made,
                    "sop_instance_uid": f"2.25.{job}.{item}",
                    "series_instance_uid": f"1.2.{job}.1",
                    "study_instance_uid": f"1.2.{job}",
                    "job_id": f"{job:032x}",
                }
                for job, item in items
            ],
        )
        add(
            database,
            OutboxRow,
            [
                {
                    "sop_instance_uid": f"2.25.{job}.{item}",
                    "job_id": f"{job:032x}",
                    "destination": "pacs",
                    "state": "delivered" if asked else "waiting",
                    "not_before": LATER,
                    "delivered": NOW if asked else None,
                    "confirm": asked,
                    "transaction_uid": f"2.25.9.{job}" if asked else None,
                }
                for job, item in items
            ],
        )
        if asked:
            add(
                database,
                CommitmentRow,
                [
                    {
                        "transaction_uid": f"2.25.9.{job}",
                        "direction": "out",
                        "peer": "pacs",
                        "references": [["1.2", f"2.25.{job}.{item}"] for item in range(objects)],
                        "state": "waiting",
                        "asked": True,
                        "not_before": LATER,
                        "created": NOW,
                    }
                    for job in jobs
                ],
            )
    with database.begin() as connection:
        connection.execute(text("ANALYZE"))  # as each of them does by itself now and then


@contextmanager
def whole_tables_read(database: Database) -> Iterator[set[str]]:
    """Afterwards: the tables that the statements inside read, or sorted, as a whole, as the database explains it."""
    ran: list[tuple[str, Any]] = []
    found: set[str] = set()

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not many and statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
            ran.append((statement, parameters))

    event.listen(database, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(database, "before_cursor_execute", note)
    explain = _sqlite if database.dialect.name == "sqlite" else _postgresql
    with database.connect() as connection:
        for statement, parameters in ran:
            found |= set(explain(connection, statement, parameters))


def _sqlite(connection: Connection, statement: str, parameters: Any) -> Iterator[str]:
    for *_, line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
        if match := re.match(r"SCAN (?!CONSTANT)(\w+)", line):
            yield match[1]
        if "outbox_by_state" in line:  # of all lines of a destination in one state: that is for counting them
            yield f"all of a state: {statement}"
        if "TEMP B-TREE FOR ORDER BY" in line and "LIMIT" in statement:
            yield f"sorted: {statement}"


def _postgresql(connection: Connection, statement: str, parameters: Any) -> Iterator[str]:
    """It rightly reads small tables whole; of those it is asked whether it could do without."""
    for wholly in ("on", "off"):
        connection.execute(text(f"SET LOCAL enable_seqscan = {wholly}"))
        for (line,) in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters):
            if match := re.search(r"Seq Scan on (\w+)", line):
                rows = text("SELECT reltuples FROM pg_class WHERE relname = :name")
                if wholly == "off" or (connection.scalar(rows, {"name": match[1]}) or 0) >= LARGE:
                    yield match[1]


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """Afterwards: how the database would answer what is asked inside, by its statistics and without whole tables."""
    ran: list[tuple[str, Any]] = []
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        ran.append((statement, parameters))

    event.listen(database, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(database, "before_cursor_execute", note)
    with database.connect() as connection:
        sqlite = database.dialect.name == "sqlite"
        if not sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))  # small tables are rightly read whole
        for statement, parameters in ran:
            explain = f"EXPLAIN {'QUERY PLAN ' if sqlite else ''}{statement}"
            found += [str(line[-1]) for line in connection.exec_driver_sql(explain, parameters)]
