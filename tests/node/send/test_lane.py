from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import pydicom
import pytest
from pydicom.uid import ComprehensiveSRStorage, ImplicitVRLittleEndian, MRImageStorage, SecondaryCaptureImageStorage
from sqlalchemy import update
from sqlalchemy.orm import Session

from dicom_sr.profile import ObjectFile
from node.config import Configuration
from node.database import job_states
from node.database.outbox import Failing, failing
from node.database.queries import delivered_counts
from node.database.tables import OutboxRow
from node.send.delivery import Answer, F, Outcome
from node.send.dicomweb_delivery import DicomWebDelivery
from node.send.lane import Lane, back_off_s
from tests.counting import counting
from tests.node.send.outgoing import HandClock, Outgoing, Peer, destinations, outgoing
from tests.orthanc import free_port


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def lane(out: Outgoing, configuration: Configuration, clock: HandClock, name: str = "pacs") -> Lane:
    return Lane(name, configuration.destinations[name], "CONDYLE", out.database, clock, data=out.folder)


def drain(of: Lane) -> None:
    """Let the lane do everything that is due."""
    while of.turn():
        pass


def test_objects_go_out_images_first_and_byte_for_byte(out: Outgoing, clock: HandClock) -> None:
    peer = Peer()
    job = out.job("pacs", kinds=("report", "presentation_state", "secondary_capture", "derived_series"))
    with peer.listen() as port, counting() as added:
        drain(lane(out, destinations(pacs=peer.destination(port)), clock))
    assert out.states(job) == ["delivered"] * 4
    assert added["condyle_deliveries_total", "pacs", "delivered"] == 4
    sizes = [out.path(line.sop_instance_uid).stat().st_size for line in out.lines(job)]
    assert added["condyle_delivered_bytes_total", "pacs"] == sum(sizes)
    assert peer.uids == [line.sop_instance_uid for line in out.lines(job)]
    assert [line.order for line in out.lines(job)] == [0, 1, 3, 4]
    for uid, received, _ in peer.received:
        assert out.path(uid).read_bytes().endswith(received)
        assert len(received) > 100
    assert out.job_record(job).state == "done"
    assert ("sent", "pacs: 4 delivered") in out.events(job)


def test_a_destination_is_failing_from_its_first_failed_try_until_what_waited_has_arrived(
    out: Outgoing, clock: HandClock
) -> None:
    def found() -> list[Failing]:
        with Session(out.database) as session:
            return failing(session, clock() + timedelta(seconds=1))

    peer, port = Peer(), free_port()
    out.job("pacs", kinds=("secondary_capture", "report"))
    of = lane(out, destinations(pacs=peer.destination(port)), clock)
    assert found() == []
    began = clock()
    for _ in range(3):
        drain(of)
        assert found() == [Failing("pacs", began, 2, takes_some=False)]
        clock.wait(600)
    out.job("pacs")
    restarted = lane(out, destinations(pacs=peer.destination(port)), clock)
    drain(restarted)
    assert found() == [Failing("pacs", began, 3, takes_some=False)]
    clock.wait(600)
    with peer.listen(port=port):
        drain(restarted)
    assert found() == []


def test_contexts_are_asked_for_what_is_sent_only_explicit_first(out: Outgoing, clock: HandClock) -> None:
    peer = Peer()
    out.job("pacs", kinds=("secondary_capture", "derived_series"))
    with peer.listen() as port:
        drain(lane(out, destinations(pacs=peer.destination(port)), clock))
    assert peer.contexts == [
        [
            f"{MRImageStorage} 1.2.840.10008.1.2.1|1.2.840.10008.1.2",
            f"{SecondaryCaptureImageStorage} 1.2.840.10008.1.2.1|1.2.840.10008.1.2",
        ]
    ]


