"""Decisions go on, whatever one study holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.orm import Session

from node.background import LONGEST_S
from node.config import Configuration
from node.database.connection import open_database
from node.database.jobs import Job
from node.database.tables import AuditRow, Base, DecisionRow, SeriesRow, StudyRow
from node.errors import StorageAway
from node.reading import HERE, Readers
from node.route.completion import AT_ONCE, Complete, PutOff
from node.route.deciding import AT_ONCE as AT_ONCE_THREADS
from node.route.deciding import Deciding
from node.route.dispatch import Dispatcher
from tests.node.reading import hostile
from tests.node.route.headers import header
from tests.node.route.test_dispatch import Desk

NOW = datetime(2026, 11, 22, tzinfo=UTC)
AGAIN = datetime(2026, 11, 22, 11, 59, 50, tzinfo=UTC)  # after the minute before noon that a desk receives at


def complete(series: str) -> Complete:
    return Complete("series", "1.2.3", series, ("1",), late=False, last_received=NOW, counts={series: 1})


class Feed:
    """A completion that says the same until it is settled, which never happens here."""

    def poll(
        self, *, studies: bool = True, put_off: PutOff = MappingProxyType({}), under_way: Collection[str] = ()
    ) -> list[Complete]:
        return [one for one in (complete("bad"), complete("good")) if ("1.2.3", one.series_instance_uid) not in put_off]


class Picky(Dispatcher):
    """Falls over one of the series, as over headers that nobody had thought of."""

    def dispatch(self, what: Complete, *, untroubled: bool = True) -> list[object]:  # type: ignore[override]
        if what.series_instance_uid == "bad":
            raise ZeroDivisionError("Secret^Anna")
        self.dispatched = [*getattr(self, "dispatched", []), what.series_instance_uid]
        return []


def submit(job: Job) -> None:
    raise AssertionError("nothing matches")


def test_a_series_that_cannot_be_decided_about_costs_the_next_one_nothing_and_is_on_record(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    Base.metadata.create_all(database)
    dispatcher = Picky(Configuration(), database, submit, lambda: NOW, HERE)
    deciding = Deciding(Feed(), dispatcher)  # type: ignore[arg-type]
    deciding.dispatch_complete()
    deciding.dispatch_complete()
    assert dispatcher.dispatched == ["good", "good"]
    with Session(database) as session:
        (record,) = session.scalars(select(AuditRow))  # once: it is left alone for a while
        assert record.study_instance_uid == "1.2.3"
        assert record.detail == {"series_instance_uid": "bad", "error": "ZeroDivisionError"}
    database.dispose()


# ---- what cannot be read
@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, knee={"when": {"Modality": "MR"}})
    yield made
    made.database.dispose()


@dataclass
class Seconds:
    """A clock in the hand."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def decided(desk: Desk) -> list[str | None]:
    with Session(desk.database) as session:
        return list(session.scalars(select(DecisionRow.series_instance_uid).where(DecisionRow.matched)))


def refused(desk: Desk) -> list[AuditRow]:
    with Session(desk.database) as session:
        return list(session.scalars(select(AuditRow).where(AuditRow.what == "cannot decide")))


def trouble(desk: Desk) -> str:
    with Session(desk.database) as session:
        return session.get_one(StudyRow, "1.2.3").trouble


def test_nothing_is_decided_while_the_storage_is_away_and_all_is_when_it_is_back(desk: Desk) -> None:
    desk.receive("1.1", header(Modality="MR"))
    away = desk.folder.rename(desk.folder.with_name("away"))
    deciding, clock = deciding_of(desk)
    deciding.dispatch_complete()
    assert decided(desk) == []
    (record,) = refused(desk)
    assert record.detail["error"] == "an image that was stored cannot be read: No such file or directory"
    assert trouble(desk) == f"cannot be decided about for now: {record.detail['error']}"
    assert "1 study cannot be decided about, tried again: an image" in str(deciding.unread())
    for _ in range(8):  # it is tried again, with growing pauses, and told once
        clock.now += 400
        deciding.dispatch_complete()
    assert len(refused(desk)) == 1
    away.rename(desk.folder)
    deciding.dispatch_complete()
    assert decided(desk) == []  # not before the pause is over
    clock.now += 300
    deciding.dispatch_complete()
    assert decided(desk) == ["1.1"]
    assert [job.series_instance_uids for job in desk.jobs] == [("1.1",)]
    assert (trouble(desk), deciding.unread()) == ("", None)


