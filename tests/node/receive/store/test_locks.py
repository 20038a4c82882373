"""Locks between processes: one leader, a limited number of slots, and nothing is left when a holder dies."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from node.receive.store.locks import LeaderLock, Turns, take_slot


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


def test_one_has_its_turn_at_a_time_over_threads_and_processes(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from node.receive.store.locks import Turns; "
        "turns = Turns(Path(sys.argv[1]))\n"
        "with turns.of('0' * 40) as turn: print(turn, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "turns")]
    had: list[int] = []

    def have_one(turns: Turns) -> None:
        with turns.of("0" * 40) as turn:
            had.append(turn)

    with (
        contextlib.closing(Turns(tmp_path / "turns")) as turns,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        theirs = int(process.stdout.readline())
        threads = [threading.Thread(target=have_one, args=(turns,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        with turns.of("1" * 40):  # another name's
            assert had == []
        process.kill()  # which gives its turn back
        for thread in threads:
            thread.join()
        assert [theirs, *had] == sorted({theirs, *had})
        assert len(had) == 3


def test_turns_go_up_where_the_clock_is_set_back_and_where_what_is_known_of_the_last_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(Turns(tmp_path / "turns")) as turns:
        with turns.of("ab" * 20) as first:
            pass
        monkeypatch.setattr("node.receive.store.locks.time.time_ns", lambda: 5)
        with turns.of("ab" * 20) as second:
            pass
        monkeypatch.undo()
        os.truncate(tmp_path / "turns", 0)
        with turns.of("ab" * 20) as third:
            pass
    assert first + 1 == second < third
