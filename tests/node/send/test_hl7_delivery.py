"""HL7 messages to receivers: sent once, again with the same control ID after a crash, refusals on record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from dicom_sr.profile import ObjectFile
from dicom_sr.write.hl7 import control_id
from node.config import Hl7Destination, RecordSettings
from node.database.tables import JobRow, ObjectRow, OutboxRow
from node.network.mllp_client import Acknowledgement
from node.patient_records.intake import Intake
from node.patient_records.mllp import MllpServer
from node.patient_records.store import PatientRecords, new_key
from node.reading import HERE
from node.send.delivery import Outcome
from node.send.hl7_delivery import NOT_KEPT, Hl7Delivery, by_code, fit_to_keep
from node.send.lane import Lane
from node.study.sealing import seal
from tests.mllp_peer import MllpPeer
from tests.node.patient_records.stored import there
from tests.node.send.outgoing import START, HandClock, Outgoing, destinations, outgoing


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def message(job_id: str) -> bytes:
    return (
        f"MSH|^~\\&|CONDYLE|NORTH|RIS||20260101120000+0000||ORU^R01^ORU_R01|{job_id[-8:]}|P|2.5.1||||||UNICODE UTF-8\r"
        "PID|1||K4711^^^H^PI||Müßter^Erika^^^^^L||19610214|F\r"
        f"OBR|1||{job_id}^CONDYLE|126000^Imaging Measurement Report^DCM|||20260101120000+0000\r"
        "OBX|1|NM|SVH^Score^99MSKAI|1.1|12.5|1^no units^UCUM|||||P\r"
    ).encode()


def result(out: Outgoing, key_file: Path | None = None) -> str:
    """A job that is being sent, with a message for the destination ``ris``; returns its id."""
    job_id = out.job(kinds=())
    path = out.folder / f"{job_id}.hl7"
    path.write_bytes(seal(message(job_id), key_file))
    made: dict[str, Any] = {"sop_instance_uid": f"2.25.{int(job_id, 16)}", "job_id": job_id, "order": 7}
    with Session(out.database) as session, session.begin():
        session.get_one(JobRow, job_id).destinations = ["ris"]
        session.add(
            ObjectRow(
                **made,
                sop_class_uid="",
                series_instance_uid="",
                study_instance_uid="",
                kind="oru",
                path=str(path),
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                size=path.stat().st_size,
            )
        )
        session.flush()
        session.add(OutboxRow(**made, destination="ris", state="waiting", not_before=START, confirm=False))
    return job_id


def lane(out: Outgoing, clock: HandClock, key_file: Path | None = None, **more: Any) -> Lane:
    section = destinations(ris={"kind": "hl7", **more}).destinations["ris"]
    return Lane("ris", section, "CONDYLE", out.database, clock, data=out.folder, key_file=key_file)


def listener(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, **more}


def drain(of: Lane) -> None:
    while of.turn():
        pass


def state(out: Outgoing, job_id: str) -> tuple[str, str]:
    (line,) = out.lines(job_id)
    return line.state, line.answer


def test_our_own_intake_takes_a_message_and_understands_it(out: Outgoing, clock: HandClock, tmp_path: Path) -> None:
    store, job_id = PatientRecords(tmp_path / "records"), result(out)
    with MllpServer("127.0.0.1", 0, Intake(store, RecordSettings(), HERE)) as server:
        drain(lane(out, clock, **listener(server.port)))
    assert state(out, job_id) == ("delivered", "AA")
    assert out.job_record(job_id).state == "done"
    record = there(store.get("K4711"))
    (value,) = [event for event in record.events if event.kind == "observation"]
    assert (value.code, value.value, value.unit) == ("SVH", 12.5, "1")


def test_our_own_intake_takes_what_takes_a_sealed_message_back(out: Outgoing, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(new_key())
    store, job_id = PatientRecords(tmp_path / "records"), result(out, tmp_path / "key")
    item = ObjectFile("", "2.25.1", "", "", out.folder / f"{job_id}.hl7")
    with MllpServer("127.0.0.1", 0, Intake(store, RecordSettings(), HERE)) as server:
        section = destinations(ris={"kind": "hl7", **listener(server.port)}).destinations["ris"]
        assert isinstance(section, Hl7Destination)
        way = Hl7Delivery("ris", section, tmp_path / "key")
        answer = way.withdraw(item, START, "Left and right were mixed up.")
        way.close()
    assert (answer.outcome, answer.text) == (Outcome.DELIVERED, "AA")
    assert not [event for event in there(store.get("K4711")).events if event.kind == "observation"]


def test_in_a_folder_what_takes_a_message_back_is_one_more_file(out: Outgoing, tmp_path: Path) -> None:
    job_id, folder = result(out), tmp_path / "messages"
    section = destinations(ris={"kind": "hl7", "path": str(folder)}).destinations["ris"]
    assert isinstance(section, Hl7Destination)
    way, item = Hl7Delivery("ris", section), ObjectFile("", "2.25.1", "", "", out.folder / f"{job_id}.hl7")
    (_sent,) = [answer for _, answer in way.send([item])]
    first, again = (way.withdraw(item, START, "Wrong side.") for _ in range(2))
    assert (first.outcome, again.text) == (Outcome.DELIVERED, "there already")
    taken_back = [one.read_text() for one in folder.iterdir() if one.read_bytes() != message(job_id)]
    assert [one.count("TAKEN BACK") for one in taken_back] == [1]
    assert way.withdraw(ObjectFile("1.2", "2.25.1", "", "", tmp_path), START, "").outcome is Outcome.REFUSED


def test_a_sealed_message_is_opened_on_its_way(out: Outgoing, clock: HandClock, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(new_key())
    peer, job_id = MllpPeer(), result(out, tmp_path / "key")
    assert b"K4711" not in (out.folder / f"{job_id}.hl7").read_bytes()
    with peer.listen() as port:
        drain(lane(out, clock, tmp_path / "key", **listener(port)))
    assert peer.received == [message(job_id)]


def test_after_a_crash_before_it_was_noted_the_same_message_goes_out_again(out: Outgoing, clock: HandClock) -> None:
    peer, job_id = MllpPeer(), result(out)
    with peer.listen() as port:
        drain(lane(out, clock, **listener(port)))
        out.reset(job_id)
        drain(lane(out, clock, **listener(port)))
    assert peer.received == [message(job_id)] * 2  # with one control ID: a receiver takes the second for what it is
    assert len({control_id(one) for one in peer.received}) == 1


@pytest.mark.parametrize("first", ["", None])
def test_a_receiver_that_does_not_answer_is_sent_the_same_later(
    out: Outgoing, clock: HandClock, first: str | None
) -> None:
    peer, job_id = MllpPeer(first), result(out)
    with peer.listen() as port:
        of = lane(out, clock, **listener(port, timeout_s=0.3))
        drain(of)
        assert state(out, job_id)[0] == "waiting"
        clock.wait(2.1)
        drain(of)
    assert state(out, job_id) == ("delivered", "AA")
    assert peer.received == [message(job_id)] * 2


@pytest.mark.parametrize("code", ["AE", "AR"])
def test_what_the_receiver_refuses_fails_its_job_and_costs_the_next_nothing(
    out: Outgoing, clock: HandClock, code: str
) -> None:
    peer, first, second = MllpPeer(f"{code}|{{}}|order unknown"), result(out), result(out)
    with peer.listen() as port:
        drain(lane(out, clock, **listener(port)))
    assert state(out, first) == ("refused", f"{code} order unknown")
    assert out.job_record(first).reason == f"ris: {code} order unknown (1 refused)"
    assert state(out, second) == ("delivered", "AA")


def test_an_acknowledgement_of_another_message_proves_nothing(out: Outgoing, clock: HandClock) -> None:
    peer, job_id = MllpPeer("AA|other"), result(out)
    with peer.listen() as port:
        of = lane(out, clock, **listener(port))
        drain(of)
        assert state(out, job_id) == ("waiting", "the acknowledgement is of another message")
        clock.wait(60)
        drain(of)
    assert state(out, job_id) == ("delivered", "AA")


@pytest.mark.parametrize(
    "said",
    [
        "no patient K4711",
        "MUSSTER not found".replace("SS", "ß"),
        "erika: unknown",
        "born 19610214?",
        "PID k-4711 wrong",
    ],
)
def test_no_words_that_tell_whose_the_message_is_are_kept(said: str) -> None:
    assert fit_to_keep(said, message("0" * 32)) == NOT_KEPT


def test_other_words_are_kept_as_far_as_they_fit() -> None:
    assert fit_to_keep("no\x1bsuch   order " + "x" * 200, message("0" * 32)) == r"no\x1bsuch order ".ljust(64, "x")


def test_a_code_that_hl7_does_not_know_is_no_answer() -> None:
    answer = by_code(Acknowledgement("OK", "00000000"), message("0" * 32))
    assert (answer.outcome, answer.text) == (Outcome.UNCLEAR, "an acknowledgement that is none: OK")


def test_in_a_folder_each_message_is_a_file_that_is_never_replaced(
    out: Outgoing, clock: HandClock, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(new_key())
    job_id, folder = result(out, tmp_path / "key"), tmp_path / "messages"
    of = lane(out, clock, tmp_path / "key", path=str(folder), readable_by="group")
    drain(of)
    (written,) = folder.iterdir()
    assert written.read_bytes() == message(job_id)
    assert (folder.stat().st_mode & 0o777, written.stat().st_mode & 0o777) == (0o750, 0o640)
    assert state(out, job_id) == ("delivered", f"written as {written.name}")
    out.reset(job_id)
    drain(of)
    assert state(out, job_id) == ("delivered", "there already")
    written.write_bytes(b"other")
    out.reset(job_id)
    drain(of)
    assert state(out, job_id) == ("refused", "another file of that name is there")
    assert written.read_bytes() == b"other"


def test_a_dicom_object_is_refused_without_asking_the_receiver(tmp_path: Path) -> None:
    item = ObjectFile("1.2.840.10008.5.1.4.1.1.4", "2.25.1", "2.25.2", "2.25.3", tmp_path / "image.dcm")
    way = delivery(port=1)
    ((_, answer),) = way.send([item])
    assert (answer.outcome, answer.text) == (Outcome.REFUSED, "not an HL7 message")
    assert way.find([item]) is None


def test_a_receiver_is_contacted_without_a_message() -> None:
    peer = MllpPeer()
    with peer.listen() as port:
        way = delivery(port=port)
        assert way.ping() == "takes connections (no message was sent)"
        way.close()
    assert peer.received == []


def delivery(port: int) -> Hl7Delivery:
    destination = destinations(ris={"kind": "hl7", **listener(port)}).destinations["ris"]
    assert destination.kind == "hl7"
    return Hl7Delivery("ris", destination)
