"""From what is complete to jobs: records in a real database, headers on disk, jobs into a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.series import Series
from node.config import Configuration
from node.database import job_states
from node.database.connection import open_database
from node.database.jobs import Job
from node.database.tables import (
    AssociationRow,
    AuditRow,
    Base,
    DecisionRow,
    InstanceRow,
    SeriesRow,
    StudyRow,
)
from node.reading import HERE
from node.route.completion import Complete, Completion
from node.route.dispatch import Dispatcher
from node.route.stored_facts import stored_series
from tests.counting import counting
from tests.node.route.headers import header, series

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Desk:
    """A dispatcher with its records, to which series are given as if they had been received and gone quiet."""

    def __init__(self, folder: Path, **routes: dict[str, Any]) -> None:
        common = {"pipeline": "knee_super_resolution", "destinations": ["out"]}
        self.configuration = Configuration.model_validate(
            {
                "node": {"data": str(folder)},
                "receive": {"series_quiet_s": 1, "study_quiet_s": 1},
                "routes": {name: {**common, **route} for name, route in routes.items()},
                "destinations": {"out": {"kind": "folder", "path": str(folder / "out")}},
            }
        )
        self.folder = folder / "instances"
        self.folder.mkdir()
        self.database = open_database(f"sqlite:///{folder / 'node.db'}")
        Base.metadata.create_all(self.database)
        self.jobs: list[Job] = []
        self.fails: Exception | None = None
        self.completion = Completion(self.database, self.configuration.receive, lambda: NOW)
        self.dispatcher = Dispatcher(self.configuration, self.database, self.submit, lambda: NOW, HERE)

    def submit(self, job: Job) -> None:
        if self.fails is not None:
            raise self.fails
        with Session(self.database) as session, session.begin():
            if job_states.record(session, job):
                self.jobs.append(job)

    def receive(
        self, uid: str, *headers: Dataset, modality: str = "MR", calling: str = "MR1", study: str = "1.2.3"
    ) -> None:
        """Put the instances into the series `uid` of a study, a minute ago."""
        before = NOW - timedelta(minutes=1)
        known = len(list(self.folder.iterdir()))
        (self.folder / str(known)).mkdir()
        stored = series(self.folder / str(known), *headers)
        with Session(self.database) as session, session.begin():
            session.merge(AssociationRow(id=calling, way="dimse", calling_ae_title=calling, started=before))
            session.merge(StudyRow(study_instance_uid=study, first_received=before, last_received=before))
            of_series = session.get(SeriesRow, (study, uid)) or SeriesRow(
                series_instance_uid=uid,
                study_instance_uid=study,
                modality=modality,
                instances=0,
                first_received=before,
            )
            of_series.instances += len(headers)
            of_series.last_received = before
            session.add(of_series)
            for instance in stored.instances:
                session.add(
                    InstanceRow(
                        sop_instance_uid=instance.sop_instance_uid,
                        sop_class_uid=instance.sop_class_uid,
                        series_instance_uid=uid,
                        study_instance_uid=study,
                        transfer_syntax_uid="1",
                        path=str(instance.path.relative_to(self.folder)),
                        size=instance.path.stat().st_size,
                        association_id=calling,
                        received=before,
                    )
                )

    def work(self) -> None:
        """Dispatch everything that is complete."""
        for complete in self.completion.poll():
            self.dispatcher.dispatch(complete)

    def series_of(self, study: str, uid: str) -> Series:
        """A series as the node reads it from its records."""
        with Session(self.database) as session:
            uids = tuple(session.scalars(select(InstanceRow.sop_instance_uid)))
            whole = Complete("series", study, uid, uids, late=False, last_received=NOW, counts={uid: len(uids)})
            return stored_series(session, whole, self.folder)[0]

    def decisions(self) -> list[DecisionRow]:
        with Session(self.database, expire_on_commit=False) as session:
            return list(session.scalars(select(DecisionRow).order_by(DecisionRow.id)))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(**routes: dict[str, Any]) -> Desk:
        made.append(Desk(tmp_path, **routes))
        return made[-1]

    yield make
    for one in made:
        one.database.dispose()


STACK = [header(number) for number in range(1, 6)]


def test_a_series_that_matches_becomes_a_job_and_every_route_leaves_its_decision(desk: Callable[..., Desk]) -> None:
    work = desk(mr={"when": {"Modality": "MR"}, "priority": 7}, dx={"when": {"Modality": "DX"}})
    work.receive("s1", *STACK)
    work.work()
    (job,) = work.jobs
    assert (job.route, job.pipeline, job.priority, job.destinations) == ("mr", "knee_super_resolution", 7, ("out",))
    assert job.series_instance_uids == ("s1",)
    assert sorted(job.sop_instance_uids) == sorted(str(ds.SOPInstanceUID) for ds in STACK)
    assert job.created == NOW
    mr, dx = work.decisions()
    assert (mr.matched, mr.job_id, dx.matched, dx.job_id) == (True, job.id, False, None)
    assert dx.trace["series"][0]["clauses"][-1]["found"] == "MR"


def test_what_has_been_dispatched_is_settled_and_not_decided_again(desk: Callable[..., Desk]) -> None:
    work = desk(mr={"when": {"Modality": "MR"}})
    work.receive("s1", *STACK)
    with counting() as added:
        work.work()
        work.work()
    assert len(work.decisions()) == 1
    assert added == {("condyle_decisions_total", "true", "mr"): 1}


def test_the_sender_can_be_asked_for(desk: Callable[..., Desk]) -> None:
    work = desk(
        one={"when": {"association.calling_ae_title": "MR1"}}, two={"when": {"association.calling_ae_title": "MR2"}}
    )
    work.receive("s1", *STACK, calling="MR2")
    work.work()
    assert [job.route for job in work.jobs] == ["two"]


def test_a_job_that_could_not_be_submitted_leaves_the_series_complete_and_is_the_same_job_later(
    desk: Callable[..., Desk],
) -> None:
    work = desk(mr={"when": {"Modality": "MR"}})
    work.receive("s1", *STACK)
    work.fails = OSError("the database is away")
    with pytest.raises(OSError, match="away"):
        work.work()
    assert work.decisions() == []
    work.fails = None
    work.work()
    assert len(work.jobs) == len(work.decisions()) == 1


def test_a_kill_between_submitting_and_settling_makes_no_second_job(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = desk(mr={"when": {"Modality": "MR"}})
    work.receive("s1", *STACK)
    with monkeypatch.context() as patched:
        patched.setattr(Completion, "settle", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            work.work()
    work.work()
    assert len(work.jobs) == len(work.decisions()) == 1


def test_late_instances_make_a_job_that_names_the_one_before(desk: Callable[..., Desk]) -> None:
    work = desk(mr={"when": {"Modality": "MR"}})
    work.receive("s1", *STACK[:3])
    work.work()
    work.receive("s1", *STACK[3:])
    work.work()
    first, second = work.jobs
    assert first.predecessor is None
    assert second.predecessor == first.id
    assert len(second.sop_instance_uids) == 5


def test_images_that_were_replaced_make_a_job_that_names_the_one_before(desk: Callable[..., Desk]) -> None:
    work = desk(mr={"when": {"Modality": "MR"}})
    work.receive("s1", *STACK[:3])
    work.work()
    with Session(work.database) as session, session.begin():  # as the recorder does
        replaced = session.scalars(select(InstanceRow).limit(1)).one()
        replaced.revision = 1
        session.get_one(SeriesRow, ("1.2.3", "s1")).routed_instances = 2
    work.work()
    first, second = work.jobs
    assert (first.revision, first.predecessor) == ("", None)
    assert second.predecessor == first.id
    assert second.id != first.id
    assert second.revision
    assert second.sop_instance_uids == first.sop_instance_uids
    work.work()
    assert len(work.jobs) == 2


def test_another_series_of_the_study_has_no_predecessor(desk: Callable[..., Desk]) -> None:
    work = desk(mr={"when": {"Modality": "MR"}})
    work.receive("s1", *STACK[:3])
    work.work()
    work.receive("s2", *STACK[3:])
    work.work()
    assert [job.predecessor for job in work.jobs] == [None, None]


def test_a_study_route_is_given_the_series_that_match(desk: Callable[..., Desk]) -> None:
    work = desk(whole={"when": {"Modality": "MR"}, "level": "study"})
    work.receive("s1", *STACK[:2])
    work.receive("s2", *[header(n, Modality="DX") for n in (1, 2)], modality="DX")
    work.work()
    (job,) = work.jobs
    assert job.series_instance_uids == ("s1",)
    assert len(job.sop_instance_uids) == 2
    (decision,) = work.decisions()
    assert (decision.level, decision.series_instance_uid) == ("study", None)


def test_own_results_are_decided_about_and_never_become_jobs(desk: Callable[..., Desk]) -> None:
    work = desk(all={"when": {}})
    work.receive("s1", *[header(n, Manufacturer="Condyle") for n in range(1, 6)])
    work.work()
    assert work.jobs == []
    assert [decision.matched for decision in work.decisions()] == [False]


def test_other_settings_make_another_job_of_the_same_images(tmp_path: Path) -> None:
    ids = []
    for name, spacing in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        work = Desk(tmp_path / name, mr={"when": {}, "settings": {"spacing": spacing}})
        work.receive("s1", *STACK)
        work.work()
        ids.append(work.jobs[0].id)
        work.database.dispose()
    assert ids[0] != ids[1]


def test_a_shadow_route_makes_a_shadow_job(desk: Callable[..., Desk]) -> None:
    work = desk(mr={"when": {"Modality": "MR"}, "shadow": True})
    work.receive("s1", *STACK)
    work.work()
    assert work.jobs[0].shadow


def test_a_series_uid_over_several_studies_is_decided_about_in_each_and_names_the_others(
    desk: Callable[..., Desk],
) -> None:
    work = desk(one={"when": {"Modality": "MR"}}, whole={"when": {"Modality": "MR"}, "level": "study"})
    studies = ("1.5.1", "1.5.2", "1.5.3")
    for number, study in enumerate(studies):
        work.receive("s1", STACK[number], study=study)
    work.work()
    assert {(job.study_instance_uid, len(job.sop_instance_uids)) for job in work.jobs} == {(s, 1) for s in studies}
    decisions = work.decisions()
    assert len(decisions) == 6
    for decision in decisions:
        ((clause,),) = [
            [one for one in series["clauses"] if one["key"] == "series of one study"]
            for series in decision.trace["series"]
        ]
        assert all((study in clause["found"]) == (study != decision.study_instance_uid) for study in studies)


def test_a_study_that_was_erased_and_sent_again_gets_results_with_uids_of_their_own(desk: Callable[..., Desk]) -> None:
    work = desk(mr={"when": {"Modality": "MR"}})
    work.receive("s1", *STACK[:3])
    work.work()
    with Session(work.database) as session, session.begin():
        session.add(AuditRow(at=NOW, what="study erased", study_instance_uid="1.2.3", detail={}))
        session.get_one(SeriesRow, ("1.2.3", "s1")).routed_instances = 0
    work.work()
    first, second = work.jobs
    assert first.sop_instance_uids == second.sop_instance_uids
    assert first.id != second.id
    assert (first.revision, bool(second.revision)) == ("", True)
