from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.sop_class import StorageCommitmentPushModelInstance
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.database.tables import CommitmentRow
from node.network.commitment_information import Information, data_set, read_information
from node.network.sop_classes import StorageCommitmentPushModel, StudyRootQueryRetrieveInformationModelFind
from node.receive.dimse.commitment_provider import CommitmentProvider
from node.receive.store.locks import LeaderLock
from node.receive.store.store import Store
from node.send.lane import Lane
from node.send.outbox import Sender
from tests.node.send.outgoing import HandClock, Outgoing, Peer, destinations, outgoing
from tests.orthanc import Archive, Modality, free_port
from tests.scp import end, listen
from tests.waiting import until


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


class Committing:
    """What an archive does about storage commitment: added to a `Peer`."""

    def __init__(self, status: int = 0x0000, report: Callable[[evt.Event], None] = lambda event: None) -> None:
        self.asked: list[Dataset] = []
        self._status, self._report = status, report
        self.handlers = [(evt.EVT_N_ACTION, self._action)]

    def __call__(self, ae: AE) -> None:
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)

    def _action(self, event: evt.Event) -> tuple[int, None]:
        self.asked.append(event.action_information)
        self._report(event)
        return self._status, None


class Answering:
    """What an archive answers to C-FIND: added to a `Peer`."""

    def __init__(self, has: Callable[[], Sequence[str]]) -> None:
        self._has = has
        self.handlers = [(evt.EVT_C_FIND, self._find)]

    def __call__(self, ae: AE) -> None:
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for uid in self._has():
            match = Dataset()
            match.QueryRetrieveLevel, match.SOPInstanceUID = "IMAGE", uid
            yield 0xFF00, match


def lane(out: Outgoing, clock: HandClock, destination: dict[str, Any]) -> Lane:
    return Lane(
        "pacs", destinations(pacs=destination).destinations["pacs"], "CONDYLE", out.database, clock, data=out.folder
    )


def drain(of: Lane) -> None:
    while of.turn():
        pass


def transactions(out: Outgoing) -> list[CommitmentRow]:
    with Session(out.database) as session:
        return list(session.scalars(select(CommitmentRow).order_by(CommitmentRow.created)))


def receiver(out: Outgoing) -> CommitmentProvider:
    """The receiver's part, which the peer's report comes to."""
    return CommitmentProvider(
        out.database, Store(out.folder / "store", "process"), "CONDYLE", {}, LeaderLock(out.folder / "leader_lock")
    )


def report(transaction: CommitmentRow, failed: dict[str, int] | None = None) -> tuple[int, Information]:
    """A report as an archive makes it: event type and what its data set says."""
    information = Information(transaction.transaction_uid, transaction.references, failed or {})
    return (2 if failed else 1), information


def test_an_object_is_confirmed_when_the_peer_has_committed_itself(out: Outgoing, clock: HandClock) -> None:
    peer, committing = Peer(), Committing()
    job = out.job("pacs", kinds=("secondary_capture", "report"), confirm=True)
    with peer.listen([committing]) as port:
        sending = lane(out, clock, peer.destination(port, commitment=True))
        drain(sending)
        assert out.states(job) == ["delivered", "delivered"]
        assert out.job_record(job).state == "sending"
        (transaction,) = transactions(out)
        (asked,) = committing.asked
        assert asked.TransactionUID == transaction.transaction_uid
        assert [[i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID] for i in asked.ReferencedSOPSequence] == (
            transaction.references
        )
        assert {uid for _, uid in transaction.references} == set(peer.uids)
        receiver(out).take_report("ARCHIVE", *report(transaction))
        drain(sending)
    assert out.states(job) == ["confirmed", "confirmed"]
    assert out.job_record(job).state == "done"
    assert [t.state for t in transactions(out)] == ["confirmed"]
    assert len(committing.asked) == 1


def test_an_object_that_the_peer_lost_is_sent_again(out: Outgoing, clock: HandClock) -> None:
    peer, committing = Peer(), Committing()
    job = out.job("pacs", kinds=("secondary_capture", "report"), confirm=True)
    lost, kept = (line.sop_instance_uid for line in out.lines(job))
    with peer.listen([committing]) as port:
        sending = lane(out, clock, peer.destination(port, commitment=True))
        drain(sending)
        receiver(out).take_report("ARCHIVE", *report(transactions(out)[0], failed={lost: 0x0112}))
        drain(sending)
        assert out.states(job) == ["waiting", "confirmed"]
        assert out.lines(job)[0].answer == "not committed: 0x0112"
        clock.wait(60)
        drain(sending)
        assert peer.uids == [lost, kept, lost]
        receiver(out).take_report("ARCHIVE", *report(transactions(out)[1]))
        drain(sending)
    assert len({content for uid, content, _ in peer.received if uid == lost}) == 1
    assert out.states(job) == ["confirmed", "confirmed"]
    assert out.job_record(job).state == "done"


