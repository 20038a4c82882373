"""What rules see in the records, on both kinds of database; and that they read no table whole to see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from node.alerts import conditions
from node.alerts.results import results_made
from node.config.alert_times import Hours
from node.config.alerts import (
    DestinationDown,
    JobsFailed,
    NoImages,
    QueueLong,
    ResultMade,
    SendersRefused,
    SignInsRefused,
    WorkersDied,
)
from node.database.alerts import Observation
from node.database.connection import Database
from node.database.job_states import CANCELLED
from node.database.tables import (
    NOT_STORED,
    SIGN_IN_REFUSED,
    AssociationRow,
    AuditRow,
    EventRow,
    InstanceRow,
    JobRow,
    StudyRow,
)
from tests.node.alerts.watching import Watching, configuration
from tests.node.backlog import add, fill, job_row, whole_tables_read

pytestmark = pytest.mark.postgres
HOUR = timedelta(hours=1)
Looks = Callable[..., Iterable[Observation]]


@pytest.fixture
def watch(database: Database, tmp_path: Path) -> Watching:
    return Watching(database, configuration(tmp_path))


def seen(watch: Watching, look: Looks, rule: Any) -> list[Observation]:
    with Session(watch.database) as session:
        return list(look(session, rule, watch.settings, watch.clock()))


def insert(watch: Watching, *rows: Any) -> None:
    with Session(watch.database) as session, session.begin():
        session.add_all(rows)


def test_a_destination_that_takes_nothing_or_not_everything(watch: Watching) -> None:
    rule = DestinationDown(kind="destination_down")
    watch.fail_to_send("gone")
    watch.fail_to_send("pacs", since=watch.clock() - timedelta(minutes=3))
    watch.clock.wait(1)
    (one,) = seen(watch, conditions.destinations_down, rule)  # the other has left the configuration
    assert (one.subject, one.title) == ("pacs", "destination pacs is down")
    assert one.since == watch.clock() - timedelta(minutes=3, seconds=1)
    assert (
        seen(watch, conditions.destinations_down, DestinationDown(kind="destination_down", destinations=("web",))) == []
    )
    watch.send_at_last()
    assert seen(watch, conditions.destinations_down, rule) == []


def test_jobs_of_a_route_that_fail_too_often(watch: Watching) -> None:
    rule = JobsFailed(kind="jobs_failed", number=2, within=HOUR)
    for name in "ab":
        watch.job(name, "failed", reason="out of memory")
    watch.job("c", "failed", route="hands", reason="out of memory")
    watch.job("d", "failed", route="hands", reason=CANCELLED)
    watch.job("e", "failed", route="hands", updated=watch.clock() - timedelta(hours=2))
    for name in "fg":
        watch.job(name, "failed", route="candidate", shadow=True)
    (one,) = seen(watch, conditions.jobs_failed, rule)
    assert (one.subject, one.title) == ("knee", "jobs of route knee fail")
    assert "2 of 2 jobs that ended within 1 hour failed." in one.sentence
    assert "out of memory" in one.sentence
    (shadow,) = seen(watch, conditions.jobs_failed, rule.model_copy(update={"routes": ("candidate",)}))
    assert shadow.subject == "candidate"
    for name in "hijklmno":
        watch.job(name, "done")
    assert seen(watch, conditions.jobs_failed, rule.model_copy(update={"share": 0.21})) == []
    assert len(seen(watch, conditions.jobs_failed, rule.model_copy(update={"share": 0.2}))) == 1
    assert seen(watch, conditions.jobs_failed, rule.model_copy(update={"pipelines": ("other",)})) == []
    watch.clock.wait(3600)
    assert seen(watch, conditions.jobs_failed, rule) == []


def test_a_queue_that_is_too_long_or_too_old(watch: Watching) -> None:
    rule = QueueLong(kind="queue_long", jobs=3, older_than=HOUR)
    assert seen(watch, conditions.queue_long, rule) == []
    for name in "ab":
        watch.job(name, "queued")
    # begun anew by an operator: it waits since then
    watch.job("d", "running")
    assert seen(watch, conditions.queue_long, rule) == []
    watch.job("c", "queued", created=watch.clock() - timedelta(days=300))
    (one,) = seen(watch, conditions.queue_long, rule)
    assert one.title == "too many jobs wait"
    watch.clock.wait(3600)
    (one,) = seen(watch, conditions.queue_long, rule)
    assert (one.title, one.sentence) == (
        "jobs wait for too long",
        "3 jobs wait for a worker, the first for 1 hour.",
    )


def image(watch: Watching, at: datetime, sender: str = "SCANNER", *, own: bool = False) -> None:
    number = int(at.timestamp())
    association = f"a{number}{sender}"
    insert(
        watch,
        AssociationRow(
            id=association,
            way="dimse",
            calling_ae_title=sender,
            started=at,
            ended=at,
            outcome="released",
            stored=1,
        ),
        StudyRow(study_instance_uid=f"1.{number}.{len(sender)}", first_received=at, last_received=at),
        InstanceRow(
            sop_instance_uid=f"1.2.{number}.{len(sender)}",
            sop_class_uid="1.2",
            series_instance_uid="1.3",
            study_instance_uid=f"1.{number}.{len(sender)}",
            transfer_syntax_uid="1.2",
            path="p",
            size=1,
            association_id=association,
            received=at,
            made_by_us=own,
        ),
    )


def test_no_image_for_too_long_within_the_hours(watch: Watching) -> None:
    rule = NoImages(
        kind="no_images", after=2 * HOUR, hours=Hours(8 * 60, 18 * 60), days=("mon", "tue", "wed", "thu", "fri")
    )
    look = conditions.no_images
    friday = watch.clock().astimezone().replace(hour=17, minute=30, second=0)
    watch.clock.now = friday
    assert seen(watch, look, rule) == []  # a node that never had an image says nothing
    image(watch, friday)
    watch.clock.now = friday + timedelta(days=3, hours=-8, minutes=-1)  # Monday, before half past nine
    assert seen(watch, look, rule) == []
    watch.clock.wait(60)  # two hours of these in all
    image(watch, watch.clock(), own=True)  # an archive sends a result back
    (one,) = seen(watch, look, rule)
    assert one.sentence == "No image has come from anybody for 2 hours of the configured hours."
    image(watch, watch.clock() - timedelta(seconds=5))
    assert seen(watch, look, rule) == []


def test_no_image_of_one_sender(watch: Watching) -> None:
    rule = NoImages(kind="no_images", after=2 * HOUR, senders=("SCANNER", "OTHER"))
    image(watch, watch.clock(), "SCANNER")
    image(watch, watch.clock() - timedelta(hours=3), "OTHER")
    (one,) = seen(watch, conditions.no_images, rule)
    assert (one.subject, one.sentence) == ("OTHER", "No image has come from OTHER for 2 hours.")


def test_workers_that_die(watch: Watching) -> None:
    rule = WorkersDied(kind="workers_died", number=2)
    job = watch.job("a")
    for minutes in (90, 10):
        at = watch.clock() - timedelta(minutes=minutes)
        insert(watch, EventRow(job_id=job, what="worker died", detail="killed by signal 9", at=at))
        insert(watch, EventRow(job_id=job, what="begun", at=at))
    assert seen(watch, conditions.workers_died, rule) == []
    insert(watch, EventRow(job_id=job, what="worker died", detail="killed by signal 9", at=watch.clock()))
    (one,) = seen(watch, conditions.workers_died, rule)
    assert one.sentence == "2 workers died within 1 hour: trial (2). It was said: killed by signal 9"


def test_sign_ins_that_are_refused(watch: Watching) -> None:
    rule = SignInsRefused(kind="sign_ins_refused", number=5)
    insert(watch, AuditRow(at=watch.clock() - timedelta(hours=1), what=SIGN_IN_REFUSED, detail={}, times=9))
    insert(watch, AuditRow(at=watch.clock(), what=SIGN_IN_REFUSED, who="anna", detail={}, times=4))
    assert seen(watch, conditions.sign_ins_refused, rule) == []
    insert(watch, AuditRow(at=watch.clock(), what=SIGN_IN_REFUSED, who="anna", detail={}))
    (one,) = seen(watch, conditions.sign_ins_refused, rule)
    assert "5 attempts to sign in were refused within 10 minutes" in one.sentence
    assert "anna" not in one.sentence


def test_senders_that_are_refused_and_images_that_are_not_stored(watch: Watching) -> None:
    rule = SendersRefused(kind="senders_refused", number=3)
    now = watch.clock()
    for number, title in enumerate(("STRANGER", "OTHER")):
        insert(
            watch,
            AssociationRow(
                id=str(number),
                way="dimse",
                calling_ae_title=title,
                peer_address="10.9.9.9",
                started=now - timedelta(minutes=80),  # of a count that goes on
                ended=now,
                outcome="refused",
                reason="calling AE title not recognised",
                times=2,
            ),
        )
    detail = {"reason": "the disk is full", "until": (now - timedelta(minutes=1)).isoformat()}
    insert(watch, AuditRow(at=now - timedelta(minutes=90), what=NOT_STORED, who="SCANNER", detail=detail, times=3))
    first, second = sorted(seen(watch, conditions.senders_refused, rule), key=lambda one: one.subject)
    assert first.subject == "images of SCANNER are not stored"
    assert "the disk is full" in first.sentence
    assert second.subject == "sender 10.9.9.9 is refused"
    assert "4 times within 1 hour" in second.sentence
    watch.clock.wait(3700)
    assert seen(watch, conditions.senders_refused, rule) == []


def test_many_rows_cost_no_rule_a_whole_table(watch: Watching) -> None:
    """Destinations are left out: `outbox.failing` reads the lines that fail, and no others."""
    fill(watch.database, 10_000)
    old = watch.clock() - timedelta(days=30)
    jobs = [
        job_row(f"{number:032x}", state="done", created=old, updated=old, cleaned=None)
        for number in range(100_000, 106_000)
    ]
    add(watch.database, JobRow, jobs)
    events = [{"job_id": row["id"], "what": "begun", "detail": "", "at": old} for row in jobs]
    add(watch.database, EventRow, events)
    add(watch.database, AuditRow, [{"at": old, "what": "study erased", "who": "", "detail": {}}] * 6000)
    refused = {"way": "dimse", "started": old, "outcome": "refused"}
    add(watch.database, AssociationRow, [{**refused, "id": f"r{number}"} for number in range(6000)])
    rules: list[tuple[Looks, Any]] = [
        (conditions.jobs_failed, JobsFailed(kind="jobs_failed")),
        (conditions.queue_long, QueueLong(kind="queue_long", jobs=3, older_than=HOUR)),
        (conditions.no_images, NoImages(kind="no_images", after=2 * HOUR, senders=("SCANNER",))),
        (conditions.no_images, NoImages(kind="no_images", after=2 * HOUR)),
        (conditions.workers_died, WorkersDied(kind="workers_died")),
        (conditions.sign_ins_refused, SignInsRefused(kind="sign_ins_refused")),
        (conditions.senders_refused, SendersRefused(kind="senders_refused")),
    ]
    with watch.database.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
    result = ResultMade(kind="result", when={"state": "failed"})
    with whole_tables_read(watch.database) as read, Session(watch.database) as session:
        for look, rule in rules:
            list(look(session, rule, watch.settings, watch.clock()))
        results_made(session, "it", result, watch.settings, watch.clock(), watch.clock())
    assert read == set()
