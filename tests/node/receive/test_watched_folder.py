"""Watched folders: what has settled is taken once, and kept or deleted."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from node.config import WatchedFolder
from node.database.tables import AssociationRow, InstanceRow
from node.receive.files_not_taken import NAMED, files_not_taken
from node.receive.importer import ImportReport, import_file
from node.receive.status import NotStored, Status
from node.receive.store.header import FileBytes, ends_early
from node.receive.store.incoming import Arrival
from node.receive.store.instance_files import Receipt
from node.receive.store.locks import LeaderLock
from node.receive.store.receipt_log import Noted, decode_all
from node.receive.store.store import Store
from node.receive.watched_folder import AGAIN_S, LONGEST_PAUSE_S, POLL_S, SETTLED_S, FolderWatcher
from tests.node.receive.harness import Running, configuration, mr, part10, stored_files
from tests.privileges import held_to_permissions
from tests.waiting import until

NOW = 1_800_000_000.0
KEY = "receive.watched_folders.0.path"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(tmp_path / "data", "process")) as store:
        yield store


@pytest.fixture
def leader_lock(tmp_path: Path) -> Iterator[LeaderLock]:
    with contextlib.closing(LeaderLock(tmp_path / "leader_lock")) as leader_lock:
        yield leader_lock


def zip_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def put(path: Path, content: bytes, at: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def watch(folder: Path, store: Store, leader_lock: LeaderLock, after: str = "keep", now: float = NOW) -> FolderWatcher:
    settings = WatchedFolder.model_validate({"path": folder, "after": after})
    return FolderWatcher(KEY, settings, store, leader_lock, lambda: now)


def test_a_file_is_taken_when_it_has_settled_and_only_once(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    put(folder / "sub" / "a", part10(mr()), NOW - SETTLED_S)
    put(folder / "growing", part10(mr())[:200], NOW - SETTLED_S / 2)
    assert watch(folder, store, leader_lock).poll().stored == 1
    assert watch(folder, store, leader_lock).poll().stored == 0  # a new watch after a restart remembers
    put(folder / "growing", part10(mr()), NOW - SETTLED_S)
    assert watch(folder, store, leader_lock).poll().stored == 1
    assert len(stored_files(tmp_path / "data")) == 2
    assert len(list(folder.rglob("*"))) == 3


def test_a_stored_file_is_deleted_and_a_refused_one_stays_and_is_not_tried_again(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    broken = mr()
    del broken.StudyInstanceUID
    good = put(folder / "good", part10(mr()), NOW - 10)
    bad = put(folder / "bad", part10(broken), NOW - 10)
    report = watch(folder, store, leader_lock, after="delete").poll()
    assert (report.stored, report.refused) == (1, [("bad", "Study Instance UID is missing or not a UID")])
    assert (good.exists(), bad.exists()) == (False, True)
    assert watch(folder, store, leader_lock, after="delete").poll().refused == []


def named(store: Store) -> dict[str, list[str]]:
    """What the status page says of files that were not taken: the file, and the reasons."""
    return {file.name: file.reasons for file in files_not_taken(store.spool.parent, [store.spool.parents[1] / "in"])[0]}


def noted(store: Store) -> list[dict[str, Any]]:
    """What the audit trail says of them."""
    lines = b"".join(path.read_bytes() for path in store.receipts.folder.glob("*.journal"))
    notes = [entry for entry in decode_all(lines) if isinstance(entry, Noted) and entry.what == "file not taken"]
    return [note.detail for note in notes]


def test_only_what_is_stored_is_deleted_and_the_rest_is_named(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    truncated = part10(mr())[:-50]
    stay = {
        "letter.txt": (b"Dear colleague", "is not DICOM"),
        "mixed.zip": (zip_of(a=part10(mr()), letter=b"Dear colleague"), "is not DICOM"),
        "cut.zip": (zip_of(a=part10(mr()))[:300], "is damaged, or ends too early"),
        "cut.dcm.gz": (gzip.compress(part10(mr()))[:-20], "is damaged, or ends too early"),
        "packed.7z": (b"7z\xbc\xaf\x27\x1c" + bytes(600), "is packed as 7z, which the node does not unpack"),
        "empty": (b"", "is empty so far: it is taken when it is whole"),
        "truncated": (truncated, "is stored, and stays: it ends in the middle of an element"),
    }
    go = {
        "a.dcm": part10(mr()),
        "a.dcm.gz": gzip.compress(part10(mr())),
        "nested.zip": zip_of(inner=zip_of(a=part10(mr()), b=part10(mr()))),
        "report.dcm": part10(mr(ImageComments="x"))
        + bytes.fromhex("e07f 1100 4f42 0000")
        + len(zip_of(a=b"text")).to_bytes(4, "little")
        + zip_of(a=b"text"),
    }
    for name, content in {**go, **{name: content for name, (content, _) in stay.items()}}.items():
        put(folder / "sub" / name, content, NOW - 100)
    report = watch(folder, store, leader_lock, after="delete").poll()
    assert report.stored == len(stored_files(tmp_path / "data")) == 5 + 1 + 1  # one of the mixed zip, and the truncated
    assert {path.name for path in (folder / "sub").iterdir()} == stay.keys()
    assert named(store) == {f"sub/{name}": [reason] for name, (_, reason) in stay.items()}
    assert watch(folder, store, leader_lock, after="delete").poll().stored == 0


def test_names_of_files_are_in_a_private_file_and_not_in_the_records(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    put(folder / "M\udcfcller.txt", b"Dear colleague", NOW - 100)  # not UTF-8
    put(folder / "Meier.zip", zip_of(**{f"{number}.txt": b"text" for number in range(NAMED + 2)}), NOW - 100)
    watcher = watch(folder, store, leader_lock)
    watcher.poll()
    watcher.poll()
    reasons = ["is not DICOM"]
    files = {
        file.name: (file.reasons, file.members[:2], file.more)
        for file in files_not_taken(tmp_path / "data", [folder])[0]
    }
    assert files == {
        r"M\xfcller.txt": (reasons, [], 0),
        "Meier.zip": (reasons, ["Meier.zip/0.txt", "Meier.zip/1.txt"], 2),
    }
    assert noted(store) == [{"folder": str(folder), "files": 2, "reasons": reasons}]
    (path,) = store.receipts.folder.glob("not-taken-*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    put(folder / "Meier.zip", part10(mr()), NOW - 90)
    (folder / "M\udcfcller.txt").unlink()
    watch(folder, store, leader_lock).poll()
    assert named(store) == {}
    assert len(noted(store)) == 1


def test_what_may_not_be_read_is_named_and_nothing_else_is_forgotten(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    put(folder / "sub" / "deep" / "a", part10(mr()), NOW - 100)
    watcher = watch(folder, store, leader_lock)
    assert watcher.poll().stored == 1
    put(folder / "b", part10(mr()), NOW - 100)
    (folder / "sub").chmod(0)
    with held_to_permissions():
        assert [watcher.poll().stored for _ in range(2)] == [1, 0]
        assert named(store) == {"sub": ["cannot be read: Permission denied"]}
        folder.chmod(0)
        with pytest.raises(PermissionError):
            watcher.poll()
    folder.chmod(0o700)
    (folder / "sub").chmod(0o700)
    assert watcher.poll().stored == 0
    assert (named(store), len(noted(store))) == ({}, 1)


def test_half_a_copy_is_named_and_waits_until_it_is_whole(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    content = part10(mr())
    folder = tmp_path / "in"
    watcher = watch(folder, store, leader_lock, after="delete")
    for half in (b"", content[:200], content[:-50]):
        path = put(folder / "slow", half, NOW - SETTLED_S)
        assert watcher.poll().stored == watcher.poll().stored == 0
        assert path.read_bytes() == half
    assert named(store) == {"slow": ["ends in the middle of an element: it is taken when it is whole"]}
    put(folder / "slow", content, NOW - SETTLED_S)
    assert watcher.poll().stored == 1
    assert not path.exists()
    assert list(stored_files(tmp_path / "data").values()) == [content]


def test_a_file_that_is_open_to_write_is_left_to_its_writer(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    path = put(folder / "a", part10(mr()), NOW - SETTLED_S)
    watcher = watch(folder, store, leader_lock, after="delete")
    with path.open("ab"):
        assert watcher.poll().stored == 0
        assert named(store) == {"a": ["is still being written: it is taken when it is whole"]}
    assert watcher.poll().stored == 1
    assert not path.exists()


def test_a_copy_that_begins_anew_while_it_is_looked_at_waits(
    store: Store, leader_lock: LeaderLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = part10(mr(side=100))
    path = put(tmp_path / "in" / "a", content, NOW - SETTLED_S)

    def cut_first(data: FileBytes, transfer_syntax_uid: str) -> bool:
        os.truncate(path, 0)
        return ends_early(data, transfer_syntax_uid)

    monkeypatch.setattr("node.receive.watched_folder.ends_early", cut_first)
    watcher = watch(path.parent, store, leader_lock, after="delete")
    assert watcher.poll().stored == 0
    monkeypatch.undo()
    put(path, content, NOW - SETTLED_S)
    assert watcher.poll().stored == 1


def test_a_file_that_changes_while_it_is_read_is_not_deleted(
    store: Store, leader_lock: LeaderLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "in" / "a", part10(mr()), NOW - 10)
    adopt = store.adopt

    def adopt_and_change(arrival: Arrival, name: str) -> Receipt:
        put(path, part10(mr()), NOW - 10)
        return adopt(arrival, name)

    monkeypatch.setattr(store, "adopt", adopt_and_change)
    watch(path.parent, store, leader_lock, after="delete").poll()
    assert path.exists()
    assert named(store) == {"a": ["is stored, and stays: it has changed while it was read"]}


def test_what_there_was_no_room_for_is_tried_again(store: Store, leader_lock: LeaderLock, tmp_path: Path) -> None:
    folder, clock = tmp_path / "in", [NOW]
    put(folder / "a", part10(mr()), NOW - 10)
    settings = WatchedFolder.model_validate({"path": folder, "after": "delete"})
    watcher = FolderWatcher(KEY, settings, store, leader_lock, lambda: clock[0])
    floor, store.floor_bytes = store.floor_bytes, 2**62
    assert watcher.poll().refused == [("a", "The disk is full")]
    assert watcher.poll().refused == []
    store.floor_bytes, store._space_checked = floor, float("-inf")
    clock[0] += AGAIN_S
    assert watcher.poll().stored == 1
    assert list(folder.iterdir()) == []


def entries(store: Store) -> Counter[str]:
    """What the journal has, by kind."""
    lines = b"".join(path.read_bytes() for path in store.receipts.folder.glob("*.journal"))
    return Counter(type(entry).__name__ for entry in decode_all(lines))


def test_a_full_disk_is_met_once_and_less_and_less_often(store: Store, leader_lock: LeaderLock, tmp_path: Path) -> None:
    folder, clock = tmp_path / "in", [NOW]
    for number in range(4):
        put(folder / f"{number}", part10(mr()), NOW - 10)
    put(folder / "4.zip", zip_of(a=part10(mr()), b=part10(mr())), NOW - 10)
    watcher = FolderWatcher(KEY, WatchedFolder(path=folder), store, leader_lock, lambda: clock[0])
    floor, store.floor_bytes = store.floor_bytes, 2**62
    tried = []
    while clock[0] < NOW + 3000:
        if watcher.poll().refused:
            tried.append(clock[0] - NOW)
        clock[0] += AGAIN_S
    assert tried == [0, 30, 90, 210, 450, 930, 1830, 2730]
    assert entries(store) == {"Noted": 1 + len(named(store))}  # the disk is low; files that were not taken
    store.floor_bytes, store._space_checked = floor, float("-inf")
    clock[0] += LONGEST_PAUSE_S
    assert watcher.poll().stored == 6
    assert named(store) == {}


def test_a_file_that_nothing_has_room_for_keeps_no_other_waiting(
    store: Store, leader_lock: LeaderLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, clock = tmp_path / "in", [NOW]
    large = zip_of(one=part10(mr(PatientComments="too large")), two=part10(mr()))
    put(folder / "0.zip", large, NOW - 10)
    put(folder / "1", part10(mr()), NOW - 10)
    place = store.place

    def full(name: str, *rest: Any) -> Receipt:
        if b"too large" in (store.spool / name).read_bytes():
            raise NotStored(Status.OUT_OF_RESOURCES, "The node cannot write to its disk")
        return place(name, *rest)

    monkeypatch.setattr(store, "place", full)
    watcher = FolderWatcher(KEY, WatchedFolder(path=folder), store, leader_lock, lambda: clock[0])
    assert watcher.poll().stored == 0
    assert entries(store)["Failed"] == 1
    clock[0] += AGAIN_S
    assert watcher.poll().stored == 1
    assert named(store) == {"0.zip": ["The node cannot write to its disk"]}


def test_a_file_that_cannot_be_read_is_noted_once_and_read_when_it_changes(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    folder, clock = tmp_path / "in", [NOW]
    path = put(folder / "a", part10(mr()), NOW - 10)
    path.chmod(0)
    watcher = FolderWatcher(KEY, WatchedFolder(path=folder), store, leader_lock, lambda: clock[0])
    tried = []
    with held_to_permissions():
        while clock[0] < NOW + 1000:
            if watcher.poll().not_read:
                tried.append(clock[0] - NOW)
            clock[0] += AGAIN_S
    assert tried == [0, 30, 90, 210, 450, 930]
    assert entries(store) == {"Noted": 1}
    path.chmod(0o600)
    assert watcher.poll().stored == 0
    os.utime(path, (NOW, NOW))
    assert watcher.poll().stored == 1
    assert named(store) == {}


def test_a_folder_that_is_away_is_no_empty_folder(store: Store, leader_lock: LeaderLock, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    put(folder / "a", part10(mr()), NOW - 10)
    watcher = watch(folder, store, leader_lock)
    assert watcher.poll().stored == 1
    folder.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        watcher.poll()
    (tmp_path / "away").rename(folder)
    assert watcher.poll().stored == 0  # it remembers


def test_links_and_pipes_are_named_and_not_read(store: Store, leader_lock: LeaderLock, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "a", part10(mr()), NOW - 10)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "elsewhere" / "a")
    (folder / "links").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe")
    watcher = watch(folder, store, leader_lock)
    assert watcher.poll().stored == watcher.poll().stored == 0
    link, pipe = "is a link, and links are not followed", "is a pipe, and only files are read"
    assert named(store) == {"link": [link], "links": [link], "pipe": [pipe]}
    assert [note["reasons"] for note in noted(store)] == [[link, pipe]]
    for path in folder.iterdir():
        path.unlink()
    watcher.poll()
    assert named(store) == {}


OWN = "is in node.data, the node's own folder, of which nothing is imported"


def test_nothing_is_taken_from_a_folder_that_has_become_the_nodes_own(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    arrival = store.open("folder")
    import_file(put(tmp_path / "a", part10(mr()), NOW - 100), store, lambda: arrival, ImportReport())
    stored = stored_files(tmp_path / "data")
    (tmp_path / "in").symlink_to("data/instances")
    for folder in (tmp_path / "in", tmp_path / "data"):
        watcher = watch(folder, store, leader_lock, after="delete", now=NOW + 10**9)
        with pytest.raises(PermissionError) as error:
            watcher.poll()
        assert error.value.strerror == OWN
    assert stored_files(tmp_path / "data") == stored


def test_the_nodes_own_folder_in_a_watched_one_is_named_and_not_looked_into(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    put(tmp_path / "a", part10(mr()), NOW - 100)
    put(tmp_path / "data" / "jobs" / "1" / "report.dcm", part10(mr()), NOW - 100)
    before = {path for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert watch(tmp_path, store, leader_lock, after="delete", now=NOW + 10**9).poll().stored == 1
    assert not (tmp_path / "a").exists()
    assert before <= set((tmp_path / "data").rglob("*"))
    left = {file.name: file.reasons for file in files_not_taken(tmp_path / "data", [tmp_path])[0]}
    assert left["data"] == [OWN]


def test_a_file_that_comes_to_lie_in_the_nodes_own_folder_while_it_is_read_is_not_deleted(
    store: Store, leader_lock: LeaderLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "in" / "sub" / "a", part10(mr()), NOW - 100)
    adopt = store.adopt

    def adopt_and_link(arrival: Arrival, name: str) -> Receipt:
        receipt = adopt(arrival, name)
        (stored,) = (tmp_path / "data" / "instances").rglob("*.dcm")
        path.unlink()
        path.parent.rmdir()
        path.parent.symlink_to(stored.parent)
        os.rename(stored, stored.with_name("a"))
        return receipt

    monkeypatch.setattr(store, "adopt", adopt_and_link)
    monkeypatch.setattr(store, "make_safe", lambda uids: uids)
    watch(tmp_path / "in", store, leader_lock, after="delete").poll()
    assert path.exists()
    assert named(store) == {"sub/a": [f"is stored, and stays: it {OWN}"]}


def test_the_stored_file_itself_is_never_deleted_whatever_its_name(
    store: Store, leader_lock: LeaderLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "in" / "a", part10(mr()), NOW - 100)
    monkeypatch.setattr(store, "find", lambda _: path)  # as where a folder of the store is mounted there too
    watch(tmp_path / "in", store, leader_lock, after="delete").poll()
    assert path.exists()
    assert named(store) == {"a": ["is stored, and stays: it is the stored file itself"]}


def test_a_folder_that_is_missing_is_told_by_its_key(store: Store, leader_lock: LeaderLock, tmp_path: Path) -> None:
    watcher = watch(tmp_path / "in", store, leader_lock)
    watcher.start()
    try:
        told = f"{KEY}: there is no such folder, tried again every 2 s"
        until(lambda: watcher.problem() == told, "the problem")
    finally:
        watcher.stop()


def test_a_folder_that_takes_long_to_look_through_is_looked_at_less_often(
    store: Store, leader_lock: LeaderLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A twentieth of a processor at most, however many files lie there; what an import takes does not count."""
    for number in range(3):
        put(tmp_path / "in" / f"{number}", b"", NOW - 10)
    watcher, clock = watch(tmp_path / "in", store, leader_lock), iter([0.0, 2.0, 100.0, 101.0, *range(4)])
    monkeypatch.setattr("node.receive.watched_folder.thread_time", lambda: next(clock))
    assert watcher._work() == pytest.approx(19 * (2.0 + 1.0))
    monkeypatch.setattr("node.receive.watched_folder.thread_time", lambda: 0.0)
    assert watcher._work() == POLL_S
    assert noted(store)[0]["files"] == 3  # named once, not at each look
    assert len(noted(store)) == 1


