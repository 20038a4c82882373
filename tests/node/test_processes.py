"""Child processes: kept alive, told to end, and gone with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from node.errors import ConfigurationError, NodeError, PeerUnavailable
from node.processes import FIRST_PAUSE_S, Supervisor
from tests.waiting import until

READY = "import time; print('ready', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


def alive(pid: int) -> bool:
    """Does the process run (a zombie does not)?"""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Hands:
    """A clock that only the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


Made = Callable[..., tuple[Supervisor, Hands]]


@pytest.fixture
def supervisor() -> Iterator[Made]:
    """Makes supervisors of a program, whose processes are ended after the test, however that went."""
    made: list[Supervisor] = []

    def make(program: str, count: int = 1) -> tuple[Supervisor, Hands]:
        hands = Hands()
        made.append(Supervisor("test", [sys.executable, "-c", program], count, hands))
        return made[-1], hands

    yield make
    for one in made:
        one.stop()


def running(of: Supervisor) -> bool:
    of.keep_alive()
    return of.problem() is None


def test_all_processes_are_started_and_say_when_they_are_ready(supervisor: Made) -> None:
    kept, _ = supervisor(READY, count=2)
    assert kept.problem() == "2 of 2 test processes do not run"
    until(lambda: running(kept))
    assert len(kept.pids) == 2
    kept.stop()
    assert not kept.pids


def test_a_process_that_dies_is_started_again(supervisor: Made) -> None:
    kept, hands = supervisor(READY)
    until(lambda: running(kept))
    (first,) = kept.pids
    os.kill(first, signal.SIGKILL)
    until(lambda: not alive(first))
    kept.keep_alive()
    assert not kept.pids  # not before its pause is over
    hands.now += 2 * FIRST_PAUSE_S
    until(lambda: running(kept))
    assert kept.pids != (first,)


def test_a_process_that_dies_again_and_again_is_started_less_and_less_often(supervisor: Made) -> None:
    kept, hands = supervisor("print('ready', flush=True); raise SystemExit(3)")
    starts = []
    for _ in range(200):
        before = kept.pids
        kept.keep_alive()
        if kept.pids != before and kept.pids:
            starts.append(hands.now)
            until(lambda: not alive(kept.pids[0]))
        hands.now += 0.1
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 4 * pauses[0]


@pytest.mark.parametrize(
    ("program", "kind", "told"),
    [
        ("print('failed no room'); raise SystemExit(3)", ConfigurationError, "test: no room"),
        ("print('failed port taken'); raise SystemExit(4)", PeerUnavailable, "test: port taken"),
        (
            "print('failed Address already in use'); raise SystemExit(3)",
            ConfigurationError,
            "test: Address already in use",
        ),
        ("print('readying'); print('failed no room'); raise SystemExit(3)", ConfigurationError, "test: no room"),
        ("raise SystemExit(1)", NodeError, "test: ended with exit code 1 before it was ready; the log says why"),
    ],
)
def test_a_process_that_cannot_start_is_not_started_again(
    supervisor: Made, program: str, kind: type[NodeError], told: str
) -> None:
    kept, _ = supervisor(program)
    with pytest.raises(kind, match=f"^{told}$"):
        until(lambda: running(kept))
    assert kind.exit_code == int(program[-2])


def test_a_process_that_was_ready_once_is_started_again_and_its_reason_is_told(
    supervisor: Made, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    first = f"import pathlib, time; once = pathlib.Path({str(once)!r}); new = not once.exists(); once.touch()\n"
    then = "print('ready' if new else 'failed no room', flush=True); time.sleep(60 * new); raise SystemExit(4)"
    kept, hands = supervisor(first + then)
    until(lambda: running(kept))
    os.kill(kept.pids[0], signal.SIGKILL)
    hands.now += 2 * FIRST_PAUSE_S

    def told() -> bool:
        hands.now += 1.0
        kept.keep_alive()
        return kept.problem() == "1 of 1 test processes do not run: no room"

    until(told)


def test_a_process_that_does_not_listen_is_ended_all_the_same(
    supervisor: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.processes.PATIENCE_S", 0.2)
    kept, _ = supervisor(DEAF)
    until(lambda: running(kept))
    (pid,) = kept.pids
    kept.stop()
    assert not alive(pid)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
def test_a_child_ends_when_its_parent_is_killed() -> None:
    child = "import time; from node.processes import end_with_parent; end_with_parent(); print('ready'); time.sleep(60)"
    parent = textwrap.dedent(f"""
        import sys, time
        from node.processes import Supervisor
        kept = Supervisor("test", [sys.executable, "-u", "-c", {child!r}], 1)
        while kept.problem():
            kept.keep_alive()
            time.sleep(0.02)
        print(kept.pids[0], flush=True)
        sys.stdin.read()  # until the test ends, however it does
    """)
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert alive(pid)
        process.kill()
        until(lambda: not alive(pid))


def test_a_process_says_what_of_its_work_is_not_done_and_when_it_is_again(supervisor: Made, tmp_path: Path) -> None:
    program = f"""
    import pathlib, time
    print("ready 104", flush=True)
    print("trouble import of receipts: not running", flush=True)
    while not pathlib.Path({str(tmp_path / "mended")!r}).exists():
        time.sleep(0.01)
    print("trouble ", flush=True)
    print("remark watched folder: not running", flush=True)
    time.sleep(60)
    """
    kept, _ = supervisor(textwrap.dedent(program))

    def problem() -> str | None:
        kept.keep_alive()
        return kept.problem()

    until(lambda: problem() == "import of receipts: not running")
    assert kept.remark() is None
    (tmp_path / "mended").touch()
    until(lambda: problem() is None)
    until(lambda: problem() is None and kept.remark() == "watched folder: not running")


def test_as_many_files_may_be_open_as_the_system_allows_the_children_too() -> None:
    script = (
        "import resource, subprocess, sys; from node.processes import raise_open_files;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2000)); assert raise_open_files() == 2000;"
        "subprocess.run([sys.executable, '-c', 'import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))'])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "(2000, 2000)"
