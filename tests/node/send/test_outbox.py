from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from node.background import LONGEST_S
from node.database import outbox, pauses, taking_back
from node.database.connection import open_database
from node.database.migrations import migrate
from node.database.pauses import PauseKind, Pauses
from node.database.tables import LaneRow, OutboxRow
from node.send.outbox import GONE, Sender, longest_s
from tests.hostile_archive import HostileArchive, drip, then
from tests.node.send.outgoing import START, Outgoing, Peer, destinations, outgoing, silent_peer
from tests.orthanc import Archive, free_port
from tests.postgres import Postgres
from tests.waiting import until


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


def test_a_dead_and_a_silent_peer_cost_the_others_nothing(out: Outgoing) -> None:
    peer = Peer()
    with peer.listen() as port, ExitStack() as stack:
        silent = stack.enter_context(silent_peer())
        configuration = destinations(
            dead=peer.destination(free_port()),
            silent=peer.destination(silent, timeout_s=120),
            pacs=peer.destination(port),
            folder={"kind": "folder", "path": out.folder / "results"},
        )
        jobs = [out.job("dead", "silent", "pacs", "folder") for _ in range(5)]
        sender = Sender(configuration, out.database, first_retry_s=0.1)
        sender.start()
        try:
            until(lambda: all(out.states(job, "pacs") == out.states(job, "folder") == ["delivered"] for job in jobs))
            assert all(out.states(job, "dead") == out.states(job, "silent") == ["waiting"] for job in jobs)
        finally:
            stack.close()  # the silent peer hangs up, so that its thread need not wait for its time limit
            sender.stop()


