"""An image that ends what reads it is tried a few times, then named and never read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr.series import Series
from node.database.jobs import Job
from node.database.tables import AuditRow, DecisionRow, InstanceRow, StudyRow
from node.errors import ReaderDied, StorageAway
from node.reading import HERE, Reader, Readers
from node.reading.readers import P, R
from node.route.deciding import Deciding
from node.route.facts_reader import ATTEMPTS, FINDING_S, MOST_NAMED, STUDY_S, FactsReader
from node.route.reroute import Action, Reroute
from tests.node.route.headers import NESTED, header
from tests.node.route.test_dispatch import NOW, Desk


class Dies:
    """A reader that dies of some files, or of more than so many at once; counts what it is asked for."""

    def __init__(self, *deadly: str, most: int = 1000) -> None:
        self.deadly, self.most, self.calls = deadly, most, 0

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.calls += 1
        given = args[0]
        assert isinstance(given, Series)
        if len(given.instances) > self.most or {one.sop_instance_uid for one in given.instances} & {*self.deadly}:
            raise ReaderDied("what was received takes too long to read")
        return HERE.call(function, *args, **kwargs)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, knee={"when": {"Modality": "MR"}})
    yield made
    made.database.dispose()


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_ends_its_reader_again_and_again_is_given_up_named_and_never_read_again(desk: Desk) -> None:
    good, bad = header(1), header(2)
    desk.receive("1.2.3.4", good, bad)
    reader, clock = Dies(str(bad.SOPInstanceUID)), Clock()
    desk.dispatcher._facts.reader = FactsReader(desk.database, reader, lambda: NOW)
    deciding = Deciding(desk.completion, desk.dispatcher, clock)
    for _ in range(ATTEMPTS - 1):
        deciding.dispatch_complete(studies=False)
        clock.now += 100.0
        with Session(desk.database) as session:
            assert session.scalars(select(StudyRow)).one().trouble.endswith("what was received takes too long to read")
            assert not session.scalars(select(DecisionRow)).all()
    deciding.dispatch_complete(studies=False)
    with Session(desk.database) as session:
        given_up = session.get_one(InstanceRow, str(bad.SOPInstanceUID))
        assert given_up.given_up == "what was received takes too long to read"
        assert session.get_one(InstanceRow, str(good.SOPInstanceUID)).reading_attempts == 0
        decision = session.scalars(select(DecisionRow)).one()
        assert not decision.matched
        assert f"{bad.SOPInstanceUID} (what was received takes too long to read)" in decision.trace["why"]
        assert "image given up" in {row.what for row in session.scalars(select(AuditRow))}
    deciding.stop()

    after_a_restart = Dies(str(bad.SOPInstanceUID))
    stored = desk.series_of("1.2.3", "1.2.3.4")
    (facts,) = FactsReader(desk.database, after_a_restart, lambda: NOW).facts([stored], ["Modality"], of_study=False)
    assert after_a_restart.calls == 1
    assert facts.values["Modality"] == ("MR",)
    assert facts.unread == {bad.SOPInstanceUID: "what was received takes too long to read"}


def test_a_header_that_cannot_be_read_is_given_up_at_once_with_its_name_and_reason(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = header(1), header(2)
    desk.receive("1.2.3.4", good, bad)
    path = next(
        one.path for one in desk.series_of("1.2.3", "1.2.3.4").instances if one.sop_instance_uid == bad.SOPInstanceUID
    )
    path.write_bytes(path.read_bytes() + NESTED)
    with Session(desk.database) as session, session.begin():
        session.get_one(InstanceRow, str(bad.SOPInstanceUID)).size += len(NESTED)
    deciding = deciding_with(desk, HERE, Clock())
    deciding.dispatch_complete(studies=False)
    deciding.stop()
    (decision,) = decisions(desk)
    assert f"{bad.SOPInstanceUID} (its sequences are nested too deep)" in decision.trace["why"]
    with Session(desk.database) as session:
        assert session.get_one(InstanceRow, str(bad.SOPInstanceUID)).given_up == "its sequences are nested too deep"
        assert session.get_one(InstanceRow, str(good.SOPInstanceUID)).given_up == ""
        (audit,) = session.scalars(select(AuditRow).where(AuditRow.what == "image given up"))
        assert (audit.detail["first"], audit.detail["images"]) == (bad.SOPInstanceUID, 1)
    (line,) = [record for record in caplog.records if record.message == "image given up"]
    assert (getattr(line, "first", ""), getattr(line, "reason", "")) == (
        bad.SOPInstanceUID,
        "its sequences are nested too deep",
    )


def test_a_real_reader_dies_of_an_image_and_reads_the_others(desk: Desk) -> None:
    good, bad = header(1), header(2)
    desk.receive("1.2.3.4", good, bad)
    stored = desk.series_of("1.2.3", "1.2.3.4")
    path = next(one.path for one in stored.instances if one.sop_instance_uid == bad.SOPInstanceUID)
    path.write_bytes(path.read_bytes() + b"\0\x52\x30\x92SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\0\0\0\0" * 150_000)
    with Session(desk.database) as session, session.begin():
        session.get_one(InstanceRow, str(bad.SOPInstanceUID)).reading_attempts = ATTEMPTS - 1
    with Readers(1, cpu_s=1.0) as readers:
        (facts,) = FactsReader(desk.database, readers, lambda: NOW).facts([stored], ["Modality"], of_study=False)
    assert facts.values["Modality"] == ("MR",)
    assert list(facts.unread) == [str(bad.SOPInstanceUID)]


def test_images_that_cannot_be_read_together_are_decided_about_after_a_few_attempts_also_over_restarts(
    desk: Desk,
) -> None:
    desk.receive("1.2.3.4", header(1), header(2))
    clock = Clock()
    for _ in range(ATTEMPTS):
        assert decisions(desk) == []
        deciding = deciding_with(desk, Dies(most=1), clock)  # after a restart
        deciding.dispatch_complete(studies=False)
        deciding.stop()
    (decision,) = decisions(desk)
    assert not decision.matched
    assert "2 images cannot be read, and no route takes a series with such an image: " in str(decision.trace)
    assert "the series cannot be read as a whole: what was received takes too long" in str(decision.trace)
    assert audited(desk, "series given up") == [2]


def test_where_many_images_end_their_reader_few_deaths_are_enough(desk: Desk) -> None:
    images = [header(number) for number in range(20)]
    desk.receive("1.2.3.4", *images)
    reader, clock = Dies(*(str(one.SOPInstanceUID) for one in images)), Clock()
    deciding = deciding_with(desk, reader, clock)
    for _ in range(ATTEMPTS):
        deciding.dispatch_complete(studies=False)
        clock.now += 100.0
    assert len(decisions(desk)) == 1
    assert reader.calls <= ATTEMPTS + MOST_NAMED + 2
    assert audited(desk, "series given up") == [20]
    deciding.stop()


def test_finding_out_which_image_cannot_be_read_has_an_end(desk: Desk) -> None:
    images = [header(number) for number in range(20)]
    desk.receive("1.2.3.4", *images)
    with Session(desk.database) as session, session.begin():
        session.execute(update(InstanceRow).values(reading_attempts=ATTEMPTS - 1))
    seconds = iter([0.0, 0.0, 0.0, 1.0, *[FINDING_S + 1.0] * 100])
    reader = Dies(str(images[19].SOPInstanceUID))
    facts_reader = FactsReader(desk.database, reader, lambda: NOW, lambda: next(seconds))
    (facts,) = facts_reader.facts([desk.series_of("1.2.3", "1.2.3.4")], [], of_study=False)
    assert len(facts.unread) == 20
    assert reader.calls < 20


def test_a_study_that_takes_too_long_is_put_off_and_none_of_its_images_is_to_blame(desk: Desk) -> None:
    desk.receive("1.1", header(1))
    desk.receive("1.2", header(2))
    seconds = iter([0.0, 0.0, STUDY_S + 1.0])
    facts_reader = FactsReader(desk.database, HERE, lambda: NOW, lambda: next(seconds))
    series = [desk.series_of("1.2.3", "1.1"), desk.series_of("1.2.3", "1.2")]
    with pytest.raises(StorageAway, match="not read within 1800 s"):
        facts_reader.facts(series, [], of_study=True)
    assert attempts(desk) == {0}


def test_what_only_looks_counts_no_attempt(desk: Desk) -> None:
    bad = header(1)
    desk.receive("1.2.3.4", bad)
    desk.dispatcher._facts.reader = FactsReader(desk.database, Dies(str(bad.SOPInstanceUID)), lambda: NOW)
    with Session(desk.database) as session, session.begin():
        session.execute(update(InstanceRow).values(reading_attempts=ATTEMPTS - 1))
    with pytest.raises(ReaderDied):
        desk.dispatcher.decide(desk.completion.poll(studies=False)[0], dry_run=True)
    assert attempts(desk) == {ATTEMPTS - 1}


def test_an_operator_has_what_was_given_up_read_once_more(desk: Desk) -> None:
    bad = header(1)
    desk.receive("1.2.3.4", bad)
    clock = Clock()
    deciding = deciding_with(desk, Dies(str(bad.SOPInstanceUID)), clock)
    for _ in range(ATTEMPTS):
        deciding.dispatch_complete()
        clock.now += 100.0
    deciding.stop()
    rerouting = Reroute(desk.configuration, desk.database, NoJobs(), lambda: NOW, HERE)
    rerouting._dispatcher._facts.reader = FactsReader(desk.database, Dies(str(bad.SOPInstanceUID)), lambda: NOW)
    assert rerouting.reroute("1.2.3", dry_run=True)[0].action is Action.NO_MATCH
    (still_bad,) = rerouting.reroute("1.2.3")  # decided at once, with a record
    assert still_bad.action is Action.NO_MATCH
    assert "cannot be read" in still_bad.why
    assert audited(desk, "image given up") == [1, 1]
    rerouting._dispatcher._facts.reader = FactsReader(desk.database, HERE, lambda: NOW)  # as a new version reads it
    assert rerouting.reroute("1.2.3", dry_run=True)[0].action is Action.NO_MATCH  # nothing is changed, and so as it is
    assert rerouting.reroute("1.2.3")[0].action is Action.NEW


class NoJobs:
    """Takes jobs and does nothing with them."""

    def submit(self, job: Job) -> bool:
        return True

    def restart(self, job_id: str, why: str = "") -> None:
        raise AssertionError

    def send_to(self, job_id: str, destinations: Sequence[str], conditions: object = None) -> None:
        raise AssertionError


def deciding_with(desk: Desk, reader: Reader, clock: Clock) -> Deciding:
    desk.dispatcher._facts.reader = FactsReader(desk.database, reader, lambda: NOW)
    return Deciding(desk.completion, desk.dispatcher, clock)


def decisions(desk: Desk) -> list[DecisionRow]:
    with Session(desk.database, expire_on_commit=False) as session:
        return list(session.scalars(select(DecisionRow)))


def audited(desk: Desk, what: str) -> list[int]:
    """Numbers of images in the records of this kind."""
    with Session(desk.database) as session:
        return [row.detail["images"] for row in session.scalars(select(AuditRow).where(AuditRow.what == what))]


def attempts(desk: Desk) -> set[int]:
    with Session(desk.database) as session:
        return set(session.scalars(select(InstanceRow.reading_attempts)))