def test_a_peer_that_knows_implicit_vr_only_gets_that(out: Outgoing, clock: HandClock) -> None:
    peer = Peer(syntaxes=(ImplicitVRLittleEndian,))
    job = out.job("pacs")
    with peer.listen() as port:
        drain(lane(out, destinations(pacs=peer.destination(port)), clock))
    ((uid, received, syntax),) = peer.received
    assert syntax == ImplicitVRLittleEndian
    sent, got = pydicom.dcmread(out.path(uid)), BytesIO(received)
    read = pydicom.filereader.read_dataset(got, is_implicit_VR=True, is_little_endian=True)
    assert [(e.tag, e.value) for e in sent] == [(e.tag, e.value) for e in read]
    assert out.states(job) == ["delivered"]


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007])
def test_a_warning_counts_as_stored_and_is_kept(out: Outgoing, clock: HandClock, status: int) -> None:
    peer = Peer(status=lambda uid: status)
    job = out.job("pacs")
    with peer.listen() as port:
        drain(lane(out, destinations(pacs=peer.destination(port)), clock))
    (line,) = out.lines(job)
    assert line.state == "delivered"
    assert line.answer == f"0x{status:04X} stored with a warning"


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0xC123, 0x0124])
def test_a_refused_object_is_not_sent_again_and_fails_the_job(out: Outgoing, clock: HandClock, status: int) -> None:
    asked: list[str] = []

    def refuse(uid: str) -> int:
        asked.append(uid)
        return status

    peer = Peer(status=refuse)
    job = out.job("pacs")
    with peer.listen() as port, counting() as added:
        sending = lane(out, destinations(pacs=peer.destination(port)), clock)
        drain(sending)
        clock.wait(86400)
        drain(sending)
    assert len(asked) == 1
    assert out.states(job) == ["refused"]
    assert added["condyle_deliveries_total", "pacs", "refused"] == 1
    assert out.job_record(job).state == "failed"
    assert f"pacs: 0x{status:04X} refused" in out.job_record(job).reason


def test_a_peer_that_is_out_of_room_is_asked_again_later(out: Outgoing, clock: HandClock) -> None:
    answers = iter([0xA700, 0xA701, 0x0000])
    peer = Peer(status=lambda uid: next(answers))
    job = out.job("pacs")
    with peer.listen() as port:
        sending = lane(out, destinations(pacs=peer.destination(port)), clock)
        drain(sending)
        assert [(line.state, line.answer) for line in out.lines(job)] == [("waiting", "0xA700 refused for now")]
        clock.wait(1.9)
        drain(sending)
        assert out.lines(job)[0].attempts == 1
        clock.wait(0.1)
        drain(sending)
        assert out.lines(job)[0].attempts == 2
        clock.wait(3.9)
        drain(sending)
        assert out.lines(job)[0].attempts == 2
        clock.wait(0.1)
        drain(sending)
    assert out.states(job) == ["delivered"]
    assert len(peer.received) == 1


def test_reports_wait_for_an_image_that_has_to_wait(out: Outgoing, clock: HandClock) -> None:
    statuses = iter([0xA700, 0x0000, 0x0000])
    peer = Peer(status=lambda uid: next(statuses))
    job = out.job("pacs", kinds=("derived_series", "report"))
    with peer.listen() as port:
        sending = lane(out, destinations(pacs=peer.destination(port)), clock)
        drain(sending)
        assert peer.received == []
        clock.wait(2)
        drain(sending)
    assert peer.uids == [line.sop_instance_uid for line in out.lines(job)]


def test_the_twin_goes_where_the_class_of_a_report_is_refused(out: Outgoing, clock: HandClock) -> None:
    peer = Peer(classes=(SecondaryCaptureImageStorage, ComprehensiveSRStorage))
    job = out.job("pacs", kinds=("secondary_capture", "report"))
    report = out.lines(job)[1].sop_instance_uid
    twin = out.twin(job, of=report)
    with peer.listen() as port:
        drain(lane(out, destinations(pacs=peer.destination(port)), clock))
    assert [(line.sop_instance_uid == report, line.state) for line in out.lines(job)[1:]] == [
        (True, "skipped"),
        (False, "delivered"),
    ]
    assert twin in peer.uids
    assert report not in peer.uids
    assert twin in out.lines(job)[1].answer
    assert out.job_record(job).state == "done"


def test_the_twin_stays_where_the_report_is_taken(out: Outgoing, clock: HandClock) -> None:
    peer = Peer()
    job = out.job("pacs", kinds=("report",))
    twin = out.twin(job, of=out.lines(job)[0].sop_instance_uid)
    with peer.listen() as port:
        drain(lane(out, destinations(pacs=peer.destination(port)), clock))
    assert twin not in peer.uids
    assert out.states(job) == ["delivered"]


def test_a_refused_presentation_state_is_left_out_and_recorded(out: Outgoing, clock: HandClock) -> None:
    peer = Peer(classes=(SecondaryCaptureImageStorage,))
    job = out.job("pacs", kinds=("secondary_capture", "presentation_state"))
    with peer.listen() as port:
        drain(lane(out, destinations(pacs=peer.destination(port)), clock))
    assert out.states(job) == ["delivered", "skipped"]
    assert out.lines(job)[1].answer == "pacs does not take the class Grayscale Softcopy Presentation State Storage"
    assert out.job_record(job).state == "done"


