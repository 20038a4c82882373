"""Instances that lie in the store without a record are found, and recorded."""

from __future__ import annotations

import contextlib
import errno
import time
from pathlib import Path

import pytest

from node.database.connection import Database
from node.database.tables import AssociationRow, AuditRow, InstanceRow, SeriesRow
from node.receive.status import NotStored
from node.receive.store.instance_files import relative_path
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.receipt_log import Entry, Stored
from node.receive.store.store import Store
from node.receive.store.unrecorded import FOUND, SENDER, SETTLED_S, UNREADABLE, UnrecordedInstances
from tests.node.receive.harness import mr, put
from tests.node.receive.store.test_receipt_import import counts, rows
from tests.waiting import until


def later() -> float:
    return time.time() + 2 * SETTLED_S


def look(data: Path, database: Database) -> bool:
    return UnrecordedInstances(data, database, ReceiptImport(data, database)._bring_in, later).look()


def test_what_has_no_record_is_recorded_as_its_receipt_would_have(
    store: Store, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, lost = mr(), [mr(NumberOfSeriesRelatedInstances=2), mr()]
    lost[1].StudyInstanceUID, lost[1].SeriesInstanceUID = lost[0].StudyInstanceUID, lost[0].SeriesInstanceUID
    put(store, known)
    receipts: list[Stored] = []
    append = store.receipts.append

    def full(entry: Entry) -> None:
        if isinstance(entry, Stored):
            receipts.append(entry)
            raise OSError(errno.ENOSPC, "full")
        append(entry)

    with monkeypatch.context() as patch:
        patch.setattr(store.receipts, "append", full)
        for ds in lost:
            with pytest.raises(NotStored):
                put(store, ds)
    ReceiptImport(tmp_path, database).poll()
    assert len(rows(database, InstanceRow)) == 1
    assert not look(tmp_path, database)
    assert not look(tmp_path, database)  # and once
    found = {row.sop_instance_uid: row for row in rows(database, InstanceRow)}
    assert found.keys() == {str(ds.SOPInstanceUID) for ds in (known, *lost)}
    for entry in receipts:
        row = found[entry.sop_instance_uid]
        assert (row.sop_class_uid, row.path, row.size) == (entry.sop_class_uid, entry.path, entry.size)
        assert (row.transfer_syntax_uid, row.patient) == (entry.transfer_syntax_uid, entry.patient)
        assert row.times_received == 1
    assert sorted(counts(database), key=str) == [(1, None), (2, 2)]
    assert {row.study_instance_uid for row in rows(database, SeriesRow)} == {
        str(ds.StudyInstanceUID) for ds in (known, lost[0])
    }
    (way,) = [row for row in rows(database, AssociationRow) if row.way == "folder"]
    assert (way.peer_address, way.outcome, way.stored) == (SENDER, "released", 2)
    (noted,) = [row for row in rows(database, AuditRow) if row.what == FOUND]
    assert noted.detail["count"] == 2
    put(store, lost[0])  # its sender had been told of a failure
    ReceiptImport(tmp_path, database).poll()
    assert {row.sop_instance_uid for row in rows(database, InstanceRow) if row.times_received == 2} == {
        str(lost[0].SOPInstanceUID)
    }


def test_what_came_just_now_may_have_its_receipt_on_the_way(store: Store, tmp_path: Path, database: Database) -> None:
    put(store, mr())
    bring_in = ReceiptImport(tmp_path, database)._bring_in
    assert UnrecordedInstances(tmp_path, database, bring_in).look()
    assert rows(database, InstanceRow) == []


def test_a_new_node_has_nothing_to_look_for_before_its_receiver_has_made_the_folders(
    tmp_path: Path, database: Database
) -> None:
    assert look(tmp_path / "new", database) is False


def test_folders_that_are_away_are_an_error_where_instances_are_on_record(
    store: Store, tmp_path: Path, database: Database
) -> None:
    put(store, mr())
    ReceiptImport(tmp_path, database).import_now()
    with pytest.raises(FileNotFoundError):
        look(tmp_path / "away", database)


def test_what_is_no_instance_is_named_and_keeps_no_other_from_being_found(
    store: Store, tmp_path: Path, database: Database
) -> None:
    ds = mr()
    put(store, ds)
    for journal in store.receipts.folder.glob("*.journal"):
        journal.unlink()  # the disk has lost it
    (store.instances / "0" / f"0{'0' * 39}.dcm").write_bytes(b"rubbish")
    path = store.instances / relative_path(str(ds.SOPInstanceUID))
    other = store.instances / "0" / f"0{'1' * 39}.dcm"
    other.write_bytes(path.read_bytes())  # under another's name
    look(tmp_path, database)
    assert [row.sop_instance_uid for row in rows(database, InstanceRow)] == [str(ds.SOPInstanceUID)]
    (noted,) = [row for row in rows(database, AuditRow) if row.what == UNREADABLE]
    assert noted.detail == {"count": 2, "first": f"0/0{'0' * 39}.dcm, 0/0{'1' * 39}.dcm"}


def test_it_is_looked_at_the_start(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.receive.store.unrecorded.SETTLED_S", -1.0)
    with contextlib.closing(Store(tmp_path, "process")) as store:
        put(store, mr())
    for journal in (tmp_path / "receipts").glob("*.journal"):
        journal.unlink()
    receipt_import = ReceiptImport(tmp_path, database)
    receipt_import.start()
    try:
        until(lambda: rows(database, InstanceRow), "the record")
    finally:
        receipt_import.stop()