def test_a_restart_or_sending_again_tries_at_once(desk: Desk) -> None:
    for uid in ("1.1", "1.2"):
        desk.receive(uid, header(Modality="MR", SeriesInstanceUID=uid))
    away = desk.folder.rename(desk.folder.with_name("away"))
    deciding, clock = deciding_of(desk)
    for _ in range(6):
        clock.now += 60
        deciding.dispatch_complete()
    away.rename(desk.folder)
    with Session(desk.database) as session, session.begin():  # as when it is sent again
        session.execute(update(SeriesRow).where(SeriesRow.series_instance_uid == "1.1").values(last_received=AGAIN))
    deciding.dispatch_complete()
    assert decided(desk) == ["1.1"]
    deciding_of(desk)[0].dispatch_complete()
    assert decided(desk) == ["1.1", "1.2"]


def test_an_image_that_is_not_whole_makes_no_decision(desk: Desk) -> None:
    desk.receive("1.1", header(Modality="MR"))
    (path,) = desk.folder.glob("*/*")
    content = path.read_bytes()
    path.write_bytes(b"")
    deciding, clock = deciding_of(desk)
    deciding.dispatch_complete()
    assert (decided(desk), refused(desk), deciding.unread()) == ([], [], None)  # it may have been replaced just now
    clock.now += 1
    deciding.dispatch_complete()
    assert decided(desk) == []
    assert len(refused(desk)) == 1
    assert trouble(desk).endswith(f"an image is not whole: 0 bytes of {len(content)} are there")
    path.write_bytes(content)
    clock.now += 10
    deciding.dispatch_complete()
    assert decided(desk) == ["1.1"]


def test_any_number_of_series_that_cannot_be_read_leave_the_others_their_turn(desk: Desk) -> None:
    for number in range(AT_ONCE + 3):
        desk.receive(f"1.{number}", header(Modality="MR", SeriesInstanceUID=f"1.{number}"))
    for path in desk.folder.glob("*/*"):
        path.unlink()
    desk.receive("2.1", header(Modality="MR", SeriesInstanceUID="2.1"))
    deciding, _ = deciding_of(desk)
    for _ in range(3):
        deciding.dispatch_complete()
    assert decided(desk) == ["2.1"]


def deciding_of(desk: Desk) -> tuple[Deciding, Seconds]:
    clock = Seconds()
    return Deciding(desk.completion, desk.dispatcher, clock), clock


# ---- several at once
class Waits(Dispatcher):
    """Does not come back from one study until the test says so."""

    release: threading.Event
    dispatched: list[str]

    def dispatch(self, what: Complete, *, untroubled: bool = True) -> list[object]:  # type: ignore[override]
        if what.study_instance_uid.startswith("1.2.3"):
            self.release.wait()
        self.dispatched.append(what.study_instance_uid)
        return super().dispatch(what, untroubled=untroubled)  # type: ignore[return-value]


@pytest.fixture
def waiting(desk: Desk) -> Iterator[Waits]:
    made = Waits(desk.configuration, desk.database, desk.submit, lambda: NOW, HERE)
    made.release, made.dispatched = threading.Event(), []
    desk.receive("1.1", header(Modality="MR"))
    yield made
    made.release.set()


def test_a_study_that_hangs_holds_no_other_up_and_health_tells_of_it(desk: Desk, waiting: Waits) -> None:
    clock = Seconds()
    deciding = Deciding(desk.completion, waiting, clock)
    deciding.start()
    try:
        until(lambda: bool(deciding._begun))
        desk.receive("2.1", header(Modality="MR"), study="1.2.4")
        until(lambda: decided(desk) == ["2.1"])
        assert deciding.problem() is None
        clock.now += LONGEST_S + 1
        assert deciding.remark() == "decisions: 1 study under way for 901 s"
        assert deciding.problem() is None  # the others have their turn
        waiting.release.set()
        until(lambda: sorted(map(str, decided(desk))) == ["1.1", "2.1"])
        until(lambda: deciding.remark() is None)
    finally:
        waiting.release.set()
        deciding.stop()


