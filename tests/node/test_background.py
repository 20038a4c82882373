"""Loops go on whatever a work does, say so once, and end when they are told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from node.background import Loop
from node.progress import goes_on
from tests.waiting import until

QUICK_S = 0.01


class Rounds:
    """A work that raises what it is given, in this order, then works."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors = list(errors)
        self.made = 0

    def __call__(self) -> None:
        self.made += 1
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error


Start = Callable[..., Loop]


@pytest.fixture
def start() -> Iterator[Start]:
    loops: list[Loop] = []

    def started(work: Callable[[], float | None], **settings: float | bool | None) -> Loop:
        loop = Loop("sending", work, **{"every_s": QUICK_S, "retry_s": QUICK_S, **settings})  # type: ignore[arg-type]
        loops.append(loop)
        loop.start()
        return loop

    yield started
    for loop in loops:
        loop.stop()


def database_error() -> OperationalError:
    return OperationalError("SELECT name", {"name": "Muster^Erika"}, Exception("connection refused"))


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "node.background"]


def test_rounds_are_made_until_it_is_stopped(start: Start) -> None:
    rounds = Rounds()
    loop = start(rounds)
    until(lambda: rounds.made >= 3)
    assert loop.problem() is None
    loop.stop()
    made = rounds.made
    assert loop.problem() == "sending: not running"
    loop.start()  # and again
    until(lambda: rounds.made > made)


def test_a_database_that_goes_and_is_back_is_two_lines(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    rounds = Rounds(*(database_error() for _ in range(5)))
    start(rounds)
    until(lambda: len(messages(caplog)) >= 2 and rounds.made > 6)
    assert messages(caplog) == ["database away", "database back"]
    assert "Muster" not in caplog.text


def test_several_loops_that_wait_for_the_database_say_so_in_one_line(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    away = threading.Event()
    away.set()
    made = [0, 0, 0]

    def work(number: int) -> None:
        made[number] += 1
        if away.is_set():
            raise database_error()

    for number in range(3):
        start(partial(work, number))
    until(lambda: min(made) > 3)
    away.clear()
    until(lambda: "database back" in messages(caplog))
    assert messages(caplog) == ["database away", "database back"]


def test_a_loop_that_is_stopped_while_the_database_is_away_keeps_nobody_waiting(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    loop = start(Rounds(*(database_error() for _ in range(10_000))))
    until(lambda: messages(caplog) == ["database away"])
    loop.stop()
    assert messages(caplog) == ["database away", "database back"]


def test_a_database_that_refuses_a_statement_is_not_away(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    start(Rounds(ProgrammingError("SELECT", {}, Exception("no such column"))))
    until(lambda: len(messages(caplog)) == 2)
    assert messages(caplog) == ["background work waits", "background work goes on"]


def test_a_bug_costs_one_round_and_its_traceback_is_logged(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds(KeyError("x"), KeyError("x"), None, KeyError("x"))
    start(rounds)
    until(lambda: rounds.made >= 5)
    failures = [record for record in caplog.records if record.message == "background work failed"]
    assert len(failures) == 2  # the second of two in a row says nothing new
    assert all(record.exc_info for record in failures)


def test_health_names_the_failure_until_a_round_works(start: Start) -> None:
    away = threading.Event()
    away.set()

    def work() -> None:
        if away.is_set():
            raise database_error()

    loop = start(work)
    until(lambda: loop.problem() is not None)
    assert loop.problem() == "sending: the database cannot be used (OperationalError), tried again every 0.01 s"
    away.clear()
    until(lambda: loop.problem() is None)


def test_a_round_says_when_the_next_one_is_and_can_be_woken(start: Start) -> None:
    made: list[int] = []

    def work() -> float:
        made.append(1)
        return 3600.0

    loop = start(work, every_s=QUICK_S)
    until(lambda: made)
    loop.wake()
    until(lambda: len(made) == 2)


def test_a_loop_without_a_clock_waits_to_be_woken(start: Start) -> None:
    rounds = Rounds()
    loop = start(rounds, every_s=None, first_s=None)
    assert rounds.made == 0
    loop.wake()
    until(lambda: rounds.made == 1)


def test_a_last_round_takes_what_came_in_meanwhile(start: Start) -> None:
    rounds = Rounds()
    loop = start(rounds, every_s=3600.0, first_s=3600.0, last_round=True)
    loop.stop()
    assert rounds.made == 1


def test_a_round_that_does_not_end_is_left_alone_at_the_end(start: Start) -> None:
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(60.0)

    loop = start(work)
    until(begun.is_set)
    loop.stop(timeout_s=0.05)
    assert loop.stopping.is_set()
    release.set()
    loop.stop()


@pytest.mark.parametrize("error", [MemoryError, RecursionError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_no_class_of_exception_ends_a_loop(error: type[BaseException], start: Start) -> None:
    rounds = Rounds(error())
    loop = start(rounds)
    until(lambda: rounds.made >= 3)
    assert loop.problem() is None


def test_a_loop_goes_on_where_its_failure_cannot_even_be_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("node.background.log.exception", no_memory)
    rounds = Rounds(ValueError())
    start(rounds)
    until(lambda: rounds.made >= 3)


def test_a_round_that_shows_no_sign_of_life_is_a_problem(start: Start) -> None:
    now, go_on, went_on = [0.0], threading.Event(), threading.Event()
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait()
        goes_on()
        went_on.set()
        end.wait()

    loop = Loop("sending", work, every_s=None, first_s=0.0, longest_s=60.0, clock=lambda: now[0])
    loop.start()
    try:
        begun.wait()
        now[0] = 59.0
        assert loop.problem() is None
        now[0] = 61.0
        assert loop.problem() == "sending: stuck, nothing has gone on for 61 s"
        go_on.set()
        went_on.wait()
        assert loop.problem() is None  # one of many things is done
    finally:
        end.set()
        loop.stop()


def test_a_sign_of_life_between_two_rounds_is_none(start: Start) -> None:
    now, made = [0.0], threading.Event()
    loop = start(made.set, every_s=None, longest_s=60.0, clock=lambda: now[0])
    made.wait()
    until(lambda: loop.problem() is None)
    loop.goes_on()  # of a thread that is late
    now[0] = 1000.0
    assert loop.problem() is None


def test_a_failure_that_could_not_be_told_is_told_when_there_is_memory_again(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    rounds = Rounds(*(ValueError() for _ in range(10_000)))
    with monkeypatch.context() as short:
        for level in ("error", "exception"):
            short.setattr(f"node.background.log.{level}", no_memory)
        start(rounds)
        until(lambda: rounds.made >= 3)
        assert not messages(caplog)
    until(lambda: messages(caplog) == ["background work failed"])
