"""An image that ends what reads it is tried a few times, then named and never read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.series import Series
from node.database.tables import AuditRow, DecisionRow, InstanceRow, StudyRow
from node.errors import ReaderDied
from node.reading import HERE, Readers
from node.reading.readers import P, R
from node.route.deciding import Deciding
from node.route.facts_reader import ATTEMPTS, FactsReader
from tests.node.route.headers import header
from tests.node.route.test_dispatch import NOW, Desk


class Dies:
    """A reader that dies of some files; counts what it is asked for."""

    def __init__(self, *deadly: str) -> None:
        self.deadly, self.calls = deadly, 0

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        self.calls += 1
        given = args[0] if isinstance(args[0], tuple) else (args[0],)
        if any(one.sop_instance_uid in self.deadly for of in given for one in of.instances if isinstance(of, Series)):
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
    desk.dispatcher._facts = FactsReader(desk.database, reader, lambda: NOW)
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
        assert f"given up: {bad.SOPInstanceUID}: what was received takes too long to read" in str(decision.trace)
        assert "image given up" in {row.what for row in session.scalars(select(AuditRow))}
    deciding.stop()

    after_a_restart = Dies(str(bad.SOPInstanceUID))
    stored = desk.series_of("1.2.3", "1.2.3.4")
    (facts,) = FactsReader(desk.database, after_a_restart, lambda: NOW).facts([stored], ["Modality"], of_study=False)
    assert after_a_restart.calls == 1
    assert facts.values["Modality"] == ("MR",)
    assert facts.given_up == (f"{bad.SOPInstanceUID}: what was received takes too long to read",)


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
    assert [one.split(":")[0] for one in facts.given_up] == [str(bad.SOPInstanceUID)]
