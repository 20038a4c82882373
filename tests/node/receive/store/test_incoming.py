"""An instance on its way in is stored whole, or nothing of it is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from node.receive.status import NotStored, Status
from node.receive.store.incoming import TooLarge
from node.receive.store.instance_files import relative_path
from node.receive.store.store import Store
from tests.node.receive.harness import data_set, mr, partials, put, stored_files


@pytest.mark.parametrize("piece", [1, 7, 133, 500, 10**6])
def test_pieces_of_any_size_make_the_same_file(tmp_path: Path, piece: int) -> None:
    ds = mr(side=8)
    with contextlib.closing(Store(tmp_path / "a")) as one, contextlib.closing(Store(tmp_path / "b")) as other:
        path = one.instances / put(one, ds, piece).relative
        assert path.read_bytes() == (other.instances / put(other, ds).relative).read_bytes()
        assert path.read_bytes().endswith(data_set(ds))
        assert path == one.instances / relative_path(str(ds.SOPInstanceUID))


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
