from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from node.database.tables import OutboxRow
from node.send.outbox import Sender
from tests.node.send.outgoing import Outgoing, Peer, destinations, outgoing, silent_peer
from tests.orthanc import Archive, free_port
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
