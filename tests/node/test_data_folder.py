"""The data folder can be moved, and is the node's alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from node.data_folder import prepare, resolved, to_store

DATA = Path("/srv/condyle/data")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_lies_in_the_data_folder_is_stored_relative_to_it_and_found_where_it_is_now() -> None:
    stored = to_store(DATA / "jobs" / "ab" / "objects" / "1.dcm", DATA)
    assert stored == "jobs/ab/objects/1.dcm"
    assert resolved(stored, Path("/mnt/new")) == Path("/mnt/new/jobs/ab/objects/1.dcm")


def test_what_lies_elsewhere_is_stored_as_it_is() -> None:
    assert to_store(Path("/etc/key"), DATA) == "/etc/key"
    assert resolved("/etc/key", DATA) == Path("/etc/key")


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        ("/srv/condyle/data/jobs/ab/objects/1.dcm", DATA / "jobs/ab/objects/1.dcm"),
        ("/old/data/instances/a/1.dcm", DATA / "instances/a/1.dcm"),
        ("/home/jobs/instances/data/jobs/ab/prior.dcm", DATA / "jobs/ab/prior.dcm"),
    ],
)
def test_a_whole_path_of_an_earlier_version_is_found_although_the_folder_was_moved(stored: str, found: Path) -> None:
    assert resolved(stored, DATA) == found


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "instances" / "a").mkdir(parents=True)
    (data / "node.db").touch(0o644)
    (data / "run.sh").touch(0o755)
    (data / "run.sh").chmod(0o755)
    (data / "link").symlink_to(tmp_path)
    for path in (data, data / "instances"):
        path.chmod(0o755)
    tmp_path.chmod(0o755)
    prepare(data)
    assert (mode(data), mode(data / "instances"), mode(data / "node.db")) == (0o700, 0o700, 0o600)
    assert mode(data / "run.sh") == 0o700
    assert mode(tmp_path) == 0o755


def test_a_folder_is_made_for_the_nodes_account_alone(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        prepare(tmp_path / "new" / "data")
    finally:
        os.umask(old)
    assert (mode(tmp_path / "new"), mode(tmp_path / "new" / "data")) == (0o700, 0o700)
