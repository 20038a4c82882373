"""What is told of refused messages and bundles: to the log together, to the audit trail where they ended what reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.config import RecordSettings
from node.database.connection import Database, open_database
from node.database.tables import AuditRow, Base
from node.errors import ReaderDied
from node.patient_records import mllp, refused
from node.patient_records.intake import Intake
from node.patient_records.refused import RefusedRecords
from node.patient_records.store import PatientRecords
from node.reading import Readers
from tests.node.patient_records.test_mllp import answers, code, connect, ends_its_process_on_a_boom, framed
from tests.pipelines.records.test_hl7 import ADT

DIED = ReaderDied("what was received ended what reads it (SIGSEGV)")
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


def told(database: Database) -> list[AuditRow]:
    with Session(database) as session:
        return list(session.scalars(select(AuditRow).order_by(AuditRow.id)))


def test_the_first_of_a_kind_is_logged_at_once_and_the_others_by_their_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusals = RefusedRecords()
    for _ in range(1000):
        refusals.add("record refused", "10.0.0.1", "not JSON")
    refusals.add("record refused", "10.0.0.2", "not JSON")
    assert [(vars(line)["sender"], vars(line).get("times")) for line in caplog.records] == [
        ("10.0.0.1", None),
        ("10.0.0.2", None),
    ]
    caplog.clear()
    refusals.tell()
    assert [(vars(line)["sender"], vars(line)["times"]) for line in caplog.records] == [("10.0.0.1", 999)]
    caplog.clear()
    refusals.add("record refused", "10.0.0.1", "not JSON")  # it goes on: no line of its own
    assert not caplog.records
    refusals.tell()
    refusals.tell()
    refusals.add("record refused", "10.0.0.1", "not JSON")  # it had ceased
    assert [vars(line).get("times") for line in caplog.records] == [1, None]


def test_however_many_kinds_there_are_the_log_has_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    refusals = RefusedRecords()
    for number in range(1000):
        refusals.add("record refused", f"10.0.0.{number}", f"reason {number}")
    refusals.tell()
    assert len(caplog.records) == refused.KINDS + 2
    assert vars(caplog.records[-1])["times"] == 1000 - refused.KINDS - 1


def test_what_ended_its_reader_is_on_record_once_an_hour_with_how_often(database: Database) -> None:
    now = NOON
    refusals = RefusedRecords(database, lambda: now)
    for _ in range(3):
        refusals.not_read("HL7", "10.0.0.1", DIED)
        now += timedelta(minutes=1)
    refusals.not_read("FHIR", "10.0.0.2", DIED)
    now += timedelta(hours=1)
    refusals.not_read("HL7", "10.0.0.1", DIED)
    rows = told(database)
    assert [(row.who, row.detail["way"], row.detail["times"]) for row in rows] == [
        ("10.0.0.1", "HL7", 3),
        ("10.0.0.2", "FHIR", 1),
        ("10.0.0.1", "HL7", 1),
    ]
    assert {row.what for row in rows} == {"record not read"}
    assert rows[0].detail["until"] == "2026-01-05T12:02:00+00:00"


def test_a_database_that_is_away_costs_nobody_an_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    empty = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    RefusedRecords(empty).not_read("HL7", "10.0.0.1", DIED)
    empty.dispose()
    assert "no audit of what was refused" in caplog.text


def test_a_message_that_ended_its_reader_is_in_the_audit_trail_and_on_the_page_without_its_content(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("node.patient_records.intake.read_hl7", ends_its_process_on_a_boom)
    with Readers(1) as readers:
        intake = Intake(PatientRecords(tmp_path / "records"), RecordSettings(), readers)
        with (
            mllp.MllpServer("127.0.0.1", 0, intake, refused=RefusedRecords(database)) as server,
            connect(server) as connection,
        ):
            connection.sendall(framed(ADT.replace("Doe", "BOOM")) * 2)
            assert [code(answer) for answer in answers(connection, 2)] == ["AR", "AR"]
    (row,) = told(database)
    assert (row.who, row.detail["way"], row.detail["times"]) == ("127.0.0.1", "HL7", 2)
    assert row.detail["reason"] == "what was received ended what reads it (exit code 9)"
    logged = caplog.text + "".join(str(vars(line)) for line in caplog.records)
    assert not any(secret in logged + str(row.detail) for secret in ("BOOM", "Jane", "|4711", "'4711'"))