@pytest.mark.parametrize("classes", [(MRImageStorage,), (ComprehensiveSRStorage,)])
def test_a_peer_that_refuses_the_capture_fails_the_job(
    out: Outgoing, clock: HandClock, classes: tuple[str, ...]
) -> None:
    # of the second peer no context at all is accepted
    peer = Peer(classes=classes)
    job = out.job("pacs", kinds=("derived_series", "secondary_capture"))
    with peer.listen() as port:
        drain(lane(out, destinations(pacs=peer.destination(port)), clock))
    assert out.states(job)[1] == "refused"
    assert out.job_record(job).state == "failed"


def test_a_peer_that_is_down_is_tried_again_with_growing_pauses(out: Outgoing, clock: HandClock) -> None:
    port = free_port()
    job = out.job("pacs", kinds=("derived_series", "report"))
    peer = Peer()
    sending = lane(out, destinations(pacs=peer.destination(port)), clock)
    tried = []
    with counting() as added:
        for second in range(40):
            before = out.lines(job)[0].attempts
            drain(sending)
            if out.lines(job)[0].attempts > before:
                tried.append(second)
            clock.wait(1)
    assert tried == [0, 2, 6, 14, 30]
    assert added == {("condyle_delivery_retries_total", "pacs"): 5}
    assert out.lines(job)[0].answer == "pacs: cannot be reached"
    assert out.job_record(job).state == "sending"
    with peer.listen(port=port):
        clock.wait(30)
        drain(sending)
    assert out.states(job) == ["delivered", "delivered"]
    assert out.job_record(job).state == "done"


def test_pauses_double_up_to_five_minutes() -> None:
    assert [back_off_s(n) for n in (1, 2, 3, 8, 9, 1000)] == [2, 4, 8, 256, 300, 300]


def test_a_file_that_is_not_what_was_encoded_is_not_sent(out: Outgoing, clock: HandClock) -> None:
    peer = Peer()
    job = out.job("pacs")
    uid = out.lines(job)[0].sop_instance_uid
    changed = bytearray(out.path(uid).read_bytes())
    changed[-1] ^= 1
    out.path(uid).write_bytes(changed)
    with peer.listen() as port:
        drain(lane(out, destinations(pacs=peer.destination(port)), clock))
    assert peer.received == []
    assert out.lines(job)[0].answer == "not sent: the file is not what was encoded"
    assert out.job_record(job).state == "failed"


def test_other_bytes_never_follow_under_the_same_uid(out: Outgoing, clock: HandClock) -> None:
    peer = Peer()
    job = out.job("pacs", "second")
    with peer.listen() as port:
        configuration = destinations(pacs=peer.destination(port), second=peer.destination(port))
        drain(lane(out, configuration, clock))
        with Session(out.database) as session, session.begin():  # as if an earlier version had sent something else
            session.execute(
                update(OutboxRow)
                .where(OutboxRow.destination == "pacs")
                .values(sha256=hashlib.sha256(b"other").hexdigest())
            )
        drain(lane(out, configuration, clock, "second"))
    assert len(peer.received) == 1
    (line,) = out.lines(job, "second")
    assert (line.state, line.answer) == ("refused", "not sent: other bytes were sent under this UID before")


def test_several_associations_share_the_images_and_keep_the_order(out: Outgoing, clock: HandClock) -> None:
    peer = Peer()
    job = out.job("pacs", kinds=("derived_series",) * 6 + ("report",))
    with peer.listen() as port:
        drain(lane(out, destinations(pacs=peer.destination(port, associations=3)), clock))
    assert out.states(job) == ["delivered"] * 7
    assert len(peer.contexts) == 3
    assert peer.uids[-1] == out.lines(job)[-1].sop_instance_uid
    assert len(set(peer.uids)) == 7


def test_a_job_whose_object_breaks_the_association_lets_the_others_through(out: Outgoing, clock: HandClock) -> None:
    peer = Peer()
    poison = out.job("pacs")
    peer.hang_up_on = out.lines(poison)[0].sop_instance_uid
    good = out.job("pacs")
    with peer.listen() as port:
        sending = lane(out, destinations(pacs=peer.destination(port, timeout_s=1)), clock)
        for _ in range(3):
            drain(sending)
            clock.wait(400)
    assert out.states(good) == ["delivered"]
    assert out.states(poison) == ["waiting"]


