"""Refusals are counted: an attacker who knocks writes a few lines, and an operator still sees how often."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from node.database.connection import Database
from node.database.states import AssociationOutcome
from node.database.tables import AssociationRow, AuditRow
from node.receive.status import NotStored, Status
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.receipt_log import ReceiptLog
from node.receive.store.refusals import MAXIMUM_KINDS, MAXIMUM_KINDS_OF_PEER, NAMED, OTHERS, Instance, Kind, Refusals
from node.receive.store.store import Store
from tests.node.receive.harness import RawPeer, Running, configuration
from tests.node.receive.store.test_receipt_import import rows
from tests.waiting import until

AT = 1_800_000_000.0
EVIL = Kind("dimse", "EVIL", "CONDYLE", "10.0.0.1", "Calling AE title is not a known peer")


def test_of_one_peer_and_reason_there_is_one_row_an_hour_with_its_count(tmp_path: Path, database: Database) -> None:
    receipts, receipt_import = ReceiptLog(tmp_path / "receipts"), ReceiptImport(tmp_path, database)
    refusals = Refusals(receipts)
    refusals.add(EVIL, AT)
    receipt_import.poll()
    assert [row.times for row in rows(database, AssociationRow)] == [1]  # at once
    for second in range(1, 1000):
        refusals.add(EVIL, AT + second)
        refusals.write(AT + second)
    receipt_import.poll()
    (row,) = rows(database, AssociationRow)
    assert (row.started.timestamp(), row.outcome, row.reason) == (AT, "refused", EVIL.reason)
    assert row.times > 990
    refusals.add(EVIL._replace(reason="other"), AT + 1000)
    refusals.add(EVIL, AT + 3600)
    refusals.close()
    receipt_import.poll()
    found = {(row.started.timestamp(), row.reason): row for row in rows(database, AssociationRow)}
    assert {key: row.times for key, row in found.items()} == {
        (AT, EVIL.reason): 1000,
        (AT + 1000, "other"): 1,
        (AT + 3600, EVIL.reason): 1,
    }
    last = found[AT, EVIL.reason].ended
    assert last is not None
    assert last.timestamp() == AT + 999
    assert [row.what for row in rows(database, AuditRow)] == ["association refused"] * 3
    receipts.close()


def test_what_is_read_a_second_time_changes_nothing(tmp_path: Path, database: Database) -> None:
    receipts, receipt_import = ReceiptLog(tmp_path / "receipts"), ReceiptImport(tmp_path, database)
    refusals = Refusals(receipts)
    for second in range(0, 100, 10):
        refusals.add(EVIL, AT + second)
        refusals.write(AT + second)
    receipt_import.poll()
    for position in (tmp_path / "receipts").glob("*.read"):
        position.unlink()
    ReceiptImport(tmp_path, database).poll()
    assert [row.times for row in rows(database, AssociationRow)] == [10]
    receipts.close()


def test_made_up_titles_and_addresses_make_no_more_rows_than_there_are_kinds(
    tmp_path: Path, database: Database
) -> None:
    receipts, receipt_import = ReceiptLog(tmp_path / "receipts"), ReceiptImport(tmp_path, database)
    refusals = Refusals(receipts)
    for number in range(3 * MAXIMUM_KINDS):
        refusals.add(EVIL._replace(calling_ae_title=f"E{number}"), AT)
    for number in range(3 * MAXIMUM_KINDS):
        refusals.add(EVIL._replace(calling_ae_title=f"E{number}", peer_address=f"2001:db8::{number:x}"), AT)
    refusals.close()
    receipt_import.poll()
    found = rows(database, AssociationRow)
    assert len(found) <= 2 * MAXIMUM_KINDS + 1
    assert sum(row.times for row in found) == 6 * MAXIMUM_KINDS
    assert OTHERS in {row.peer_address for row in found}
    receipts.close()


def test_the_log_says_it_once_and_then_a_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    receipts = ReceiptLog(tmp_path / "receipts")
    refusals = Refusals(receipts)
    with caplog.at_level(logging.WARNING):
        for second in range(2000):
            refusals.add(EVIL, AT + second)
            refusals.write(AT + second)
        assert len(caplog.records) == 4  # 1, some 10, 100 and 1,000
        refusals.close()
    assert getattr(caplog.records[-1], "times", None) == "2000"
    receipts.close()


BAD = Kind("stow", "", "", "10.0.0.9", "The file is too short for DICOM", 0xC000)


def bad_rows(database: Database) -> list[AuditRow]:
    return [row for row in rows(database, AuditRow) if row.what == "instance not stored"]


def test_of_instances_that_are_not_stored_the_first_few_are_named_and_the_others_counted(
    tmp_path: Path, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    receipts, receipt_import = ReceiptLog(tmp_path / "receipts"), ReceiptImport(tmp_path, database)
    refusals = Refusals(receipts)
    with caplog.at_level(logging.WARNING):
        for number in range(1, 10_000):
            refusals.add(BAD, AT + number / 1000, Instance("a-1", f"part {number}", ""))
            if number == 1:
                receipt_import.poll()
                assert [row.times for row in bad_rows(database)] == [1]  # at once
        refusals.add(BAD._replace(reason="other", study_instance_uid="1.2"), AT, Instance("a-1", "1.2.3", "1.2.4"))
        refusals.add(BAD._replace(peer_address="10.0.0.8"), AT, Instance("a-2", "part 1", ""))
        refusals.close()
    assert sum(record.message == "instance not stored" for record in caplog.records) == NAMED + 1 + 2
    assert max(int(getattr(record, "times", 1)) for record in caplog.records) == 9999
    receipt_import.poll()
    for position in (tmp_path / "receipts").glob("*.read"):
        position.unlink()
    ReceiptImport(tmp_path, database).poll()  # read again it changes nothing
    found = {(row.who, row.detail["reason"], row.study_instance_uid): row for row in bad_rows(database)}
    assert {key: row.times for key, row in found.items()} == {
        ("stow 10.0.0.9", BAD.reason, None): 9999,
        ("stow 10.0.0.9", "other", "1.2"): 1,
        ("stow 10.0.0.8", BAD.reason, None): 1,
    }
    detail = found["stow 10.0.0.9", BAD.reason, None].detail
    assert (detail["status"], detail["first"]) == ("0xC000", "part 1, part 2, part 3, part 4, part 5")
    assert rows(database, AssociationRow) == []  # they are none
    receipts.close()


def test_one_peer_with_ever_new_reasons_and_studies_leaves_room_for_others(tmp_path: Path, database: Database) -> None:
    receipts, receipt_import = ReceiptLog(tmp_path / "receipts"), ReceiptImport(tmp_path, database)
    refusals = Refusals(receipts)
    one = Instance("a-1", "1.2.3", "")
    for number in range(1000):
        refusals.add(BAD._replace(reason=f"{number}", study_instance_uid=f"1.2.{number}"), AT, one)
    for number in range(100):
        refusals.add(BAD._replace(reason=f"{number}", peer_address="10.0.0.8"), AT, one)
    for number in range(10):
        refusals.add(BAD._replace(peer_address=f"10.0.1.{number}"), AT, one)
    refusals.close()
    receipt_import.poll()
    found = bad_rows(database)
    assert len(found) <= 2 * (2 * MAXIMUM_KINDS_OF_PEER + 1) + 10 <= 2 * MAXIMUM_KINDS
    assert sum(row.times for row in found) == 1110
    assert sum(row.times for row in found if row.who == "stow 10.0.0.8") == 100
    assert {(row.who, row.detail["reason"]) for row in found if row.who.startswith("stow 10.0.1")} == {
        (f"stow 10.0.1.{number}", BAD.reason) for number in range(10)
    }
    receipts.close()


@pytest.mark.parametrize("way", ["dimse", "stow", "folder", "orthanc"])
def test_whichever_way_instances_come_those_that_are_not_stored_are_counted(
    tmp_path: Path, database: Database, way: str
) -> None:
    store = Store(tmp_path, "process", 0, 2**20)
    for number in range(30):  # each by an association of its own
        arrival = store.open(way, "MR1", "CONDYLE", "10.0.0.1")
        arrival.failure(f"1.2.{number}", NotStored(Status.UID_TAKEN, "taken"))
        arrival.close(AssociationOutcome.RELEASED)
    store.close()
    ReceiptImport(tmp_path, database).poll()
    assert [(row.who, row.times) for row in bad_rows(database)] == [(f"{way} MR1 10.0.0.1", 30)]
    assert [row.failed for row in rows(database, AssociationRow)] == [1] * 30


@pytest.mark.parametrize("server", ["fast", "plain"])
def test_a_stranger_who_knocks_again_and_again_makes_one_row(tmp_path: Path, server: str) -> None:
    with Running(configuration(tmp_path / "data", dimse={"server": server})) as running:
        for _ in range(30):
            with RawPeer(running.port) as peer:
                assert peer.associate(calling="STRANGER") == 3
        running.receiver.store.refusals.close()
        (row,) = until(lambda: running.rows(AssociationRow, outcome="refused", times=30), "the count")
        assert row.calling_ae_title == "STRANGER"
