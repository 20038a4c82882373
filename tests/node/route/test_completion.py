"""Completion, with the clock in the test's hand and the records in a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from node.config import ReceiveSettings
from node.database.connection import Database, open_database
from node.database.tables import AssociationRow, Base, InstanceRow, SeriesRow, StudyRow
from node.route.completion import Complete, Completion

BEGIN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Hospital:
    """A node's records, filled as reception fills them, and a clock."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = BEGIN
        self.completion = self.start()

    def start(self) -> Completion:
        """A completion as after a start of the node: it has nothing but the records."""
        settings = ReceiveSettings(series_quiet_s=30, study_quiet_s=60, known_count_quiet_s=0.2)
        self.completion = Completion(self.database, settings, lambda: self.now)
        return self.completion

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def associate(self, name: str = "a1") -> None:
        with Session(self.database) as session, session.begin():
            session.add(AssociationRow(id=name, way="dimse", started=self.now))

    def release(self, name: str = "a1") -> None:
        with Session(self.database) as session, session.begin():
            session.get_one(AssociationRow, name).ended = self.now

    def store(
        self, *uids: str, series: str = "s1", study: str = "st1", by: str = "a1", expected: int | None = None
    ) -> None:
        with Session(self.database) as session, session.begin():
            for uid in uids:
                session.add(
                    InstanceRow(
                        sop_instance_uid=uid,
                        sop_class_uid="1",
                        series_instance_uid=series,
                        study_instance_uid=study,
                        transfer_syntax_uid="1",
                        path=uid,
                        size=1,
                        association_id=by,
                        received=self.now,
                    )
                )
            of_study = session.get(StudyRow, study) or StudyRow(study_instance_uid=study, first_received=self.now)
            of_series = session.get(SeriesRow, (study, series)) or SeriesRow(
                series_instance_uid=series, study_instance_uid=study, first_received=self.now, instances=0
            )
            of_study.last_received = of_series.last_received = self.now
            of_series.instances += len(uids)
            of_series.expected = expected
            session.add_all([of_study, of_series])

    def poll(self) -> list[str]:
        """What is complete, as ``level: number of instances``."""
        return [f"{c.level}: {len(c.sop_instance_uids)}" for c in self.completion.poll()]

    def settle(self) -> list[Complete]:
        found = self.completion.poll()
        with Session(self.database) as session, session.begin():
            for complete in found:
                assert Completion.settle(session, complete, self.now)
        return found


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    Base.metadata.create_all(database)
    yield Hospital(database)
    database.dispose()


def test_a_series_is_complete_when_it_has_been_quiet(hospital: Hospital) -> None:
    hospital.associate()
    hospital.store("1", "2")
    hospital.release()
    hospital.wait(29.9)
    assert hospital.poll() == []
    hospital.wait(0.1)
    assert hospital.poll() == ["series: 2"]


def test_every_instance_starts_the_quiet_time_again(hospital: Hospital) -> None:
    hospital.associate()
    for uid in "12345":
        hospital.store(uid)
        hospital.wait(20)
        assert hospital.poll() == []
    hospital.wait(10)
    assert hospital.poll() == ["series: 5"]


def test_a_series_is_complete_at_once_when_all_that_was_expected_is_there_and_the_association_has_ended(
    hospital: Hospital,
) -> None:
    hospital.associate()
    hospital.store("1", "2", expected=3)
    hospital.release()
    hospital.wait(1)
    assert hospital.poll() == []
    hospital.associate("a2")
    hospital.store("3", by="a2", expected=3)
    hospital.wait(1)
    assert hospital.poll() == []  # the association may bring more
    hospital.release("a2")
    assert hospital.poll() == ["series: 3"]


def test_all_associations_that_brought_a_series_must_have_ended(hospital: Hospital) -> None:
    hospital.associate("a1")
    hospital.associate("a2")
    hospital.store("1", by="a1", expected=2)
    hospital.store("2", by="a2", expected=2)
    hospital.release("a2")
    hospital.wait(1)
    assert hospital.poll() == []
    hospital.release("a1")
    assert hospital.poll() == ["series: 2"]


def test_a_sender_that_holds_its_association_open_is_not_waited_for_longer_than_the_quiet_time(
    hospital: Hospital,
) -> None:
    hospital.associate()
    hospital.store("1", expected=1)
    hospital.wait(30)
    assert hospital.poll() == ["series: 1"]


def test_a_series_that_never_gets_all_that_was_expected_is_complete_when_it_has_been_quiet(hospital: Hospital) -> None:
    hospital.associate()
    hospital.store("1", "2", expected=192)
    hospital.release()
    hospital.wait(30)
    assert hospital.poll() == ["series: 2"]


