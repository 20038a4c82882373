"""What went wrong, collected and grouped: the same fault is one line, with what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.tables import (
    NOT_STORED,
    RECORD_NOT_READ,
    VERDICT_NOT_READ,
    AssociationRow,
    AuditRow,
    CallbackRow,
    FetchRow,
    JobRow,
    ObjectRow,
    OutboxRow,
)
from node.receive.files_not_taken import FileNotTaken
from node.status.failures import Failures, Group, Kind, pattern_of
from node.status.remedies import remedy
from tests.node.status.any_database import any_database

__all__ = ["any_database"]
pytestmark = pytest.mark.postgres
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
WEEK = NOW - timedelta(days=7)
LATELY, BEFORE = NOW - timedelta(hours=1), NOW - timedelta(days=9)


@pytest.mark.parametrize(
    ("reason", "pattern"),
    [
        ("needs at least 4 slices, found 3", "needs at least N slices, found N"),
        ("study 1.2.840.10008.5.1.4.12: no image of it is stored", "study UID: no image of it is stored"),
        ("job 0123456789abcdef0123456789abcdef ended", "job ID ended"),
        ("0xA700: 300 MB free at 2026-11-28 17:05:01", "0xA700: N MB free at TIME"),
        ("PACS at 10.1.2.3:104: connection refused", "PACS at 10.1.2.3:104: connection refused"),
        ("took 1,800.5 s, limit 30m", "took N s, limit 30m"),
        ("T1 and T2 differ", "T1 and T2 differ"),
        ("SOP class 1.2.840.10008.5.1.4.1.1.88.34 is not taken", "SOP class UID is not taken"),
        ("", ""),
    ],
)
def test_what_differs_from_one_time_to_the_next_is_a_mark(reason: str, pattern: str) -> None:
    assert pattern_of(reason) == pattern


def job(number: int, state: str, reason: str, at: datetime = LATELY) -> JobRow:
    return JobRow(
        id=f"{number:032x}",
        route="knee",
        pipeline="p",
        study_instance_uid="1.2",
        series_instance_uids=[],
        sop_instance_uids=[],
        settings={},
        destinations=[],
        state=state,
        reason=reason,
        created=at,
        updated=at,
    )


def groups(
    database: Database, *rows: Any, kind: Kind | None = None, files: tuple[FileNotTaken, ...] = ()
) -> list[Group]:
    with Session(database) as session, session.begin():
        for row in rows:
            session.add(row)
            session.flush()
    return Failures(database, ["pacs"], lambda: files).groups(WEEK, kind)


def test_the_same_fault_is_one_line_with_its_jobs(any_database: Database) -> None:
    rows = [
        job(1, "failed", "took longer than run.time_limit_s, 1800 s", NOW - timedelta(hours=5)),
        job(2, "failed", "took longer than run.time_limit_s, 900 s"),
        job(3, "failed", "the process that ran the pipeline ended with signal 9"),
        job(4, "unsuitable", "found 3"),
        job(5, "failed", "found 3", BEFORE),
        job(6, "done", ""),
    ]
    found = groups(any_database, *rows)
    slow = next(group for group in found if "time_limit" in group.reason)
    assert (slow.kind, slow.reason, slow.times) == (Kind.FAILED, "took longer than run.time_limit_s, N s", 2)
    assert (slow.first, slow.last) == (NOW - timedelta(hours=5), LATELY)
    assert set(slow.jobs) == {f"{1:032x}", f"{2:032x}"}
    assert slow.whose == (("knee", 2),)
    assert slow.example.reason.endswith("900 s")
    assert slow.remedy.startswith("Raise run.time_limit_s")
    assert sorted(group.kind for group in found) == [Kind.FAILED, Kind.FAILED, Kind.UNSUITABLE]
    assert {group.kind for group in groups(any_database, kind=Kind.UNSUITABLE)} == {Kind.UNSUITABLE}


def test_refused_associations_and_contexts_are_told_by_who_it_was(any_database: Database) -> None:
    common: dict[str, Any] = {"way": "dimse", "started": LATELY, "calling_ae_title": "MR1"}
    rows = [
        AssociationRow(
            id="1", outcome="refused", reason="calling AE title is not in peers", times=40, ended=NOW, **common
        ),
        AssociationRow(id="2", outcome="released", contexts_refused="CT Image Storage: not offered", **common),
        AssociationRow(id="3", outcome="released", **common),
    ]
    found = {group.kind: group for group in groups(any_database, *rows)}
    refused = found[Kind.REFUSED_ASSOCIATION]
    assert (refused.times, refused.first, refused.last, refused.whose) == (40, LATELY, NOW, (("MR1", 40),))
    assert "peers" in refused.remedy
    assert found[Kind.REFUSED_CONTEXT].reason == "CT Image Storage: not offered"
    assert len(found) == 2


def test_the_audit_trail_tells_of_what_was_not_stored_and_not_read(any_database: Database) -> None:
    until = NOW.isoformat()
    low = {"status": "0xA700", "reason": "300 MB free", "until": until, "association": "a"}
    rows = [
        AssociationRow(id="a", way="dimse", calling_ae_title="CT1", started=BEFORE),
        AuditRow(at=LATELY, what=NOT_STORED, detail=low, times=7, study_instance_uid="1.2"),
        AuditRow(at=LATELY, what=NOT_STORED, detail={**low, "reason": "200 MB free"}, times=3),
        AuditRow(at=BEFORE, what=NOT_STORED, detail=low, times=100),
        AuditRow(
            at=LATELY,
            what=RECORD_NOT_READ,
            who="EMR",
            detail={"way": "HL7", "reason": "PID is missing", "times": 4, "until": until},
        ),
        AuditRow(at=LATELY, what=VERDICT_NOT_READ, detail={"reasons": ["no answer"], "sop_instance_uid": "1.2.3"}),
        AuditRow(at=LATELY, what="image given up", detail={"reason": "is damaged", "images": 2, "first": "1.2.9"}),
    ]
    found = {group.kind: group for group in groups(any_database, *rows)}
    stored = found[Kind.NOT_STORED]
    assert (stored.reason, stored.times, stored.last) == ("0xA700: N MB free", 10, NOW)
    assert stored.whose == (("dimse CT1", 10),)
    assert (found[Kind.RECORD].reason, found[Kind.RECORD].times) == ("HL7: PID is missing", 4)
    assert (found[Kind.VERDICT].reason, found[Kind.VERDICT].example.example) == ("no answer", "1.2.3")
    assert (found[Kind.NOT_READ].times, found[Kind.NOT_READ].example.example) == (2, "1.2.9")


def test_deliveries_requests_callbacks_and_files_are_told_too(any_database: Database) -> None:
    made = ObjectRow(
        sop_instance_uid="1.9",
        sop_class_uid="1",
        series_instance_uid="1",
        study_instance_uid="1.2",
        job_id=f"{1:032x}",
        kind="report",
        path="x",
        sha256="",
        size=1,
    )
    sent = OutboxRow(
        sop_instance_uid="1.9", job_id=made.job_id, destination="pacs", state="refused", not_before=LATELY,
        answer="PACS answered 0x0122 to SOP class 1.2.840.10008.5.1.4.1.1.88.34",
    )  # fmt: skip
    fetch = FetchRow(
        id="f", archive="pacs", study_instance_uid="1.2", asked={}, state="failed", reason="no such study", jobs=[],
        not_before=LATELY, created=LATELY, updated=LATELY,
    )  # fmt: skip
    callback = CallbackRow(
        id="c", receiver="ris", url="https://ris.example", study_instance_uid="1.2", request="", jobs=[],
        state="waiting", answer="HTTP 503", attempts=3, not_before=LATELY, created=LATELY,
    )  # fmt: skip
    files = (FileNotTaken(LATELY, "/in", "a.txt", ["is no DICOM file"], [], 0),)
    rows = [job(1, "done", ""), made, sent, fetch, callback]
    found = {group.kind: group for group in groups(any_database, *rows, files=files)}
    assert found[Kind.REFUSED_DELIVERY].reason == "PACS answered 0x0122 to SOP class UID"
    assert found[Kind.REFUSED_DELIVERY].example.href == f"/jobs/{1:032x}"
    assert found[Kind.FETCH].reason == "no such study"
    assert (found[Kind.CALLBACK].reason, found[Kind.CALLBACK].times) == ("HTTP N", 3)
    assert (found[Kind.FILE].example.example, found[Kind.FILE].whose) == ("a.txt", (("/in", 1),))


def test_there_is_something_to_do_about_everything() -> None:
    for kind in Kind:
        assert remedy(kind, "something nobody foresaw").endswith(".")
