"""Files are whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from node.files import (
    Sync,
    free_bytes,
    is_full,
    link_whole,
    make_folder,
    remove_folder,
    rename_new,
    write_new,
    write_together,
    write_whole,
)
from tests.deep_folders import make_deep
from tests.links import without_links


@pytest.mark.parametrize("sync", get_args(Sync))
def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path, sync: Sync) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"a longer text that was there before")
    write_whole(path, b"new", sync=sync)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_that_has_the_old_file_open_reads_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_whole(path, b"old", sync="never")
    with path.open("rb") as reader:
        write_whole(path, b"new", sync="never")
        assert reader.read() == b"old"


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_no_partial(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "inside").write_bytes(b"x")
    with pytest.raises(IsADirectoryError):
        write_whole(folder, b"new", sync="content")  # a folder cannot be replaced by a file
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (folder / "inside").read_bytes() == b"x"


def test_permissions_are_those_that_were_asked_for_from_the_first_byte_on(tmp_path: Path) -> None:
    path = tmp_path / "record"
    write_whole(path, b"secret", sync="content")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_what_others_may_read_they_may_read_whatever_the_umask_is(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        make_folder(tmp_path / "study" / "series", 0o750)
        write_whole(tmp_path / "study" / "series" / "1.dcm", b"x", sync="never", mode=0o640)
        make_folder(tmp_path / "private" / "below")
    finally:
        os.umask(old)
    modes = {str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {
        "study": 0o750,
        "study/series": 0o750,
        "study/series/1.dcm": 0o640,
        "private": 0o700,
        "private/below": 0o700,
    }


def test_a_folder_that_is_there_stays_as_it_is_and_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "file")


@pytest.mark.parametrize(("sync", "flushed"), [("never", []), ("content", ["file"]), ("name", ["file", "folder"])])
def test_what_is_flushed_is_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: Sync, flushed: list[str]
) -> None:
    seen: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    write_whole(tmp_path / "state", b"x", sync=sync)
    assert seen == flushed


def test_files_that_are_written_together_are_all_whole_or_leave_no_partial(tmp_path: Path) -> None:
    files = {tmp_path / f"{number}.record": bytes([number]) * 100 for number in range(20)}
    (tmp_path / "0.record").write_bytes(b"old")
    write_together(files)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write_together({tmp_path / "taken": b"x", tmp_path / "0.record": b"x"})
    assert (tmp_path / "0.record").read_bytes() == bytes(100)
    assert not list(tmp_path.glob(".*"))


def test_a_second_name_outlives_the_first(tmp_path: Path) -> None:
    report, path = tmp_path / "job" / "report.dcm", tmp_path / "prior.dcm"
    report.parent.mkdir()
    report.write_bytes(b"report")
    link_whole(report, path)
    link_whole(report, path)  # again changes nothing
    report.unlink()
    assert path.read_bytes() == b"report"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["job", "prior.dcm"]


def test_a_full_disk_is_known_by_its_error_wherever_it_comes_from(tmp_path: Path) -> None:
    full, other = OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EACCES, "Permission denied")
    assert is_full(full)
    assert is_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert not is_full(other)
    wrapped = ValueError("cannot encode")
    wrapped.__cause__ = full
    assert is_full(wrapped)


def test_a_database_that_is_full_is_known_too(tmp_path: Path) -> None:
    database = create_engine(f"sqlite:///{tmp_path / 'small.db'}")
    with database.connect() as connection:
        connection.execute(text("PRAGMA max_page_count = 4"))
        connection.execute(text("CREATE TABLE t (x)"))
        with pytest.raises(OperationalError) as caught:
            connection.execute(text("INSERT INTO t VALUES (zeroblob(100000))"))
        assert is_full(caught.value)
        with pytest.raises(OperationalError) as caught:
            connection.execute(text("SELECT nothing"))
        assert not is_full(caught.value)
    database.dispose()


def test_free_room_is_that_of_the_file_system_that_a_folder_will_be_on(tmp_path: Path) -> None:
    assert 0 < free_bytes(tmp_path / "not" / "there") <= shutil.disk_usage(tmp_path).free + 2**30


@pytest.mark.parametrize("error", [None, errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_of_several_that_take_a_new_name_at_once_one_does_with_hard_links_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int | None
) -> None:
    if error is not None:
        without_links(monkeypatch, error)

    def take(number: int) -> bool:
        try:
            write_new(tmp_path / "new", bytes([number]) * 9)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(take, range(8)))
    assert won.count(True) == 1
    assert (tmp_path / "new").read_bytes() == bytes([won.index(True)]) * 9
    other = tmp_path / "other"
    other.write_bytes(b"other")
    with pytest.raises(FileExistsError):
        rename_new(other, tmp_path / "new")
    rename_new(other, tmp_path / "newer")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "newer"]


def test_a_folder_goes_whatever_its_depth_and_its_permissions_and_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "folder"
    inner = folder / "closed" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    (inner / "link").symlink_to(outside)
    (folder / "link").symlink_to(outside)
    os.mkfifo(folder / "fifo")
    inner.chmod(0)
    inner.parent.chmod(0)
    make_deep(folder, 3000)
    remove_folder(folder)
    assert not folder.exists()
    assert (outside / "kept").exists()
    link = tmp_path / "link"
    link.symlink_to(outside)
    with pytest.raises(NotADirectoryError):
        remove_folder(link)
    assert (outside / "kept").exists()


def test_what_cannot_be_removed_stays_and_all_else_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    for name in ("1", "2", "3"):
        (folder / "below").mkdir(parents=True, exist_ok=True)
        (folder / "below" / name).mkdir()
        (folder / "below" / name / f"file {name}").touch()
    unlink = os.unlink

    def fails(path: str, *, dir_fd: int) -> None:  # as for a file that NFS keeps, since somebody has it open
        if path == "file 2":
            raise OSError(errno.EBUSY, "busy")
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", fails)
    with pytest.raises(OSError, match="busy"):
        remove_folder(folder)
    monkeypatch.undo()
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["file 2"]
    remove_folder(folder)
    assert not folder.exists()
