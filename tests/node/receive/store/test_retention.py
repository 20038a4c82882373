"""Which images leave the store, and which never do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from node.database import commitments
from node.database.connection import open_database
from node.database.job_states import record
from node.database.jobs import Job, JobState
from node.database.migrations import migrate
from node.database.states import CommitmentDirection
from node.database.tables import (
    KEY_OBJECTS,
    InstanceRow,
    JobRow,
    ObjectRow,
    OutboxRow,
    SeriesRow,
    StudyRow,
)
from node.receive.store import retention
from node.receive.store.instance_files import relative_path
from node.receive.store.retention import AT_ONCE, Retention, delete_file
from tests.links import without_links
from tests.node.backlog import add, job_row

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 30


@dataclass
class Store:
    """A store with studies of one series that came on 1 January, and a clock in the hand."""

    data: Path
    now: datetime = START + timedelta(days=DAYS + 1)
    files: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.database = open_database(f"sqlite:///{self.data / 'node.db'}")
        migrate(self.database)
        self.retention = Retention(self.database, self.data, DAYS, lambda: self.now)

    def study(self, uid: str, *, decided: bool = True, at: datetime = START) -> None:
        self.studies([uid], decided=decided, at=at)

    def studies(self, uids: Sequence[str], *, decided: bool = True, at: datetime = START) -> None:
        with Session(self.database) as session, session.begin():
            for uid in uids:
                self._study(session, uid, decided, at)

    def _study(self, session: Session, uid: str, decided: bool, at: datetime) -> None:
        seen = 1 if decided else 0
        path = self.data / "instances" / relative_path(f"{uid}.1.1")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"an image")
        os.utime(path, (at.timestamp(), at.timestamp()))
        self.files[uid] = path
        session.add(StudyRow(study_instance_uid=uid, first_received=at, last_received=at))
        session.add(
            SeriesRow(
                series_instance_uid=f"{uid}.1",
                study_instance_uid=uid,
                instances=1,
                first_received=at,
                last_received=at,
                routed_instances=seen,
                study_routed_instances=seen,
            )
        )
        session.add(
            InstanceRow(
                sop_instance_uid=f"{uid}.1.1",
                sop_class_uid="1.2",
                series_instance_uid=f"{uid}.1",
                study_instance_uid=uid,
                transfer_syntax_uid="1.2",
                path=relative_path(f"{uid}.1.1"),
                size=8,
                association_id="a",
                received=at,
            )
        )

    def job(self, uid: str, state: JobState, line: str | None = None, at: datetime = START) -> None:
        """A job on the study, and where told a line of its outbox."""
        job = Job(uid.replace(".", "").ljust(32, "0"), "route", "trial", uid, (), (), {}, ("out",), at)
        with Session(self.database) as session, session.begin():
            record(session, job, at)
            session.get_one(JobRow, job.id).state = state
            if line is not None:
                made = {"sop_class_uid": "1", "series_instance_uid": "1", "study_instance_uid": uid, "kind": "report"}
                session.add(ObjectRow(sop_instance_uid=job.id, job_id=job.id, path="", sha256="", size=1, **made))
                session.flush()
                session.add(
                    OutboxRow(sop_instance_uid=job.id, job_id=job.id, destination="out", state=line, not_before=at)
                )

    def asked_for(self, sop_instance_uid: str, at: datetime) -> None:
        """A peer asks for the commitment to an instance, and has not heard about it."""
        with Session(self.database) as session, session.begin():
            commitments.begin(session, "2.25.1", CommitmentDirection.IN, "scanner", [["1.2", sop_instance_uid]], at)

    def left(self) -> set[str]:
        """The studies whose file is there; the records say the same."""
        there = {uid for uid, path in self.files.items() if path.exists()}
        with Session(self.database) as session:
            for kind in (StudyRow, SeriesRow, InstanceRow):
                assert set(session.scalars(select(kind.study_instance_uid))) == there
        return there


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.database.dispose()


def test_images_whose_jobs_are_done_and_delivered_leave_after_the_days(store: Store) -> None:
    store.study("1.1")
    store.study("1.2")
    store.job("1.1", JobState.DONE, "delivered")
    store.job("1.2", JobState.UNSUITABLE)
    store.now = START + timedelta(days=DAYS)
    assert store.retention.remove_due() == 0
    store.now += timedelta(seconds=1)
    assert store.retention.remove_due() == 2
    assert store.left() == set()
    assert list(store.data.glob("instances/*/*")) == []
    with Session(store.database) as session:
        assert session.scalar(select(func.count()).select_from(JobRow)) == 2


def test_images_that_no_route_wanted_leave_as_well(store: Store) -> None:
    store.study("1.1")
    assert store.retention.remove_due() == 1


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.SENDING, JobState.FAILED])
def test_images_of_a_job_that_is_not_done_stay(store: Store, state: JobState) -> None:
    store.study("1.1")
    store.job("1.1", state)
    assert store.retention.remove_due() == 0
    assert store.left() == {"1.1"}


def test_images_stay_while_a_word_about_a_missing_result_is_on_its_way(store: Store) -> None:
    store.study("1.1")
    store.job("1.1", JobState.UNSUITABLE, "waiting")
    assert store.retention.remove_due() == 0


def test_images_that_are_not_decided_about_or_came_or_were_worked_on_lately_stay(store: Store) -> None:
    store.study("1.1", decided=False)
    store.study("1.2", at=START + timedelta(days=5))
    store.study("1.3")
    store.job("1.3", JobState.DONE, at=START + timedelta(days=5))
    assert store.retention.remove_due() == 0
    assert store.left() == {"1.1", "1.2", "1.3"}


def test_images_that_a_peer_waits_for_the_commitment_to_stay(store: Store) -> None:
    store.study("1.1")
    store.asked_for("1.1.1.1", START)
    assert store.retention.remove_due() == 0
    assert store.left() == {"1.1"}


def test_one_round_removes_all_that_is_due_however_much_that_is_and_whatever_has_to_stay_before_it(
    store: Store,
) -> None:
    held = [f"1.1.{number}" for number in range(AT_ONCE + 20)]  # older, and their jobs have failed
    due = [f"1.2.{number}" for number in range(AT_ONCE + 30)]
    store.studies(held, at=START - timedelta(days=1))
    store.studies(due)
    of = [{"state": "failed", "study_instance_uid": uid, "updated": START} for uid in held]
    add(store.database, JobRow, [job_row(f"{number:032x}", **more) for number, more in enumerate(of)])
    assert store.retention.remove_due() == len(due)
    assert store.left() == set(held)


def test_images_are_not_forgotten_while_their_storage_is_away(store: Store) -> None:
    store.study("1.1")
    (store.data / "instances").rename(store.data / "away")
    with pytest.raises(FileNotFoundError):
        store.retention.remove_due()
    (store.data / "away").rename(store.data / "instances")
    assert store.left() == {"1.1"}
    assert store.retention.remove_due() == 1


def test_images_that_a_peer_asks_for_while_others_are_removed_stay(store: Store) -> None:
    for number in range(2):
        store.study(f"1.{number}", at=START + timedelta(seconds=number))

    removal = store.retention.removals()
    assert next(removal) == 1
    store.asked_for("1.1.1.1", store.now)
    assert list(removal) == [0]
    assert store.left() == {"1.1"}


def test_a_file_that_was_just_sent_again_is_kept_though_its_receipt_is_not_recorded_yet(store: Store) -> None:
    store.study("1.1")
    store.files["1.1"].write_bytes(b"a newer image")
    os.utime(store.files["1.1"], (store.now.timestamp(), store.now.timestamp()))
    assert store.retention.remove_due() == 0
    assert store.files["1.1"].read_bytes() == b"a newer image"


def test_it_is_kept_where_a_file_has_one_name_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    without_links(monkeypatch, errno.EPERM)
    test_a_file_that_was_just_sent_again_is_kept_though_its_receipt_is_not_recorded_yet(store)


def test_what_a_kill_left_aside_is_put_back_or_deleted(store: Store) -> None:
    store.study("1.1")
    store.study("1.2", at=store.now)
    for path in store.files.values():
        path.rename(path.with_suffix(".old"))
    store.retention.remove_due()
    assert not store.files["1.1"].exists()
    assert store.files["1.2"].exists()
    assert not list(store.data.glob("instances/*/*.old"))


@pytest.mark.parametrize("left", [".old", ".taken", ".changed"])
def test_nothing_is_left_of_a_file_that_was_put_aside_or_is_gone(store: Store, left: str) -> None:
    store.study("1.1")
    path = store.files["1.1"]
    path.rename(path.with_suffix(left))
    assert delete_file(path, store.now)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("beside", [{"made_by_us": True}, {"sop_class_uid": KEY_OBJECTS}])
def test_what_is_no_image_of_its_study_leaves_with_the_study_or_without_one(
    store: Store, beside: dict[str, object]
) -> None:
    store.study("1.1")
    store.study("1.2")
    with Session(store.database) as session, session.begin():
        session.execute(update(InstanceRow).where(InstanceRow.sop_instance_uid == "1.2.1.1").values(beside))
        session.delete(session.get_one(StudyRow, "1.2"))
        session.delete(session.get_one(SeriesRow, ("1.2", "1.2.1")))
    store.now = START + timedelta(days=DAYS)
    assert store.retention.remove_due() == 0
    store.now += timedelta(seconds=1)
    assert store.retention.remove_due() == 2
    assert store.left() == set()


def test_a_result_that_came_back_later_than_its_study_is_no_file_that_nobody_knows(store: Store) -> None:
    store.study("1.1")
    store.study("1.2", at=START + timedelta(days=20))
    with Session(store.database) as session, session.begin():
        returned = session.get_one(InstanceRow, "1.2.1.1")
        returned.made_by_us, returned.study_instance_uid = True, "1.1"
        session.delete(session.get_one(StudyRow, "1.2"))
        session.delete(session.get_one(SeriesRow, ("1.2", "1.2.1")))
    assert store.retention.remove_due() == 1
    with Session(store.database) as session:
        assert session.scalars(select(InstanceRow.sop_instance_uid)).all() == ["1.2.1.1"]
    assert store.files["1.2"].exists()
    store.now += timedelta(days=20)
    assert store.retention.remove_due() == 1
    assert not store.files["1.2"].exists()


def test_results_that_came_back_are_removed_although_older_ones_are_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    for uid in ("1.1", "1.2"):
        store.study(uid)
        with Session(store.database) as session, session.begin():
            session.get_one(InstanceRow, f"{uid}.1.1").made_by_us = True
            session.delete(session.get_one(StudyRow, uid))
            session.delete(session.get_one(SeriesRow, (uid, f"{uid}.1")))
    store.asked_for("1.1.1.1", store.now)
    assert store.retention.remove_due() == 1
    assert store.files["1.1"].exists()
    assert not store.files["1.2"].exists()
