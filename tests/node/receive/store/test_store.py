"""The store: whole or not at all, byte for byte, within its limits."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from node.receive.status import NotStored, Status
from node.receive.store.incoming import TooLarge
from node.receive.store.instance_files import relative_path
from node.receive.store.receipt_log import ReceiptLog, Stored, decode_all
from node.receive.store.store import Store
from tests.node.receive.harness import data_set, mr, part10, partials, stored_files


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(tmp_path, "process")) as store:
        yield store


def put(store: Store, ds: Any, piece: int = 500) -> Any:
    arrival = store.open("dimse", "SCANNER", "CONDYLE", "127.0.0.1")
    incoming = store.begin(arrival, str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ExplicitVRLittleEndian))
    content = data_set(ds)
    for start in range(0, len(content), piece):
        incoming.write(content[start : start + piece])
    return incoming.commit()


@pytest.mark.parametrize("piece", [1, 7, 133, 500, 10**6])
def test_pieces_of_any_size_make_the_same_file(tmp_path: Path, piece: int) -> None:
    ds = mr(side=8)
    with contextlib.closing(Store(tmp_path / "a")) as one, contextlib.closing(Store(tmp_path / "b")) as other:
        path = one.instances / put(one, ds, piece).relative
        assert path.read_bytes() == (other.instances / put(other, ds).relative).read_bytes()
        assert path.read_bytes().endswith(data_set(ds))
        assert path == one.instances / relative_path(str(ds.SOPInstanceUID))


def test_a_uid_never_becomes_a_path(store: Store) -> None:
    arrival = store.open("dimse")
    for uid in ("../../../../tmp/x", "/etc/passwd", "", "1.2.3\0.4", "a" * 300):
        incoming = store.begin(arrival, "1.2.840.10008.5.1.4.1.1.4", uid, str(ExplicitVRLittleEndian))
        incoming.write(data_set(mr()))
        with pytest.raises(NotStored) as caught:
            incoming.commit()
        assert caught.value.status == Status.INVALID_INSTANCE
        assert store.find(uid) is None
    assert partials(store.spool.parent) == []
    assert arrival.failed == 5


def test_a_discarded_instance_leaves_nothing(store: Store, tmp_path: Path) -> None:
    ds = mr()
    incoming = store.begin(store.open("dimse"), str(ds.SOPClassUID), str(ds.SOPInstanceUID), ExplicitVRLittleEndian)
    incoming.write(data_set(ds)[:300])
    assert len(partials(tmp_path)) == 1
    incoming.discard()
    assert partials(tmp_path) == []
    assert stored_files(tmp_path) == {}


def test_an_instance_over_the_limit_stops_at_once(store: Store, tmp_path: Path) -> None:
    store.maximum_bytes = 1000
    ds = mr()
    incoming = store.begin(store.open("dimse"), str(ds.SOPClassUID), str(ds.SOPInstanceUID), ExplicitVRLittleEndian)
    with pytest.raises(TooLarge):
        incoming.write(bytes(1001))
    assert partials(tmp_path) == []


def test_a_disk_that_fails_in_the_middle_is_out_of_resources(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = mr(side=64)
    arrival = store.open("dimse")
    incoming = store.begin(arrival, str(ds.SOPClassUID), str(ds.SOPInstanceUID), ExplicitVRLittleEndian)
    content = data_set(ds)
    incoming.write(content[:2000])

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", full)
        incoming.write(content[2000:4000])
        incoming.write(content[4000:])
    with pytest.raises(NotStored) as caught:
        incoming.commit()
    assert caught.value.status == Status.OUT_OF_RESOURCES
    assert arrival.disk_was_low
    assert partials(tmp_path) == []
    assert (store.instances / put(store, ds).relative).exists()  # by another association


def test_a_short_write_is_taken_up_where_it_stopped(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, parts: real(fd, [bytes(parts[0])[:50]]))
    ds = mr()
    assert (store.instances / put(store, ds).relative).read_bytes().endswith(data_set(ds))


def test_the_same_instance_twice_at_once_is_whole_either_way(store: Store, tmp_path: Path) -> None:
    ds = mr(side=100)
    threads = [threading.Thread(target=put, args=(store, ds, 333)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (content,) = stored_files(tmp_path).values()
    assert content.endswith(data_set(ds))
    assert partials(tmp_path) == []


def test_with_power_nothing_is_promised_before_file_folder_and_receipt_are_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = os.fsync

    def noted(fd: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    with contextlib.closing(Store(tmp_path, "power")) as store:
        monkeypatch.setattr(os, "fsync", noted)
        path = store.instances / put(store, mr()).relative
        names = [Path(name) for name in flushed]
        assert names[0].parent == store.spool  # the data before it gets its name
        assert path.parent in names[1:]
        assert names[-1].parent == store.receipts.folder


def test_a_failed_flush_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Store(tmp_path, "power")) as store:
        put(store, mr())

        def broken(_: ReceiptLog) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(ReceiptLog, "sync", broken)
            with pytest.raises(NotStored) as caught:
                put(store, mr())
        assert caught.value.status == Status.OUT_OF_RESOURCES
        put(store, mr())  # the next group is a new one


def test_a_group_of_associations_shares_its_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one flush runs, all that arrive wait for the next one together."""
    with contextlib.closing(Store(tmp_path, "power")) as store:
        put(store, mr())
        real, entered, go_on, calls = ReceiptLog.sync, threading.Event(), threading.Event(), []

        def slow(receipts: ReceiptLog) -> None:
            calls.append(1)
            entered.set()
            assert go_on.wait(20)
            real(receipts)

        monkeypatch.setattr(ReceiptLog, "sync", slow)
        first = threading.Thread(target=put, args=(store, mr()))
        first.start()
        assert entered.wait(20)
        others = [threading.Thread(target=put, args=(store, mr())) for _ in range(6)]
        for thread in others:
            thread.start()
        group = store._group_commit
        while len(stored_files(tmp_path)) < 8 or len(group._gathering.folders) < 1:
            assert len(calls) == 1
        go_on.set()
        for thread in (first, *others):
            thread.join()
        assert 2 <= len(calls) <= 4


