"""Refusals are counted: an attacker who knocks writes a few lines, and an operator still sees how often."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from node.database.connection import Database
from node.database.tables import AssociationRow, AuditRow
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.receipt_log import ReceiptLog
from node.receive.store.refusals import MAXIMUM_KINDS, OTHERS, Kind, Refusals
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


@pytest.mark.parametrize("server", ["fast", "plain"])
def test_a_stranger_who_knocks_again_and_again_makes_one_row(tmp_path: Path, server: str) -> None:
    with Running(configuration(tmp_path / "data", dimse={"server": server})) as running:
        for _ in range(30):
            with RawPeer(running.port) as peer:
                assert peer.associate(calling="STRANGER") == 3
        running.receiver.store.refusals.close()
        (row,) = until(lambda: running.rows(AssociationRow, outcome="refused", times=30), "the count")
        assert row.calling_ae_title == "STRANGER"
