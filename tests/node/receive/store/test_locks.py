"""Locks between processes: one leader, a limited number of slots, and nothing is left when a holder dies."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from node.receive.store.locks import LeaderLock, take_slot


def test_one_process_leads_until_it_leaves(tmp_path: Path) -> None:
    with contextlib.closing(LeaderLock(tmp_path / "lock")) as first:
        assert first.is_mine()
        assert first.is_mine()  # still
        with contextlib.closing(LeaderLock(tmp_path / "lock")) as second:
            assert not second.is_mine()
            first.close()
            assert second.is_mine()


def test_a_killed_leader_leaves_the_lock_to_others(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from node.receive.store.locks import LeaderLock; "
        "lock = LeaderLock(Path(sys.argv[1])); print(lock.is_mine(), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with contextlib.closing(LeaderLock(tmp_path / "lock")) as lock:
            assert not lock.is_mine()
            process.kill()
            process.wait()
            assert lock.is_mine()


def test_there_are_so_many_slots_and_a_closed_one_is_free_again(tmp_path: Path) -> None:
    held = [take_slot(tmp_path / "slots", 2) for _ in range(3)]
    assert held[2] is None
    first, second = held[0], held[1]
    assert first is not None
    assert second is not None
    os.close(first)
    again = take_slot(tmp_path / "slots", 2)
    assert again is not None
    os.close(again)
    os.close(second)
