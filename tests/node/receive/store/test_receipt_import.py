"""Journals into the database: once, in order, over crashes of either side."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from node.database import erasure
from node.database.connection import Database, open_database
from node.database.tables import (
    KEY_OBJECTS,
    AssociationRow,
    AuditRow,
    Base,
    InstanceRow,
    KeyObjectRow,
    RejectionRow,
    SeriesRow,
    StudyRow,
)
from node.receive.store.locks import LeaderLock, take_slot
from node.receive.store.receipt_import import BATCH_BYTES, ReceiptImport
from node.receive.store.receipt_log import (
    CameBack,
    Closed,
    Failed,
    Noted,
    Opened,
    ReceiptLog,
    Refused,
    Stored,
    Synced,
    decode,
    encode,
    is_abandoned,
)
from tests.counting import counting
from tests.postgres import Postgres
from tests.waiting import until

AT = 1_800_000_000.0


@pytest.fixture
def receipt_import(tmp_path: Path, database: Database) -> ReceiptImport:
    return ReceiptImport(tmp_path, database)


def stored(association: str, number: int, at: float = AT, expected: int | None = None) -> Stored:
    uid = f"1.2.3.{number}"
    return Stored(association, uid, "1.2", "1.2.4", "1.2.5", "MR", "1.2.840.10008.1.2", "ab/x", 9, at, False, expected)


def rows(database: Database, record: Any) -> list[Any]:
    with Session(database) as session:
        found = session.scalars(select(record)).all()
        session.expunge_all()
    return list(found)


def counts(database: Database) -> list[tuple[int, int | None]]:
    return [(row.instances, row.expected) for row in rows(database, SeriesRow)]


def test_an_association_ends_once_and_a_second_end_costs_the_other_receipts_nothing(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    names = [f"{receipts.process}-{number}" for number in range(2)]
    for name in names:
        receipts.append(Opened(name, "dimse", "SCANNER", "CONDYLE", "::1", AT))
    receipts.append(Closed(names[0], AT + 1, "released", "", 3, 0))
    receipts.append(Closed(names[0], AT + 1, "released", "", 3, 0))  # read again after a crash
    receipts.append(Closed(names[0], AT + 2, "aborted", "late", 4, 0))
    receipts.append(Closed(names[1], AT + 2, "cut", "too slow", 1, 0))
    assert receipt_import.poll() == 6
    found = {row.id: (row.outcome, row.reason, row.stored) for row in rows(database, AssociationRow)}
    assert found == {names[0]: ("released", "", 3), names[1]: ("cut", "too slow", 1)}
    receipts.close()


def test_an_association_and_its_instances_are_recorded(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    name = f"{receipts.process}-1"
    receipts.append(Opened(name, "dimse", "SCANNER", "CONDYLE", "::1", AT))
    for number in range(3):
        receipts.append(stored(name, number, AT + number))
    assert receipt_import.poll() == 4
    assert counts(database) == [(3, None)]
    assert rows(database, AssociationRow)[0].ended is None
    receipts.append(Closed(name, AT + 9, "released", "", 3, 0))
    receipts.append(Noted(AT, "disk low", "", {"free_bytes": 1}))
    receipts.append(Refused(f"{name}x", "dimse", "EVIL", "CONDYLE", "10.0.0.1", AT, "Called AE title is not ours"))
    assert receipt_import.poll() == 3
    outcomes = {row.outcome: row.stored for row in rows(database, AssociationRow)}
    assert outcomes == {"released": 3, "refused": 0}
    assert [row.what for row in rows(database, AuditRow)] == ["disk low", "association refused"]
    receipts.close()
    receipt_import.poll()
    assert [path.name for path in (tmp_path / "receipts").iterdir()] == ["receipt_import.lock"]


def test_what_a_crash_left_behind_is_recorded_before_anybody_can_ask_what_is_complete(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    for number in range(200):
        receipts.append(stored(f"{receipts.process}-1", number))
    receipt_import.start()
    try:
        assert counts(database) == [(200, None)]
    finally:
        receipt_import.stop()
        receipts.close()


def test_reading_a_journal_twice_counts_nothing_twice(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    name = f"{receipts.process}-1"
    receipts.append(Opened(name, "dimse", "", "", "", AT))
    receipts.append(stored(name, 1))
    receipts.append(stored(name, 1, AT + 5))
    receipts.append(stored(name, 2))
    receipt_import.poll()
    for mark in (tmp_path / "receipts").glob("*.read"):
        mark.unlink()  # as if the note of how far it was read had been lost
    assert ReceiptImport(tmp_path, database).import_now()
    assert counts(database) == [(2, None)]
    received = {row.sop_instance_uid: row.times_received for row in rows(database, InstanceRow)}
    assert received["1.2.3.2"] == 1
    receipts.close()


def test_a_line_cut_short_by_a_crash_is_no_receipt(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    name = f"{receipts.process}-1"
    receipts.append(Opened(name, "dimse", "", "", "", AT))
    receipts.append(stored(name, 1))
    (segment,) = (tmp_path / "receipts").glob("*.journal")
    with segment.open("ab") as file:
        file.write(encode(stored(name, 2))[:-20])
    os.close(receipts._fd)  # the process dies: its lock is gone
    assert is_abandoned(segment)
    receipt_import.poll()
    assert [row.sop_instance_uid for row in rows(database, InstanceRow)] == ["1.2.3.1"]
    (association,) = rows(database, AssociationRow)
    assert (association.outcome, association.reason) == ("lost", "The receiving process ended")
    assert [path.name for path in (tmp_path / "receipts").iterdir()] == ["receipt_import.lock"]


def test_a_line_that_is_longer_than_a_batch_keeps_no_other_from_being_read(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    name = f"{receipts.process}-1"
    (segment,) = (tmp_path / "receipts").glob("*.journal")
    receipts.append(stored(name, 1))
    with segment.open("ab") as file:  # as earlier versions wrote them
        file.write(encode(Noted(AT, "long", "", {"x": "y" * (3 * BATCH_BYTES)})))
        file.write(b"z" * (2 * BATCH_BYTES) + b"\n")
    for number in range(2, 5):
        receipts.append(stored(name, number))
    with segment.open("ab") as file:
        file.write(b"0" * (2 * BATCH_BYTES))  # one that is being written
    receipt_import.poll()
    assert counts(database) == [(4, None)]
    assert [row.what for row in rows(database, AuditRow)] == ["long"]
    receipts.close()


def test_a_note_of_how_far_a_journal_was_read_that_is_none_costs_no_receipt(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    receipts.append(stored(f"{receipts.process}-1", 1))
    receipt_import.poll()
    (note,) = (tmp_path / "receipts").glob("*.read")
    for content in (b"\xff\xfe", b"9" * 9):
        note.write_bytes(content)
        receipts.append(stored(f"{receipts.process}-1", len(content)))
        ReceiptImport(tmp_path, database).poll()
    assert counts(database) == [(3, None)]
    receipts.close()


def test_a_long_journal_goes_on_in_new_segments(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.receive.store.receipt_log.MAXIMUM_SEGMENT", 2000)
    receipts = ReceiptLog(tmp_path / "receipts")
    name = f"{receipts.process}-1"
    receipts.append(Opened(name, "dimse", "", "", "", AT))
    for number in range(50):
        receipts.append(stored(name, number))
    assert len(list((tmp_path / "receipts").glob("*.journal"))) > 3
    receipt_import.poll()
    assert counts(database) == [(50, None)]
    assert len(list((tmp_path / "receipts").glob("*.journal"))) == 1
    assert rows(database, AssociationRow)[0].ended is None  # a finished segment is not a dead process
    receipts.close()


def test_where_headers_disagree_the_larger_count_is_expected(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    for number, expected in enumerate([None, 5, 7, 6, None]):
        receipts.append(stored(f"{receipts.process}-1", number, expected=expected))
        receipt_import.poll()
    assert counts(database) == [(5, 7)]
    receipts.close()


def test_a_database_that_is_away_costs_no_receipt(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    receipts.append(stored(f"{receipts.process}-1", 1))

    def away(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("away"))

    with monkeypatch.context() as patch:
        patch.setattr(ReceiptImport, "_write", away)
        with pytest.raises(OperationalError):
            receipt_import.poll()
    receipt_import.poll()
    assert counts(database) == [(1, None)]
    receipts.close()


def test_an_entry_that_the_database_refuses_stops_no_other(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    name = f"{receipts.process}-1"
    receipts.append(stored(name, 1))
    receipts.append(stored(name, 2)._replace(modality=None))  # type: ignore[arg-type]  # NOT NULL says no
    receipts.append(stored(name, 3)._replace(sop_class_uid=None))  # type: ignore[arg-type]
    receipts.append(stored(name, 4))
    receipt_import.poll()
    assert {"1.2.3.1", "1.2.3.4"} <= {row.sop_instance_uid for row in rows(database, InstanceRow)}
    receipts.close()


def test_only_one_process_has_the_duty(tmp_path: Path) -> None:
    one, two = LeaderLock(tmp_path / "leader_lock"), LeaderLock(tmp_path / "leader_lock")
    assert one.is_mine()
    assert one.is_mine()
    assert not two.is_mine()
    one.close()
    assert two.is_mine()
    two.close()


def test_places_are_counted_and_given_back(tmp_path: Path) -> None:
    held = [take_slot(tmp_path / "places", 3) for _ in range(4)]
    assert [place is not None for place in held] == [True, True, True, False]
    assert held[1] is not None
    os.close(held[1])
    again = take_slot(tmp_path / "places", 3)
    assert again is not None
    for place in (held[0], held[2], again):
        assert place is not None
        os.close(place)


@pytest.mark.parametrize("spoilt", [b"", b"x", b"00000000 []", b"zzzzzzzz []", b'deadbeef ["Stored"]'])
def test_what_is_no_entry_is_none(spoilt: bytes) -> None:
    assert decode(spoilt) is None


def test_an_entry_survives_its_line() -> None:
    entry = stored("a-1", 7, expected=24)
    assert decode(encode(entry).rstrip(b"\n")) == entry


def test_one_series_uid_over_several_studies_is_a_series_of_each(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    for number in range(6):
        receipts.append(stored("a-1", number, AT + number)._replace(study_instance_uid=f"1.5.{number % 3}"))
        if number == 3:
            receipt_import.poll()
    receipt_import.poll()
    found = {(row.study_instance_uid, row.series_instance_uid): row.instances for row in rows(database, SeriesRow)}
    assert found == {(f"1.5.{number}", "1.2.4"): 2 for number in range(3)}
    receipts.close()


def test_a_revision_makes_the_series_of_its_own_study_complete_once_more(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    one = stored("a-1", 1)
    receipts.append(one)
    receipts.append(stored("a-1", 2)._replace(study_instance_uid="1.5"))
    receipt_import.poll()
    with Session(database) as session, session.begin():
        session.execute(update(SeriesRow).values(routed_instances=1))
    receipts.append(one._replace(at=AT + 9, changed=True))
    receipt_import.poll()
    routed = {row.study_instance_uid: row.routed_instances for row in rows(database, SeriesRow)}
    assert routed == {one.study_instance_uid: 0, "1.5": 1}
    receipts.close()


def test_what_was_given_up_and_is_sent_again_is_read_again(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    for number in (1, 2):
        receipts.append(stored("a-1", number))
    receipt_import.poll()
    with Session(database) as session, session.begin():
        session.execute(update(SeriesRow).values(routed_instances=2, study_routed_instances=2))
        session.get_one(InstanceRow, "1.2.3.1").given_up = "takes too long"
    receipts.append(stored("a-1", 2, AT + 8))  # nothing was wrong with it
    receipt_import.poll()
    assert [(row.routed_instances, row.study_routed_instances) for row in rows(database, SeriesRow)] == [(2, 2)]
    receipts.append(stored("a-1", 1, AT + 9))
    receipt_import.poll()
    assert {(row.given_up, row.reading_attempts) for row in rows(database, InstanceRow)} == {("", 0)}
    assert [(row.routed_instances, row.study_routed_instances) for row in rows(database, SeriesRow)] == [(1, 1)]
    receipts.close()


def test_a_uid_whose_file_was_gone_counts_in_the_series_that_has_it_now(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    for number in (1, 2):
        receipts.append(stored("a-1", number))
    receipt_import.poll()
    with Session(database) as session, session.begin():
        session.execute(update(SeriesRow).values(routed_instances=2, study_routed_instances=1))
    other = stored("a-1", 1, AT + 9)._replace(series_instance_uid="1.7.1", study_instance_uid="1.7")
    receipts.append(other)
    receipts.append(other._replace(at=AT + 10))
    receipt_import.poll()
    found = {
        row.study_instance_uid: (row.instances, row.routed_instances, row.study_routed_instances)
        for row in rows(database, SeriesRow)
    }
    assert found == {"1.2.5": (1, 1, 0), "1.7": (1, 0, 0)}
    for mark in (tmp_path / "receipts").glob("*.read"):
        mark.unlink()  # and all is read once more
    ReceiptImport(tmp_path, database).import_now()
    assert {row.study_instance_uid: row.instances for row in rows(database, SeriesRow)} == {"1.2.5": 1, "1.7": 1}
    assert {row.study_instance_uid for row in rows(database, StudyRow)} == {"1.2.5", "1.7"}
    receipts.close()


@pytest.mark.postgres
@pytest.mark.parametrize("series", ["1.2.4", "1.2.4.9"], ids=["known series", "new series"])
def test_what_comes_while_its_study_is_erased_is_recorded_after_that(
    tmp_path: Path, postgres: Postgres, series: str
) -> None:
    database = open_database(postgres.database())
    Base.metadata.create_all(database)
    receipts = ReceiptLog(tmp_path / "receipts")
    receipts.append(stored("a-1", 1))
    assert ReceiptImport(tmp_path, database).import_now()
    receipts.append(stored("a-1", 1, AT + 1))
    receipts.append(stored("a-1", 2, AT + 1)._replace(series_instance_uid=series))
    with ThreadPoolExecutor(1) as thread:
        with Session(database) as session, session.begin():
            found = erasure.locked(session, "1.2.5")
            imported = thread.submit(ReceiptImport(tmp_path, database).import_now)
            until(lambda: imported.done() or waiting(database), "the import at the lock")
            erasure.erase(session, found, "operator", datetime.now(UTC))
        assert imported.result()
    assert {row.sop_instance_uid for row in rows(database, InstanceRow)} == {"1.2.3.1", "1.2.3.2"}
    assert {row.series_instance_uid: row.instances for row in rows(database, SeriesRow)} == (
        {"1.2.4": 2} if series == "1.2.4" else {"1.2.4": 1, series: 1}
    )
    assert len(rows(database, StudyRow)) == 1
    receipts.close()
    database.dispose()


def waiting(database: Database) -> bool:
    """Whether a session of the server waits for another's lock."""
    with database.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_results_that_came_back_are_no_images_of_their_study(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    receipts.append(Opened("a-1", "dimse", "PACS", "CONDYLE", "::1", AT))
    receipts.append(stored("a-1", 1))
    for number in (2, 3):
        receipts.append(
            stored("a-1", number, AT + 100)._replace(series_instance_uid=f"1.2.4.{number}", made_by_us=True)
        )
    receipts.append(CameBack("a-1", "1.2.3.9", AT + 101))
    receipt_import.poll()
    assert counts(database) == [(1, None)]
    (study,) = rows(database, StudyRow)
    assert study.last_received.timestamp() == AT
    assert [row.made_by_us for row in rows(database, InstanceRow)] == [False, True, True]
    assert rows(database, AssociationRow)[0].stored == 4
    receipts.close()


def test_a_key_object_document_is_no_image_of_its_study_and_is_looked_into_once_for_each_content(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    note = stored("a-1", 2, AT + 100)._replace(
        sop_class_uid=KEY_OBJECTS, series_instance_uid="1.2.4.2", patient="p...."
    )
    ours = note._replace(sop_instance_uid="1.2.3.3", made_by_us=True)
    for entry in (Opened("a-1", "dimse", "PACS", "CONDYLE", "::1", AT), stored("a-1", 1), note, ours):
        receipts.append(entry)
    receipt_import.poll()
    assert counts(database) == [(1, None)]
    (study,) = rows(database, StudyRow)
    assert study.last_received.timestamp() == AT
    (waiting,) = rows(database, KeyObjectRow)
    assert (waiting.sop_instance_uid, waiting.state, waiting.patient) == ("1.2.3.2", "waiting", "p....")
    with Session(database) as session, session.begin():
        session.get_one(KeyObjectRow, "1.2.3.2").state = "refused"
    for changed, state in ((False, "refused"), (True, "waiting")):
        receipts.append(note._replace(at=AT + 200 + changed, changed=changed))
        receipt_import.poll()
        assert [row.state for row in rows(database, KeyObjectRow)] == [state]
    receipts.close()


def test_an_image_that_was_rejected_before_it_came_is_so_only_for_the_notes_own_study_and_patient(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    with Session(database) as session, session.begin():
        session.add(
            KeyObjectRow(
                sop_instance_uid="1.9",
                study_instance_uid="1.2.5",
                patient="p....",
                code="113001",
                state="obeyed",
                received=datetime.fromtimestamp(AT, UTC),
            )
        )
        session.flush()
        session.add_all(RejectionRow(note_uid="1.9", sop_instance_uid=f"1.2.3.{number}") for number in (1, 2, 3))
    receipts = ReceiptLog(tmp_path / "receipts")
    receipts.append(Opened("a-1", "dimse", "SCANNER", "CONDYLE", "::1", AT))
    receipts.append(stored("a-1", 1)._replace(patient="p...."))
    receipts.append(stored("a-1", 2)._replace(patient="q...."))
    receipts.append(stored("a-1", 3)._replace(study_instance_uid="1.2.6", patient="p...."))
    receipts.append(stored("a-1", 4)._replace(patient="p...."))
    receipt_import.poll()
    found = {row.sop_instance_uid: row.rejected for row in rows(database, InstanceRow)}
    assert found == {"1.2.3.1": "113001", "1.2.3.2": "", "1.2.3.3": "", "1.2.3.4": ""}
    receipts.close()


def test_what_was_not_stored_is_on_record_with_its_study(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    receipts.append(Failed("a-1", "1.2.3.1", 0xC002, "Its UID is taken", AT, "1.2.5", "1.2.4"))
    receipts.append(Failed("a-1", "", 0xC000, "The file is not DICOM", AT))
    receipt_import.poll()
    found = {row.study_instance_uid: row.detail["status"] for row in rows(database, AuditRow)}
    assert found == {"1.2.5": "0xC002", None: "0xC000"}
    receipts.close()


def test_an_instance_that_came_while_its_forerunner_was_flushed_is_not_taken_to_be_safe(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    uid = "1.2.3.1"

    def safe() -> bool:
        receipt_import.poll()
        (row,) = rows(database, InstanceRow)
        return bool(row.fsynced)

    receipts.append(stored("a", 1, AT))
    receipts.append(stored("a", 1, AT + 2))
    receipts.append(Synced(uid, AT + 1))  # the flushing of the first took until the second had come
    assert not safe()
    receipts.append(Synced(uid, AT + 3))
    assert safe()
    receipts.append(Synced(uid, AT + 4))
    receipts.append(stored("a", 1, AT + 5))  # both in one reading
    assert not safe()
    receipts.close()


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["nul", "half a pair"])
def test_what_no_database_takes_of_a_text_keeps_nothing_from_being_recorded(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport, text: str
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    names = [f"{receipts.process}-{number}" for number in range(2)]
    receipts.append(Opened(names[0], "dimse", text, text, text, AT, text))
    receipts.append(stored(names[0], 1)._replace(modality=text, patient=text))
    receipts.append(Failed(names[0], text, 0xC000, text, AT, sender=text, named=text))
    receipts.append(Closed(names[0], AT, "cut", text, 1, 1))
    receipts.append(Refused(names[1], "dimse", text, text, text, AT, text))
    receipts.append(Noted(AT, text, text, {text: [text, {"deeper": text}]}))
    assert receipt_import.poll() == 6
    associations, audit = rows(database, AssociationRow), rows(database, AuditRow)
    assert {row.calling_ae_title for row in associations} == {"a�b"}
    assert [row.sop_instance_uid for row in rows(database, InstanceRow)] == ["1.2.3.1"]
    assert sorted(row.what for row in audit) == ["association refused", "a�b", "instance not stored"]
    assert {"a�b": ["a�b", {"deeper": "a�b"}]} in [row.detail for row in audit]
    assert receipt_import.remark() is None
    receipts.close()


@pytest.mark.postgres
def test_a_receipt_that_the_database_refuses_is_kept_told_and_tried_again(tmp_path: Path, postgres: Postgres) -> None:
    database = open_database(postgres.database())
    Base.metadata.create_all(database)
    receipts = ReceiptLog(tmp_path / "receipts")
    name = f"{receipts.process}-1"
    receipts.append(Opened(name, "dimse", "SCANNER", "CONDYLE", "::1", AT))
    receipts.append(stored(name, 1))
    receipts.append(stored(name, 2)._replace(patient="longer than the column is" * 4))
    receipts.append(Closed(name, AT + 1, "released", "", 2, 0))
    receipts.close()
    first = ReceiptImport(tmp_path, database)
    assert first.import_now()
    assert [row.sop_instance_uid for row in rows(database, InstanceRow)] == ["1.2.3.1"]
    assert first.remark() == (
        "1 receipt that the database refuses: kept in not-recorded.lines, tried again when the node starts"
    )
    second = ReceiptImport(tmp_path, database)
    assert second.remark() == first.remark()
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE instance ALTER COLUMN patient TYPE VARCHAR(800)"))
    second.start()
    second.stop()
    assert second.remark() is None
    assert counts(database) == [(2, None)]
    assert [row.stored for row in rows(database, AssociationRow)] == [2]
    database.dispose()


@pytest.mark.postgres
def test_an_instance_of_more_than_two_gigabytes_is_recorded(tmp_path: Path, postgres: Postgres) -> None:
    database = open_database(postgres.database())
    Base.metadata.create_all(database)
    receipts = ReceiptLog(tmp_path / "receipts")
    receipts.append(stored(f"{receipts.process}-1", 1)._replace(size=3 * 2**30))
    ReceiptImport(tmp_path, database).poll()
    assert [row.size for row in rows(database, InstanceRow)] == [3 * 2**30]
    receipts.close()
    database.dispose()


def test_of_receipts_of_several_processes_the_one_with_the_latest_turn_is_recorded_whichever_is_read_last(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    one, two = ReceiptLog(tmp_path / "receipts"), ReceiptLog(tmp_path / "receipts")
    sizes = {1: 100, 2: 200, 3: 300, 4: 300}
    entries = {
        turn: stored(one.process, 1, AT - turn)._replace(size=size, turn=turn, changed=turn in (2, 3))
        for turn, size in sizes.items()
    }  # the clock was set back all the time
    one.append(entries[1])
    receipt_import.poll()
    with Session(database) as session, session.begin():  # as if it had been decided about
        session.execute(update(SeriesRow).values(routed_instances=1, study_routed_instances=1))
    two.append(entries[4])
    receipt_import.poll()
    (row,) = rows(database, InstanceRow)
    assert (row.size, row.turn, row.revision, row.times_received) == (300, 4, 0, 2)
    assert rows(database, SeriesRow)[0].routed_instances == 1
    one.append(entries[2])
    one.append(entries[3])
    receipt_import.poll()
    (row,) = rows(database, InstanceRow)
    assert (row.size, row.turn, row.revision, row.times_received) == (300, 4, 2, 4)
    (series,) = rows(database, SeriesRow)
    assert (series.instances, series.routed_instances, series.study_routed_instances) == (1, 0, 0)
    for receipts in (one, two):
        receipts.close()


def test_a_receipt_of_an_earlier_version_replaces_none_that_has_a_turn(
    tmp_path: Path, database: Database, receipt_import: ReceiptImport
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    for size, turn, at in ((1, 0, AT), (2, 0, AT + 1), (3, 7, AT), (4, 0, AT + 2)):
        receipts.append(stored(receipts.process, 1, at)._replace(size=size, turn=turn))
        receipt_import.poll()
    (row,) = rows(database, InstanceRow)
    assert (row.size, row.turn, row.times_received) == (3, 7, 4)
    receipts.close()


def test_what_comes_is_counted_by_its_way_and_once_however_often_it_is_read(tmp_path: Path, database: Database) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    first, second = (f"{receipts.process}-{number}" for number in range(2))
    with counting() as added:
        receipts.append(Opened(first, "dimse", "SCANNER", "CONDYLE", "::1", AT))
        receipts.append(stored(first, 1)._replace(turn=1))
        receipts.append(stored(first, 2)._replace(turn=2))
        ReceiptImport(tmp_path, database).import_now()
        receipts.append(stored(first, 1, AT + 5)._replace(turn=3))  # sent again
        receipts.append(Opened(second, "stow", "", "", "::1", AT))
        receipts.append(stored(second, 3)._replace(turn=4))
        receipts.append(Closed(first, AT + 9, "released", "", 3, 0))
        receipts.append(Failed(second, "1.9", 0xA700, "full", AT, key="a" * 36, times=2, last=AT + 1))
        receipts.append(Failed(second, "1.9", 0xA700, "full", AT, key="a" * 36, times=5, last=AT + 2))
        receipts.append(Refused(f"{first}x", "dimse", "EVIL", "", "::1", AT, "unknown"))
        receipts.append(Refused(f"{first}x", "dimse", "EVIL", "", "::1", AT, "unknown", times=4, last=AT + 9))
        ReceiptImport(tmp_path, database).import_now()
        for mark in (tmp_path / "receipts").glob("*.read"):
            mark.unlink()  # all of it is read again
        ReceiptImport(tmp_path, database).import_now()
        receipts.append(Failed(second, "1.9", 0xA700, "full", AT, key="a" * 36, times=6, last=AT + 3))
        ReceiptImport(tmp_path, database).import_now()
    receipts.close()
    assert added == {
        ("condyle_instances_received_total", "dimse"): 2,
        ("condyle_instances_received_total", "stow"): 1,
        ("condyle_received_bytes_total", "dimse"): 18,
        ("condyle_received_bytes_total", "stow"): 9,
        ("condyle_instances_repeated_total", "dimse"): 1,
        ("condyle_associations_total", "released", "dimse"): 1,
        ("condyle_associations_total", "refused", "dimse"): 4,
        ("condyle_instances_not_stored_total", "0xA700"): 6,
    }


def test_an_association_of_a_process_that_died_is_counted_as_lost(tmp_path: Path, database: Database) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    receipts.append(Opened(f"{receipts.process}-1", "dimse", "SCANNER", "CONDYLE", "::1", AT))
    os.close(receipts._fd)  # the process dies
    with counting() as added:
        ReceiptImport(tmp_path, database).import_now()
    assert added == {("condyle_associations_total", "lost", "dimse"): 1}


def test_what_the_database_did_not_take_is_not_counted(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    name = f"{receipts.process}-1"
    receipts.append(Opened(name, "dimse", "SCANNER", "CONDYLE", "::1", AT))
    receipts.append(stored(name, 1))
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE study RENAME TO hidden"))
    with counting() as added, pytest.raises(SQLAlchemyError):
        ReceiptImport(tmp_path, database).import_now()
    assert added == {}
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE hidden RENAME TO study"))
    with counting() as added:
        ReceiptImport(tmp_path, database).import_now()
    receipts.close()
    assert added["condyle_instances_received_total", "dimse"] == 1
