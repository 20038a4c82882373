"""What happened is told for as long as the configuration says, and jobs for ever."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.config import HistorySettings
from node.database.callbacks import CallbackState
from node.database.connection import Database
from node.database.fetches import FetchState
from node.database.history import PAGE, History
from node.database.tables import (
    ERASED,
    AlertNoticeRow,
    AlertRow,
    AssociationRow,
    AuditRow,
    Base,
    CallbackRow,
    CommitmentRow,
    DecisionRow,
    EventRow,
    FetchRow,
    InstanceRow,
    JobRow,
)
from tests.node.backlog import NOW, add, job_row, whole_tables_read

pytestmark = pytest.mark.postgres
OLD, YOUNG = NOW - timedelta(days=366), NOW - timedelta(days=364)
JOB = "1" * 32


@pytest.fixture
def database(database: Database) -> Database:
    add(database, JobRow, [job_row(JOB, created=OLD, updated=OLD, state="done")])
    return database


def decision(at: datetime) -> dict[str, Any]:
    return {
        "route": "r", "level": "study", "study_instance_uid": "1", "matched": False, "trace": {}, "decided": at,
    }  # fmt: skip


def happened(database: Database, at: datetime, number: int = 1) -> None:
    """So many rows of everything, from a moment on."""
    moments = [at + timedelta(seconds=second) for second in range(number)]
    add(database, DecisionRow, [decision(moment) for moment in moments])
    add(database, EventRow, [{"job_id": JOB, "what": "infer", "at": moment} for moment in moments])
    add(database, AuditRow, [{"at": moment, "what": "refused", "detail": {}} for moment in moments])
    made = {"way": "dimse", "outcome": "released", "ended": at}
    add(database, AssociationRow, [{**made, "id": f"a{moment:%m%d%H%M%S}", "started": moment} for moment in moments])


def count(database: Database, kind: type[Base]) -> int:
    with Session(database) as session:
        return session.scalar(select(func.count()).select_from(kind)) or 0


def history(database: Database, **days: int) -> History:
    return History(database, HistorySettings(**days), lambda: NOW)


def test_what_is_older_than_a_year_goes_and_the_audit_trail_and_the_jobs_stay(database: Database) -> None:
    happened(database, OLD)
    happened(database, YOUNG)
    gone = history(database).remove_old()
    assert gone == {
        "decisions": 1,
        "events": 1,
        "associations": 1,
        "commitments": 0,
        "requests": 0,
        "callbacks": 0,
        "alert notices": 0,
        "alerts": 0,
        "audit": 0,
    }
    for kind in (DecisionRow, EventRow, AssociationRow, JobRow):
        assert count(database, kind) == 1
    assert count(database, AuditRow) == 2
    assert history(database, audit_days=365).remove_old()["audit"] == 1


def test_an_alert_goes_when_it_is_over_and_everybody_was_told(database: Database) -> None:
    made = {"rule": "it", "node": "", "severity": "info", "since": OLD, "times": 1, "title": "", "sentence": ""}
    of = {"advice": "", "ending": "", "link": ""}
    states = {"over": "over", "firing": "firing", "waiting": "over"}
    add(database, AlertRow, [{**made, **of, "subject": name, "state": state} for name, state in states.items()])
    with Session(database) as session:
        ids = dict(session.execute(select(AlertRow.subject, AlertRow.id)).all())
    told = {"channel": "mail", "content": {}, "attempts": 0, "not_before": OLD, "created": OLD, "answer": ""}
    rows = [{**told, "alert_id": ids[name], "state": "sent"} for name in ids]
    add(database, AlertNoticeRow, [*rows, {**told, "alert_id": ids["waiting"], "state": "waiting"}])
    gone = history(database).remove_old()
    assert (gone["alert notices"], gone["alerts"]) == (3, 1)
    with Session(database) as session:
        assert set(session.scalars(select(AlertRow.subject))) == {"firing", "waiting"}


def test_an_association_stays_while_it_is_open_or_an_image_that_it_brought_is_stored(database: Database) -> None:
    made = {"way": "dimse", "started": OLD}
    ended = {"outcome": "released", "ended": OLD}
    add(database, AssociationRow, [{**made, **ended, "id": name} for name in ("brought", "nothing")])
    add(database, AssociationRow, [{**made, "id": "open", "outcome": "open"}])
    image = {"sop_class_uid": "1", "series_instance_uid": "1", "study_instance_uid": "1", "transfer_syntax_uid": "1"}
    stored = {"sop_instance_uid": "1", "path": "", "size": 1, "association_id": "brought", "received": OLD}
    add(database, InstanceRow, [{**image, **stored, "fsynced": True}])
    assert history(database).remove_old()["associations"] == 1
    with Session(database) as session:
        assert set(session.scalars(select(AssociationRow.id))) == {"brought", "open"}


def test_the_record_of_an_erasure_stays_for_ever(database: Database) -> None:
    add(database, AuditRow, [{"at": NOW - timedelta(days=9000), "what": ERASED, "detail": {}}])
    history(database).remove_old()
    assert count(database, AuditRow) == 1


def test_a_transaction_goes_once_it_has_ended(database: Database) -> None:
    made = {"direction": "in", "peer": "scanner", "references": [], "not_before": OLD, "created": OLD}
    states = ("waiting", "reported", "failed")
    add(database, CommitmentRow, [{**made, "transaction_uid": state, "state": state} for state in states])
    assert history(database).remove_old()["commitments"] == 2
    with Session(database) as session:
        assert session.scalars(select(CommitmentRow.transaction_uid)).all() == ["waiting"]


def test_a_request_goes_once_it_has_ended(database: Database) -> None:
    made = {"archive": "pacs", "study_instance_uid": "1.2", "asked": {}, "jobs": [], "not_before": OLD, "updated": OLD}
    add(database, FetchRow, [{**made, "id": state, "state": state, "created": OLD} for state in FetchState])
    assert history(database).remove_old()["requests"] == 2
    with Session(database) as session:
        assert set(session.scalars(select(FetchRow.id))) == {"waiting", "fetching", "arrived"}


def test_a_callback_goes_once_it_has_ended(database: Database) -> None:
    made = {"receiver": "ris", "url": "", "study_instance_uid": "1.2", "request": "", "jobs": [], "not_before": OLD}
    add(database, CallbackRow, [{**made, "id": state, "state": state, "created": OLD} for state in CallbackState])
    assert history(database).remove_old()["callbacks"] == 2
    with Session(database) as session:
        assert session.scalars(select(CallbackRow.id)).all() == ["waiting"]


def test_one_round_removes_all_of_it_a_page_at_a_time_and_reads_no_table_whole(database: Database) -> None:
    many = 2 * PAGE + 1
    happened(database, OLD - timedelta(days=1), many)
    happened(database, YOUNG, 3)
    with whole_tables_read(database) as read:
        gone = history(database).remove_old()
    assert gone == {
        "decisions": many,
        "events": many,
        "associations": many,
        "commitments": 0,
        "requests": 0,
        "callbacks": 0,
        "alert notices": 0,
        "alerts": 0,
        "audit": 0,
    }
    assert count(database, EventRow) == 3
    # of the events the oldest are read in their order, and no more than a page at a time
    assert read <= ({"event"} if database.dialect.name == "sqlite" else set())