def test_a_receiver_watches_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.receive.watched_folder.POLL_S", 0.05)
    folder = tmp_path / "in"
    put(folder / "a", part10(mr()), NOW - 10**9)
    settings = configuration(tmp_path / "data", receive={"watched_folders": [{"path": str(folder)}]})
    with Running(settings) as running:
        until(lambda: running.rows(InstanceRow), "the instance of the folder")
        rows = until(lambda: running.rows(AssociationRow, outcome="released"), "the record of the import")
        assert (rows[0].way, rows[0].stored) == ("folder", 1)


def test_another_patient_under_a_known_uid_stays_in_the_folder(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    ds = mr()
    first = put(tmp_path / "in" / "a.dcm", part10(ds), NOW - 60)
    stored = part10(ds)
    ds.PatientID = "OTHER"
    second = put(tmp_path / "in" / "b.dcm", part10(ds), NOW - 60)
    report = watch(tmp_path / "in", store, leader_lock, "delete").poll()
    assert report.refused == [("b.dcm", "Its SOP Instance UID is that of another patient's instance")]
    assert (first.exists(), second.exists()) == (False, True)
    assert list(stored_files(tmp_path / "data").values()) == [stored]


def lzma_zip_damaged() -> bytes:
    """A zip whose LZMA properties are random: each library and version raises another class on it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.dcm", bytes(range(256)) * 16)
    content = bytearray(buffer.getvalue())
    begin = content.find(b"a.dcm") + 5
    content[begin + 2 : begin + 200] = b"\xff" * 198
    return bytes(content)


def dicomdir(data: bytes, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MediaStorageDirectoryStorage, UID("1.2.3")
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=True)
    return bytes(128) + b"DICM" + buffer.getvalue() + data


HOSTILE = {
    "lzma.zip": lzma_zip_damaged(),
    "zlib.gz": b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 600,
    "DICOMDIR": dicomdir(b"not deflated at all" * 40, DeflatedExplicitVRLittleEndian),
    "tar": (b"a" + bytes(99) + b"9" * 400 + bytes(12)) * 3,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_left_and_the_next_one_is_taken(
    name: str, store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    put(tmp_path / "in" / name, HOSTILE[name], NOW - 100)
    put(tmp_path / "in" / "z", part10(mr()), NOW - 100)
    watcher = watch(tmp_path / "in", store, leader_lock)
    assert watcher.poll().stored == 1
    assert set(named(store)) == {name}
    assert watcher.poll().not_taken == []  # not read again


@pytest.mark.parametrize(
    "error", [OSError(errno.ESTALE, "Stale file handle"), OSError(errno.EIO, "I/O"), MemoryError()]
)
@pytest.mark.parametrize("where", ["zipfile.ZipExtFile.read", "zipfile.ZipFile.open", "zipfile.ZipFile.infolist"])
def test_a_packed_file_whose_storage_or_memory_failed_once_is_taken_later(
    where: str,
    error: Exception,
    store: Store,
    leader_lock: LeaderLock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    put(tmp_path / "in" / "a.zip", zip_of(a=part10(mr())), NOW - 100)
    now = NOW
    settings = WatchedFolder.model_validate({"path": tmp_path / "in", "after": "keep"})
    watcher = FolderWatcher(KEY, settings, store, leader_lock, lambda: now)
    with monkeypatch.context() as once:
        once.setattr(where, broken)
        assert (watcher.poll().stored, set(named(store))) == (0, {"a.zip"})
    assert watcher.poll().stored == 0  # not at once
    now += AGAIN_S
    assert (watcher.poll().stored, named(store)) == (1, {})


@pytest.mark.parametrize("error", [MemoryError, RecursionError, struct.error, AssertionError, IndexError])
def test_whatever_a_file_raises_it_is_named_and_tried_again_when_it_changes(
    error: type[Exception], store: Store, leader_lock: LeaderLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = put(tmp_path / "in" / "bad", part10(mr()), NOW - 100)
    put(tmp_path / "in" / "good", part10(mr()), NOW - 100)
    adopt, marked = Store.adopt, bad.read_bytes()

    def breaks(self: Store, arrival: Arrival, partial: str, *more: Any) -> Receipt:
        if (self.spool / partial).read_bytes() == marked:
            raise error("of a library")
        return adopt(self, arrival, partial, *more)

    monkeypatch.setattr(Store, "adopt", breaks)
    watcher = watch(tmp_path / "in", store, leader_lock)
    assert watcher.poll().stored == 1
    assert named(store) == {"bad": [f"cannot be taken ({error.__name__})"]}
    assert watcher.poll().refused == []
    assert list(store.spool.iterdir()) == []
    put(bad, part10(mr()), NOW - 50)
    assert watcher.poll().stored == 1
    assert named(store) == {}
