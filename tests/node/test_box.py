from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from node import box
from tests.needs import need_a_box
from tests.privileges import held_to_permissions

LOG = logging.getLogger(__name__)
ALONE = """
import os, resource, socket, sys
from multiprocessing.connection import Connection
from node.box import settle_in
settle_in()
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[2])), 2)
    reached = "reached"
except OSError as error:
    reached = error.strerror
files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
Connection(int(sys.argv[1])).send((dict(os.environ), reached, files, status["NoNewPrivs"]))
"""


LOCALHOST = """
import socket, sys
from multiprocessing.connection import Connection
Connection(int(sys.argv[1])).send(socket.gethostbyname("localhost"))
"""

SHARING = """
import os, sys
from multiprocessing.connection import Connection
held, connection = b"1" * (100 * 2**20), Connection(int(sys.argv[1]))
if all(os.fork() for _ in range(4)):
    connection.send("there")
try:
    connection.recv()
except EOFError:
    os._exit(0)
"""


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "unshare").symlink_to("/usr/bin/unshare")
    monkeypatch.setenv("PATH", str(tmp_path))
    for cached in (box.why_not, box._without_network, box._first_when_memory_is_short):
        cached.cache_clear()
    yield
    for cached in (box.why_not, box._without_network, box._first_when_memory_is_short):
        cached.cache_clear()


def test_what_may_compute_is_passed_on_and_no_secret() -> None:
    given = {"PATH": "/bin", "LC_ALL": "C", "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "1", "HOME": "/home/node"}
    secret = {"CONDYLE_PARENT": "1", "PGPASSWORD": "x", "AWS_SECRET_ACCESS_KEY": "x", "HTTP_PROXY": "http://u:p@proxy"}
    passed = box.environment_of(given | secret, in_box=True)
    assert {name: passed[name] for name in given} == given | {"HOME": "/tmp"}
    assert not set(secret) & set(passed)


def test_without_bubblewrap_it_says_so_and_does_what_is_left(
    no_bubblewrap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert box.why_not() == "bubblewrap (bwrap) is not installed"
    monkeypatch.setenv("PGPASSWORD", "secret")
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server:
        with theirs:
            command = ["-c", ALONE, str(theirs.fileno()), str(server.getsockname()[1])]
            process = box.Process(command, None, theirs.fileno(), LOG)
        environment, reached, files, privileges = Connection(ours.detach()).recv()
    assert process.end(patience_s=5) == 0
    assert "PGPASSWORD" not in environment
    assert files <= box.OPEN_FILES
    assert int(privileges) == 1
    if box._without_network():
        assert reached == "Network is unreachable"
        assert box.without_box().startswith("they have no network")
    else:
        assert box.without_box().startswith("they have the network")


def test_a_box_that_the_system_forbids_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    box.why_not.cache_clear()
    assert box.why_not() == (
        "the system does not let bubblewrap make one (bwrap: No permissions to create new namespace)"
    )
    box.why_not.cache_clear()


def test_a_box_in_which_python_does_not_start_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need_a_box()
    python = tmp_path / "python"  # outside of what a box shows, as of a Python that needs what lies elsewhere
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    box.why_not.cache_clear()
    found = box.why_not()
    box.why_not.cache_clear()
    assert found is not None
    assert "No such file or directory" in found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another account")
def test_root_runs_no_box_over_a_data_folder_of_another_account(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert box.why_not_to_see(data) is None, "the node makes it"
    data.mkdir()
    assert box.why_not_to_see(data) is None
    os.chown(data, 1000, 1000)
    assert box.why_not_to_see(data) == f"{data} belongs to account 1000, and root in a box cannot read what others own"


def test_only_what_can_be_imported_is_seen_of_a_folder_of_packages(tmp_path: Path) -> None:
    for name in ("package/__init__.py", "module.py", "one-1.0.dist-info/METADATA", "data/condyle.db", "config.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in box._packages_in(tmp_path)] == ["module.py", "one-1.0.dist-info", "package"]


def test_folders_that_are_closed_to_the_account_hold_nothing_to_import(tmp_path: Path) -> None:
    (tmp_path / "module.py").touch()
    (tmp_path / "lost+found").mkdir(0o000)  # as in /, where systemd starts a unit that names no folder
    with held_to_permissions():
        assert [path.name for path in box._packages_in(tmp_path)] == ["module.py"]


def test_in_a_box_localhost_is_the_box() -> None:
    need_a_box()
    ours, theirs = socket.socketpair()
    with theirs:
        process = box.Process(["-c", LOCALHOST, str(theirs.fileno())], box.View(), theirs.fileno(), LOG)
    assert Connection(ours.detach()).recv() == "127.0.0.1", "processes of one pipeline may talk by it"
    process.end(patience_s=5)


def test_memory_that_processes_share_counts_once() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = box.Process(["-c", SHARING, str(theirs.fileno())], None, theirs.fileno(), LOG)
    connection = Connection(ours.detach())
    assert connection.recv() == "there"
    try:
        assert process.takes_more_than(80 * 2**20)
        assert not process.takes_more_than(250 * 2**20), "five processes with the same 100 MB"
    finally:
        connection.close()  # they end
        process.end(patience_s=5)


def test_of_a_folder_that_holds_what_is_installed_all_is_seen(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3" / "site-packages"
    (site / "numpy.libs").mkdir(parents=True)
    assert box._packages_in(site) == [site], "of an account's own packages, their libraries too"
    other = tmp_path / "target"
    (other / "numpy.libs").mkdir(parents=True)
    assert box._packages_in(other) == [other / "numpy.libs"]
