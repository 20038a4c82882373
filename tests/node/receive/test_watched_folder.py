"""Watched folders: what has settled is taken once, and kept or deleted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.config import WatchedFolder
from node.database.tables import AssociationRow, InstanceRow
from node.receive.store.locks import LeaderLock
from node.receive.store.store import Store
from node.receive.watched_folder import SETTLED_S, FolderWatcher
from tests.node.receive.harness import Running, configuration, mr, part10, stored_files
from tests.waiting import until

NOW = 1_800_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(tmp_path / "data", "process")) as store:
        yield store


@pytest.fixture
def leader_lock(tmp_path: Path) -> Iterator[LeaderLock]:
    with contextlib.closing(LeaderLock(tmp_path / "leader_lock")) as leader_lock:
        yield leader_lock


def put(path: Path, content: bytes, at: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def watch(folder: Path, store: Store, leader_lock: LeaderLock, after: str = "keep", now: float = NOW) -> FolderWatcher:
    settings = WatchedFolder.model_validate({"path": folder, "after": after})
    return FolderWatcher(settings, store, leader_lock, lambda: now)


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


def test_links_are_not_followed(store: Store, leader_lock: LeaderLock, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "a", part10(mr()), NOW - 10)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "elsewhere" / "a")
    (folder / "links").symlink_to(tmp_path / "elsewhere")
    assert watch(folder, store, leader_lock).poll().stored == 0


def test_a_receiver_watches_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.receive.watched_folder.POLL_S", 0.05)
    folder = tmp_path / "in"
    put(folder / "a", part10(mr()), NOW - 10**9)
    settings = configuration(tmp_path / "data", receive={"watched_folders": [{"path": str(folder)}]})
    with Running(settings) as running:
        until(lambda: running.rows(InstanceRow), "the instance of the folder")
        rows = until(lambda: running.rows(AssociationRow, outcome="released"), "the record of the import")
        assert (rows[0].way, rows[0].stored) == ("folder", 1)