def test_what_is_complete_stays_so_until_it_is_settled_even_over_a_restart(hospital: Hospital) -> None:
    hospital.store("1")
    hospital.wait(30)
    assert hospital.poll() == ["series: 1"]
    hospital.start()
    assert hospital.poll() == ["series: 1"]
    hospital.settle()
    assert hospital.poll() == []
    hospital.start()
    assert hospital.poll() == []


def test_a_restart_in_the_middle_of_the_quiet_time_does_not_lengthen_it(hospital: Hospital) -> None:
    hospital.store("1")
    hospital.wait(29)
    hospital.start()
    assert hospital.poll() == []
    hospital.wait(1)
    assert hospital.poll() == ["series: 1"]


def test_a_late_instance_makes_the_series_complete_once_more_with_all_it_has(hospital: Hospital) -> None:
    hospital.store("1", "2")
    hospital.wait(30)
    assert [complete.late for complete in hospital.settle()] == [False]
    hospital.store("3")
    hospital.wait(30)
    (late,) = hospital.settle()
    assert late.late
    assert late.sop_instance_uids == ("1", "2", "3")


def test_an_instance_that_comes_between_looking_and_settling_is_not_lost(hospital: Hospital) -> None:
    hospital.store("1")
    hospital.wait(30)
    (complete,) = hospital.completion.poll()
    hospital.store("2")
    with Session(hospital.database) as session, session.begin():
        assert Completion.settle(session, complete, hospital.now)
    hospital.wait(30)
    assert hospital.poll() == ["series: 2"]


def test_settling_twice_says_that_somebody_was_quicker(hospital: Hospital) -> None:
    hospital.store("1")
    hospital.wait(30)
    (complete,) = hospital.settle()
    with Session(hospital.database) as session, session.begin():
        assert not Completion.settle(session, complete, hospital.now)


def test_a_study_is_complete_when_no_series_of_it_has_grown_for_the_study_quiet_time(hospital: Hospital) -> None:
    hospital.store("1", series="s1")
    hospital.wait(40)
    hospital.store("2", "3", series="s2")
    assert [complete.level for complete in hospital.settle()] == ["series"]
    hospital.wait(30)
    assert [complete.level for complete in hospital.settle()] == ["series"]
    hospital.wait(30)
    (study,) = hospital.settle()
    assert (study.level, study.series_instance_uid, study.sop_instance_uids) == ("study", None, ("1", "2", "3"))
    assert hospital.poll() == []


def test_a_late_series_makes_its_study_complete_once_more(hospital: Hospital) -> None:
    hospital.store("1")
    hospital.wait(60)
    hospital.settle()
    hospital.store("2", series="s2")
    hospital.wait(60)
    late = {complete.level: complete.late for complete in hospital.settle()}
    assert late == {"series": False, "study": True}  # the series is new, the study is not


def test_studies_do_not_wait_for_each_other(hospital: Hospital) -> None:
    hospital.store("1", series="s1", study="st1")
    hospital.wait(20)
    hospital.store("2", series="s2", study="st2")
    hospital.wait(10)
    assert [complete.series_instance_uid for complete in hospital.settle()] == ["s1"]


def test_the_question_what_is_undecided_goes_by_its_index(hospital: Hospital) -> None:
    with hospital.database.connect() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT series_instance_uid FROM series WHERE instances > routed_instances"
        ).all()
    assert "series_undecided" in str(plan)


def test_one_series_uid_in_two_studies_is_complete_in_each_with_the_images_of_each(hospital: Hospital) -> None:
    hospital.store("1", "2", study="st1")
    hospital.wait(20)
    hospital.store("3", study="st2")
    hospital.wait(10)
    assert [(c.study_instance_uid, c.sop_instance_uids) for c in hospital.settle()] == [("st1", ("1", "2"))]
    hospital.wait(20)
    assert [(c.study_instance_uid, c.sop_instance_uids) for c in hospital.settle()] == [("st2", ("3",))]
    hospital.wait(60)
    found = {c.study_instance_uid: (c.sop_instance_uids, dict(c.counts)) for c in hospital.settle()}
    assert found == {"st1": (("1", "2"), {"s1": 2}), "st2": (("3",), {"s1": 1})}
    assert hospital.poll() == []


def test_results_that_came_back_are_none_of_what_is_complete(hospital: Hospital) -> None:
    hospital.store("1", "2")
    with Session(hospital.database) as session, session.begin():
        session.get_one(InstanceRow, "2").made_by_us = True
    hospital.wait(60)
    assert hospital.poll() == ["series: 1", "study: 1"]