def test_an_object_that_is_never_kept_fails_the_job(out: Outgoing, clock: HandClock) -> None:
    peer, committing = Peer(), Committing()
    job = out.job("pacs", confirm=True)
    (uid,) = (line.sop_instance_uid for line in out.lines(job))
    with peer.listen([committing]) as port:
        sending = lane(out, clock, peer.destination(port, commitment=True))
        for _ in range(14):
            drain(sending)
            for transaction in transactions(out):
                if transaction.state == "waiting":
                    receiver(out).take_report("ARCHIVE", *report(transaction, failed={uid: 0x0110}))
            clock.wait(100)
    assert len(peer.uids) == 5
    assert out.states(job) == ["refused"]
    assert "not committed: 0x0110" in out.job_record(job).reason


def test_a_report_on_the_association_of_the_request_is_taken(out: Outgoing, clock: HandClock) -> None:
    def at_once(event: evt.Event) -> None:
        event_type, said = report(transactions(out)[0])
        kept = [(sop_class, uid) for sop_class, uid in said.references]
        ds = data_set(said.transaction_uid, kept, [], event.context.transfer_syntax)
        event.assoc.send_n_event_report(ds, event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)

    peer = Peer()
    job = out.job("pacs", confirm=True)
    with peer.listen([Committing(report=at_once)]) as port:
        drain(lane(out, clock, peer.destination(port, commitment=True)))
    assert out.states(job) == ["confirmed"]


@pytest.mark.parametrize("offers", ["nothing of it", "a refusal"])
def test_a_peer_without_storage_commitment_is_asked_back(out: Outgoing, clock: HandClock, offers: str) -> None:
    peer = Peer()
    job = out.job("pacs", kinds=("secondary_capture", "report"), confirm=True)
    more = [Answering(lambda: peer.uids)] + ([Committing(status=0x0110)] if offers == "a refusal" else [])
    with peer.listen(more) as port:
        drain(lane(out, clock, peer.destination(port, commitment=True)))
    assert [(line.state, line.answer) for line in out.lines(job)] == [("confirmed", "found by query")] * 2
    assert out.job_record(job).state == "done"


def test_a_peer_that_never_reports_is_asked_back(out: Outgoing, clock: HandClock) -> None:
    peer = Peer()
    job = out.job("pacs", confirm=True)
    with peer.listen([Committing(), Answering(lambda: peer.uids)]) as port:
        sending = lane(out, clock, peer.destination(port, commitment=True))
        drain(sending)
        clock.wait(599)
        drain(sending)
        assert out.states(job) == ["delivered"]
        clock.wait(1)
        drain(sending)
    assert out.lines(job)[0].answer == "found by query"
    assert out.states(job) == ["confirmed"]


def test_what_a_query_does_not_find_is_sent_again(out: Outgoing, clock: HandClock) -> None:
    peer = Peer()
    job = out.job("pacs", confirm=True)
    with peer.listen([Answering(lambda: peer.uids if len(peer.uids) > 1 else [])]) as port:
        sending = lane(out, clock, peer.destination(port, commitment=True))
        for _ in range(10):
            drain(sending)
            clock.wait(300)
    assert len(peer.uids) == 2
    assert out.states(job) == ["confirmed"]


def test_after_a_day_delivered_must_do_for_a_peer_that_cannot_be_asked(out: Outgoing, clock: HandClock) -> None:
    peer = Peer()
    job = out.job("pacs", confirm=True)
    with peer.listen() as port:
        sending = lane(out, clock, peer.destination(port, commitment=True))
        drain(sending)
        clock.wait(86400)
        drain(sending)
        assert out.job_record(job).state == "sending"
        clock.wait(700)
        drain(sending)
    assert out.states(job) == ["delivered"]
    assert out.lines(job)[0].answer == "delivered; the peer cannot be asked whether it keeps it"
    assert out.job_record(job).state == "done"


@pytest.mark.orthanc
def test_orthanc_commits_itself_on_an_association_of_its_own(out: Outgoing, tmp_path: Path) -> None:
    received = receiver(out)

    def take(event: evt.Event) -> tuple[int, None]:
        assert event.event_type is not None
        assert isinstance(event.request, N_EVENT_REPORT)
        encoded = event.request.EventInformation
        assert encoded is not None
        information = read_information(encoded.getvalue(), event.context.transfer_syntax)
        received.take_report(event.assoc.requestor.ae_title, event.event_type, information)
        return 0x0000, None

    port = free_port()
    ae = AE("CONDYLE")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    listening = listen(ae, [(evt.EVT_N_EVENT_REPORT, take)], port)
    archive = Archive(tmp_path / "orthanc", modalities={"condyle": Modality("CONDYLE", port)})
    try:
        with archive:
            to = {"kind": "dimse", "ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.dicom_port}
            sender = Sender(destinations(pacs={**to, "commitment": True}), out.database, first_retry_s=0.1)
            sender.start()
            try:
                jobs = [out.job("pacs", kinds=("secondary_capture", "report"), confirm=True) for _ in range(3)]
                until(lambda: all(out.job_record(job).state == "done" for job in jobs), "Orthanc has committed itself")
            finally:
                sender.stop()
    finally:
        end(listening)
    assert [line.answer for job in jobs for line in out.lines(job)] == ["storage commitment"] * 6
    assert {t.state for t in transactions(out)} == {"confirmed"}
