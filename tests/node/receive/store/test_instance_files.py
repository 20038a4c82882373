"""Instances as files: names, replacement, and partials that nobody writes any more."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from node.receive.status import NotStored, Status
from node.receive.store.store import Store
from tests.node.receive.harness import data_set, mr, partials, put, stored_files


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