class Unforeseen(DicomWebDelivery):
    """A delivery with a bug: it fails at one object, or at every query."""

    poison: ClassVar[set[str]] = set()
    queries_fail: ClassVar[bool] = False

    def send(self, items: Sequence[F]) -> Iterator[tuple[F, Answer]]:
        for item in items:
            if item.sop_instance_uid in self.poison:
                raise KeyError("a bug")
            yield item, Answer(Outcome.DELIVERED, "taken")

    def find(self, items: Sequence[ObjectFile]) -> set[str] | None:
        if self.queries_fail:
            raise KeyError("a bug")
        return {item.sop_instance_uid for item in items}


@pytest.fixture
def unforeseen(monkeypatch: pytest.MonkeyPatch) -> type[Unforeseen]:
    monkeypatch.setattr("node.send.lane.DicomWebDelivery", Unforeseen)
    monkeypatch.setattr(Unforeseen, "poison", set())
    monkeypatch.setattr(Unforeseen, "queries_fail", False)
    return Unforeseen


WEB = {"kind": "dicomweb", "url": "http://127.0.0.1:1/"}


def test_a_failure_that_nobody_thought_of_costs_its_job_a_pause_that_grows_and_no_other_job(
    out: Outgoing, clock: HandClock, unforeseen: type[Unforeseen], caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = out.job("web"), out.job("web")
    unforeseen.poison.add(out.lines(bad)[0].sop_instance_uid)
    sending = lane(out, destinations(web=WEB), clock, "web")
    drain(sending)
    assert out.states(good) == ["delivered"]
    tried = []
    for step in range(40):
        before = out.lines(bad)[0].attempts
        drain(sending)
        if out.lines(bad)[0].attempts > before:
            tried.append(step)
        clock.wait(8)
    assert len(tried) <= 5
    assert out.lines(bad)[0].answer == "web: sending failed: KeyError in the node, see its log"
    (record,) = (record for record in caplog.records if record.exc_info)
    assert record.getMessage() == "sending failed"
    unforeseen.poison.clear()
    clock.wait(300)
    drain(sending)
    assert out.states(bad) == ["delivered"]


def test_a_confirmation_that_fails_in_an_unknown_way_is_put_off_and_shown(
    out: Outgoing, clock: HandClock, unforeseen: type[Unforeseen], caplog: pytest.LogCaptureFixture
) -> None:
    job = out.job("web", confirm=True)
    unforeseen.queries_fail = True
    sending = lane(out, destinations(web={**WEB, "confirm": True}), clock, "web")
    for _ in range(5):
        drain(sending)
    assert [(line.state, line.answer) for line in out.lines(job)] == [
        ("delivered", "delivered, not confirmed: web: confirming failed: KeyError in the node, see its log")
    ]
    assert len([record for record in caplog.records if record.exc_info]) == 1
    other = out.job("web")
    drain(sending)
    assert out.states(other) == ["delivered"]  # sending goes on meanwhile
    unforeseen.queries_fail = False
    clock.wait(600)
    drain(sending)
    assert out.states(job) == ["confirmed"]


def test_what_an_operator_cancels_while_it_is_being_sent_goes_no_further(out: Outgoing, clock: HandClock) -> None:
    peer = Peer(classes=(MRImageStorage, SecondaryCaptureImageStorage, ComprehensiveSRStorage))
    job = out.job("pacs", kinds=("derived_series", "secondary_capture", "report"))
    image, _, report = (line.sop_instance_uid for line in out.lines(job))
    twin = out.twin(job, of=report)

    def cancel(uid: str) -> int:
        with Session(out.database) as session, session.begin():
            job_states.cancel(session, job)
        assert out.job_record(job).reason == "cancelled by an operator; 0 of 3 sent to pacs"
        return 0x0000

    peer.status = cancel
    with peer.listen() as port:
        drain(lane(out, destinations(pacs=peer.destination(port)), clock))
    assert peer.uids == [image]
    assert [line.state for line in out.lines(job)] == ["delivered", "cancelled", "cancelled"]
    assert twin not in {line.sop_instance_uid for line in out.lines(job)}
    # the object that was under way arrived, and counts
    assert out.job_record(job).reason == "cancelled by an operator; 1 of 3 sent to pacs"
    assert delivered_counts(out.database, [job]) == {job: (1, 3)}
