"""Whichever way instances come, the room on the disk is looked at while they are written, and the floor is kept."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from node.config import OrthancFeed
from node.errors import PeerUnavailable
from node.receive.importer import ImportReport, import_path
from node.receive.orthanc_feed import FeedFollower
from node.receive.status import NotStored, Status
from node.receive.store.locks import LeaderLock
from node.receive.store.store import Store
from tests.node.receive.harness import mr, part10, partials, put, stored_files
from tests.node.receive.test_orthanc_feed import NEW, says, serving, whole
from tests.node.receive.test_stow import client, multipart, post

DISK, FLOOR = 6_000_000, 4_000_000  # bytes
PIECE = 2**20  # at most, of what is read at a time

Way = Callable[[Store, Path, Dataset], bool]


def dimse(store: Store, folder: Path, ds: Dataset) -> bool:
    try:
        put(store, ds, 16384)
    except NotStored as error:
        return error.status != Status.OUT_OF_RESOURCES
    return True


def stow(store: Store, folder: Path, ds: Dataset) -> bool:
    answer = post(client(store), multipart(part10(ds)))
    assert answer.status_code in (200, 503)
    return bool(answer.status_code == 200)


def without_file_meta(store: Store, folder: Path, ds: Dataset) -> bool:
    """A bare data set is written a second time, behind a file meta."""
    content = part10(ds)
    answer = post(client(store), multipart(content[content.index(b"\x08\x00\x16\x00UI") :]))
    return bool(answer.status_code == 200)


def imported(store: Store, folder: Path, ds: Dataset) -> bool:
    path = folder / "image"
    path.write_bytes(part10(ds))
    report = ImportReport()
    import_path(path, store, store.open("folder"), report)
    assert report.no_room != bool(report.stored)
    return bool(report.stored)


def packed(store: Store, folder: Path, ds: Dataset) -> bool:
    path, buffer = folder / "packed", io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image", part10(ds))
    path.write_bytes(buffer.getvalue())
    report = ImportReport()
    import_path(path, store, store.open("folder"), report)
    return bool(report.stored)


def feed(store: Store, folder: Path, ds: Dataset) -> bool:
    with (
        serving([says(0), says(1, NEW), whole(part10(ds))]) as url,
        contextlib.closing(LeaderLock(folder / "lock")) as lock,
    ):
        follower = FeedFollower("pacs", OrthancFeed(url=url), store, lock)
        (store.receipts.folder / "feed-pacs.json").unlink(missing_ok=True)
        follower.poll()
        try:
            follower.poll()
        except PeerUnavailable:
            return False
    return True


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store on a disk of `DISK` bytes."""
    data = tmp_path / "data"

    def free(_: Path) -> int:
        return DISK - sum(path.stat().st_size for path in data.rglob("*") if path.suffix in (".part", ".dcm"))

    monkeypatch.setattr("node.receive.store.instance_files.free_bytes", free)
    with contextlib.closing(Store(data, "process", FLOOR)) as store:
        yield store


@pytest.mark.parametrize("way", [dimse, stow, without_file_meta, imported, packed, feed])
def test_what_would_go_below_the_floor_is_refused_on_its_way_and_taken_when_there_is_room(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    largest = 0
    drop = store.drop

    def measured(name: str) -> None:
        nonlocal largest
        path = store.spool / name
        largest = max(largest, path.stat().st_size if path.exists() else 0)
        drop(name)

    monkeypatch.setattr(store, "drop", measured)
    large, small = mr(side=1100), mr(side=64)  # 2.4 MB and 8 kB
    assert not way(store, tmp_path, large)
    assert DISK - FLOOR - PIECE < largest <= DISK - FLOOR
    assert partials(tmp_path / "data") == []
    assert stored_files(tmp_path / "data") == {}
    assert way(store, tmp_path, small)
    store.floor_bytes = 0
    assert way(store, tmp_path, large)
    assert partials(tmp_path / "data") == []
    assert stored_files(tmp_path / "data").keys() == {str(large.SOPInstanceUID), str(small.SOPInstanceUID)}


def test_what_several_write_at_the_same_moment_counts_together(store: Store) -> None:
    """The free space is looked at a few times a second: what was written since is known all the same."""
    arrival = store.open("dimse")
    files = [store.partial() for _ in range(4)]
    for _ in range(5):
        for _, fd in files:
            store.write(fd, arrival, bytes(100_000))
    with pytest.raises(NotStored, match="The disk is full"):
        store.write(files[0][1], arrival, b"0")
    assert sum(path.stat().st_size for path in partials(store.data)) == DISK - FLOOR
