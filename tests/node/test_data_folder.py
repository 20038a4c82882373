"""The data folder can be moved, and is the node's alone."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from node.data_folder import own_key, prepare, resolved, to_store
from node.errors import ConfigurationError

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


def test_what_an_older_version_made_deep_in_the_folder_is_closed_also_where_that_was_cut_off(tmp_path: Path) -> None:
    data = tmp_path / "data"
    deep = data / "jobs" / "a" / "objects" / "new"
    deep.mkdir(parents=True)
    (deep / "1.dcm").touch()
    (data / "jobs" / "a" / "context.plain").touch()
    for path in data.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for closed in (data, data / "jobs"):  # by a version that looked no deeper
        closed.chmod(0o700)
    prepare(data)
    assert [path for path in data.rglob("*") if mode(path) & 0o077] == []


def test_what_lies_on_a_read_only_file_system_stays_as_it_is_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data, chmod = tmp_path / "data", Path.chmod
    for name in ("models", "jobs"):
        (data / name).mkdir(parents=True)
        (data / name).chmod(0o755)

    def refusing(self: Path, mode: int) -> None:
        if self.name == "models":
            raise OSError(errno.EROFS, "Read-only file system")
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", refusing)
    prepare(data)
    assert (mode(data / "models"), mode(data / "jobs")) == (0o755, 0o700)
    ((told,),) = [[vars(record)["reason"] for record in caplog.records]]
    assert told == "Read-only file system"


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_file_that_holds_no_key_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.key").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"a\.key: holds no key, which has 32 bytes"):
        own_key(tmp_path / "a.key")


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    key = own_key(tmp_path / "new" / "a.key")
    assert key == own_key(tmp_path / "new" / "a.key") != own_key(tmp_path / "b.key")
    assert mode(tmp_path / "new" / "a.key") == 0o600


@pytest.mark.parametrize("command", [["conformance", "FILE"], ["record", "--new-key", "FILE"]])
def test_what_a_command_writes_is_for_its_account_alone(tmp_path: Path, command: list[str]) -> None:
    written = tmp_path / "written"
    arguments = [one.replace("FILE", str(written)) for one in command]
    subprocess.run([sys.executable, "-m", "node", *arguments], check=True, umask=0, timeout=120)
    assert mode(written) == 0o600


def test_no_module_reads_files_in_a_form_that_can_execute() -> None:
    executes = re.compile(r"\b(?:pickle|marshal|shelve|joblib|dill)\b|(?<![.\w])(?:eval|exec)\(|weights_only=False")
    executes_too = re.compile(
        r"allow_pickle=True|yaml\.(?:unsafe_|full_)?load\(|torch\.load\((?![^)]*weights_only=True)"
    )
    root = Path(__file__).parents[2]
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for room in ("node", "pipelines", "dicom_sr")
        for path in sorted((root / room).rglob("*.py"))
        for line in path.read_text().splitlines()
        if executes.search(line.partition("#")[0]) or executes_too.search(line)
    ]
    allowed = (
        "OLDER_CONTEXT = ",  # the name of what is not read
        # of a bundle with `trust: code`, in a box without network, where its own code runs anyway
        'monai_bundle/execution.py: content = torch.load(path, map_location="cpu", weights_only=False)',
    )
    assert [line for line in found if not any(one in line for one in allowed)] == []


def test_a_process_that_keeps_private_leaves_no_core_dump() -> None:
    told = "import resource, node.data_folder as d; d.keep_private(); print(*resource.getrlimit(resource.RLIMIT_CORE))"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True).stdout == "0 0\n"