def test_a_peer_that_drips_does_not_keep_the_sender_and_gets_its_object_at_the_next_start(
    out: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.send.outbox.STOP_PATIENCE_S", 0.1)
    with HostileArchive(then(drip)) as archive:
        job = out.job("pacs")
        sender = Sender(
            destinations(pacs=Peer().destination(archive.port, timeout_s=120, associations=2)), out.database
        )
        sender.start()
        until(lambda: archive.opened, "an object is on its way")
        sender.stop()
        until(lambda: archive.ended, "the association is over")
        until(lambda: not any(way.loop.alive for way in sender._ways.values()), "and so is all")
    assert out.states(job) == ["waiting"]


def test_a_job_that_was_sent_when_the_node_died_is_closed(out: Outgoing) -> None:
    job, other = out.job("pacs"), out.job("pacs")
    with Session(out.database) as session, session.begin():  # its last answer was noted, and no more
        session.execute(update(OutboxRow).where(OutboxRow.job_id == job).values(state="delivered"))
    sender = Sender(destinations(pacs=Peer().destination(free_port())), out.database)
    sender.start()
    try:
        until(lambda: out.job_record(job).state == "done")
    finally:
        sender.stop()
    assert out.job_record(other).state == "sending"


@pytest.mark.orthanc
def test_what_waits_for_orthanc_goes_out_when_it_is_back(out: Outgoing, orthanc: Archive) -> None:
    configuration = destinations(
        pacs={"kind": "dimse", "ae_title": orthanc.ae_title, "host": "127.0.0.1", "port": orthanc.dicom_port}
    )
    kinds = ("derived_series", "secondary_capture", "report")
    sender = Sender(configuration, out.database, first_retry_s=0.1)
    sender.start()
    try:
        first = out.job("pacs", kinds=kinds)
        until(lambda: out.job_record(first).state == "done")
        orthanc.stop()
        jobs = [out.job("pacs", kinds=kinds) for _ in range(4)]
        until(lambda: any(line.attempts for job in jobs for line in out.lines(job)))
        assert {state for job in jobs for state in out.states(job)} == {"waiting"}
        orthanc.start()
        until(lambda: all(out.job_record(job).state == "done" for job in jobs))
    finally:
        sender.stop()
    sent = {line.sop_instance_uid for job in (first, *jobs) for line in out.lines(job)}
    assert orthanc.sop_instance_uids() == sent
    assert len(sent) == 15


def test_a_destination_that_left_the_configuration_ends_its_jobs_with_that_reason(
    out: Outgoing, caplog: pytest.LogCaptureFixture
) -> None:
    waiting, shared = out.job("gone", kinds=("derived_series", "report")), out.job("gone", "folder")
    unconfirmed = out.job("gone", confirm=True)
    with Session(out.database) as session, session.begin():
        session.execute(update(OutboxRow).where(OutboxRow.job_id == unconfirmed).values(state="delivered"))
        session.execute(update(OutboxRow).where(OutboxRow.job_id == unconfirmed).values(sha256="ab"))
        taking_back.take_back(session, unconfirmed, RejectionReason.QUALITY, "wrong", START)
    sender = Sender(destinations(folder={"kind": "folder", "path": out.folder / "results"}), out.database)
    sender.start()
    try:
        until(lambda: [out.job_record(job).state for job in (waiting, shared)] == ["failed"] * 2)
        until(lambda: ("taken back", f"gone: {GONE}; it cannot be told") in out.events(unconfirmed))
        until(lambda: out.job_record(unconfirmed).state == "done")
    finally:
        sender.stop()
    assert out.job_record(waiting).reason == "gone: is no longer in the configuration (2 refused)"
    assert out.job_record(shared).reason == "gone: is no longer in the configuration (1 delivered, 1 refused)"
    (told,) = [record for record in caplog.records if "left the configuration" in record.message]
    assert (told.destination, told.objects, told.jobs) == ("gone", 4, 3)  # type: ignore[attr-defined]


@pytest.mark.postgres
def test_what_another_node_still_sends_to_is_left_to_it(out: Outgoing, postgres: Postgres) -> None:
    database = open_database(postgres.database())
    migrate(database)
    theirs = Outgoing(out.folder, database)
    job = theirs.job("theirs")
    with Session(database) as session, session.begin():
        session.add(LaneRow(destination="theirs", owner="another node", seen=datetime.now(UTC)))
    sender = Sender(destinations(folder={"kind": "folder", "path": out.folder / "results"}), database)
    assert not sender._end_what_goes_nowhere()
    assert theirs.states(job) == ["waiting"]
    with Session(database) as session, session.begin():
        session.execute(update(LaneRow).values(seen=datetime.now(UTC) - timedelta(minutes=5)))
    assert sender._end_what_goes_nowhere()
    assert theirs.states(job) == ["refused"]
    database.dispose()


def test_a_peer_that_may_be_silent_for_long_is_not_taken_for_stuck(tmp_path: Path) -> None:
    dimse = {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": 104, "timeout_s": 3600}
    made = destinations(pacs=dimse, share={"kind": "folder", "path": tmp_path}).destinations
    assert longest_s(made["pacs"]) > LONGEST_S + 3600
    assert longest_s(made["share"]) == LONGEST_S


def pause(out: Outgoing, name: str) -> None:
    with Session(out.database) as session, session.begin():
        pauses.pause(session, PauseKind.DESTINATION, name, "kim", "maintenance", START)


def test_nothing_is_tried_at_a_paused_destination_until_it_is_resumed(out: Outgoing) -> None:
    peer = Peer()
    with peer.listen() as port:
        configuration = destinations(pacs=peer.destination(port), other=peer.destination(port))
        pause(out, "pacs")
        job = out.job("pacs", "other")
        sender = Sender(configuration, out.database, paused=Pauses(out.database).destination)
        sender.start()
        try:
            until(lambda: out.states(job, "other") == ["delivered"], "the other destination has its object")
            assert out.states(job, "pacs") == ["waiting"]
            (line,) = out.lines(job, "pacs")
            assert (line.attempts, line.failing_since) == (0, None)
            with Session(out.database) as session, session.begin():
                pauses.resume(session, PauseKind.DESTINATION, "pacs")
            until(lambda: out.states(job, "pacs") == ["delivered"], "it is sent after all")
        finally:
            sender.stop()


def test_a_destination_that_is_down_and_paused_does_not_count_as_down_and_begins_anew(out: Outgoing) -> None:
    now = datetime.now(UTC)
    job = out.job("pacs")
    long_ago = now - timedelta(days=1)
    with Session(out.database) as session, session.begin():
        later = {"failing_since": long_ago, "not_before": now + timedelta(hours=1), "attempts": 3}
        session.execute(update(OutboxRow).values(later))
        assert [one.destination for one in outbox.failing(session, now)] == ["pacs"]
    pause(out, "pacs")
    with Session(out.database) as session, session.begin():
        assert outbox.failing(session, now) == []
        outbox.begin_anew(session, "pacs", now)
    (line,) = out.lines(job, "pacs")
    assert (line.failing_since, line.not_before) == (None, now)


def test_a_reload_replaces_only_the_lanes_whose_destination_is_another(out: Outgoing) -> None:
    first, second = Peer(), Peer()
    with first.listen() as port, second.listen() as other_port:
        same = {"kind": "folder", "path": out.folder / "results"}
        sender = Sender(destinations(pacs=first.destination(port), folder=same), out.database)
        sender.start()
        try:
            job = out.job("pacs", "folder")
            until(lambda: out.states(job) == ["delivered"] * 2, "both have their object")
            before = dict(sender._ways)
            sender.reconfigure(
                destinations(
                    pacs=second.destination(other_port), folder=same, more={**same, "path": out.folder / "more"}
                )
            )
            assert sender._ways["folder"] is before["folder"]
            assert sender._ways["pacs"] is not before["pacs"]
            again = out.job("pacs", "folder", "more")
            until(lambda: out.states(again) == ["delivered"] * 3, "all have the next one")
            assert (len(first.received), len(second.received)) == (1, 1)
            until(lambda: not before["pacs"].loop.alive, "the lane that was replaced has ended")
            assert sender.problem() is None
        finally:
            sender.stop()


def test_what_waits_for_a_destination_that_a_reload_takes_away_ends_with_its_job(out: Outgoing) -> None:
    with silent_peer() as silent:
        sender = Sender(destinations(pacs=Peer().destination(silent)), out.database)
        sender.start()
        try:
            job = out.job("pacs")
            sender.reconfigure(destinations())
            until(lambda: out.states(job) == ["refused"], "its line has ended")
        finally:
            sender.stop()