def test_where_every_thread_hangs_no_decision_is_made(desk: Desk, waiting: Waits) -> None:
    desk.receive("1.2", header(Modality="MR"))  # of the same study, and so after the other
    for number in range(AT_ONCE_THREADS - 1):
        desk.receive(f"2.{number}", header(Modality="MR"), study=f"1.2.3.{number}")
    clock = Seconds()
    deciding = Deciding(desk.completion, waiting, clock)
    deciding.start()
    try:
        until(lambda: len(deciding._begun) == AT_ONCE_THREADS)
        clock.now += LONGEST_S + 1
        assert deciding.problem() == f"decisions: {AT_ONCE_THREADS} studies under way for 901 s"
    finally:
        waiting.release.set()
        deciding.stop()


def test_stopping_ends_what_is_being_read_and_leaves_no_trouble(desk: Desk) -> None:
    desk.receive("1.1", header(Modality="MR"))
    with Readers(1) as readers:
        dispatcher = Reads(desk.configuration, desk.database, desk.submit, lambda: NOW, readers)
        dispatcher.readers = readers
        deciding = Deciding(desk.completion, dispatcher)
        deciding.start()
        until(lambda: bool(readers.pids))
        readers.close()
        deciding.stop()
    assert (decided(desk), refused(desk), trouble(desk), deciding.unread()) == ([], [], "", None)


class Reads(Dispatcher):
    """Reads what never ends."""

    readers: Readers

    def dispatch(self, what: Complete, *, untroubled: bool = True) -> list[object]:  # type: ignore[override]
        self.readers.call(hostile.sleep, 600.0)
        raise AssertionError


class Fails(Dispatcher):
    """Raises what it is told to, by study."""

    errors: dict[str, Exception]

    def dispatch(self, what: Complete, *, untroubled: bool = True) -> list[object]:  # type: ignore[override]
        raise self.errors[what.study_instance_uid]


def test_only_a_database_that_is_away_ends_the_round(desk: Desk) -> None:
    desk.receive("1.1", header(Modality="MR"))
    desk.receive("2.1", header(Modality="MR"), study="1.2.4")
    dispatcher = Fails(desk.configuration, desk.database, desk.submit, lambda: NOW, HERE)
    dispatcher.errors = {
        "1.2.3": DataError("a statement", {}, ValueError("Secret^Anna")),
        "1.2.4": OperationalError("a statement", {}, ValueError("no connection")),
    }
    deciding = Deciding(desk.completion, dispatcher, Seconds())
    with pytest.raises(OperationalError):
        deciding.dispatch_complete(studies=False)
    assert deciding.remark() == "1 study cannot be decided about, tried again: DataError"
    assert deciding.unread() is None
    assert trouble(desk) == "cannot be decided about for now: DataError"
    deciding.stop()


def test_what_takes_long_to_fail_is_left_alone_for_as_long(desk: Desk) -> None:
    desk.receive("1.1", header(Modality="MR"))
    clock = Seconds()

    class Slow(Dispatcher):
        tries = 0

        def dispatch(self, what: Complete, *, untroubled: bool = True) -> list[object]:  # type: ignore[override]
            self.tries += 1
            clock.now += 500.0
            raise StorageAway("not read within 500 s")

    dispatcher = Slow(desk.configuration, desk.database, desk.submit, lambda: NOW, HERE)
    deciding = Deciding(desk.completion, dispatcher, clock)
    for _ in range(4):
        deciding.dispatch_complete(studies=False)
        clock.now += 130.0
    assert dispatcher.tries == 1
    deciding.dispatch_complete(studies=False)
    assert dispatcher.tries == 2
    deciding.stop()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