def test_partials_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path, "process")) as living:
        ds = mr()
        arrival = living.open("dimse")
        incoming = living.begin(arrival, str(ds.SOPClassUID), str(ds.SOPInstanceUID), ExplicitVRLittleEndian)
        incoming.write(data_set(ds)[:200])
        (tmp_path / "spool" / "feedfeedfeed-3.part").write_bytes(b"x")
        (tmp_path / "spool" / f"{living.process}-999.part").write_bytes(b"x")
        with contextlib.closing(Store(tmp_path, "process")):
            assert len(partials(tmp_path)) == 2  # another process cannot know which of a living one's are forgotten
        assert living.sweep() == 1
        incoming.write(data_set(ds)[200:])
        incoming.commit()


def test_a_part_10_file_is_adopted_as_it_is(store: Store, tmp_path: Path) -> None:
    content = part10(mr())
    name, fd = store.partial()
    os.write(fd, content)
    os.close(fd)
    receipt = store.adopt(store.open("folder"), name)
    assert (store.instances / receipt.relative).read_bytes() == content
    assert partials(tmp_path) == []


def test_receipts_are_written_before_success_in_the_order_of_events(store: Store) -> None:
    ds = mr()
    put(store, ds)
    (segment,) = store.receipts.folder.glob("*.journal")
    entries = list(decode_all(segment.read_bytes()))
    assert [type(entry).__name__ for entry in entries] == ["Opened", "Stored"]
    stored = entries[1]
    assert isinstance(stored, Stored)
    assert (stored.sop_instance_uid, stored.series_instance_uid) == (ds.SOPInstanceUID, ds.SeriesInstanceUID)
