"""Risks to a FHIR server: each is there once, whatever is away or dies in between, and what it refuses is on record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from dicom_sr.profile import SENDING_ORDER, ObjectFile
from node.config.checks import listening_socket
from node.database.tables import JobRow, ObjectRow, OutboxRow
from node.patient_records.store import new_key
from node.send.delivery import Outcome
from node.send.fhir_delivery import FhirDelivery
from node.send.lane import Lane
from node.study.sealing import seal
from tests.fhir_peer import FhirPeer, serving
from tests.node.send.outgoing import START, HandClock, Outgoing, destinations, outgoing

PATIENT = {"entry": [{"resource": {"resourceType": "Patient", "id": "patient"}}]}


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        yield made


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def resource(job_id: str) -> dict[str, Any]:
    return {
        "resourceType": "RiskAssessment",
        "status": "preliminary",
        "subject": {"identifier": {"value": "P-1"}},
        "identifier": [{"system": "urn:condyle:job", "value": job_id}],
    }


def risk(out: Outgoing, *, confirm: bool = False, key_file: Path | None = None) -> str:
    """A job that is being sent, with a risk assessment for the destination ``emr``; returns its id."""
    job_id = out.job(kinds=())
    path = out.folder / f"{job_id}.json"
    path.write_bytes(seal(json.dumps(resource(job_id)).encode(), key_file))
    uid = f"2.25.{int(job_id, 16)}"
    with Session(out.database) as session, session.begin():
        session.get_one(JobRow, job_id).destinations = ["emr"]
        made = {"sop_instance_uid": uid, "job_id": job_id, "order": SENDING_ORDER["risk_assessment"]}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        session.add(
            ObjectRow(
                **made,
                sop_class_uid="",
                series_instance_uid="",
                study_instance_uid="",
                kind="risk_assessment",
                path=str(path),
                sha256=digest,
                size=path.stat().st_size,
            )
        )
        session.flush()
        session.add(OutboxRow(**made, destination="emr", state="waiting", not_before=START, confirm=confirm))
    return job_id


def lane(out: Outgoing, clock: HandClock, url: str, *, key_file: Path | None = None, **more: Any) -> Lane:
    configuration = destinations(emr={"kind": "fhir", "url": f"{url}/r4", **more})
    section = configuration.destinations["emr"]
    return Lane("emr", section, "CONDYLE", out.database, clock, data=out.folder, key_file=key_file)


def drain(of: Lane) -> None:
    while of.turn():
        pass


def job_state(out: Outgoing, job_id: str) -> tuple[str, str]:
    with Session(out.database) as session:
        job = session.get_one(JobRow, job_id)
        return job.state, job.reason


def test_a_risk_is_created_and_the_servers_answer_is_the_proof(out: Outgoing, clock: HandClock, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    peer, job_id = FhirPeer(PATIENT), risk(out)
    with serving(peer.app) as url:
        drain(lane(out, clock, url, token_file=str(tmp_path / "token")))
    assert peer.given == [resource(job_id)]
    assert peer.tokens == {"Bearer t0ken"}
    (line,) = out.lines(job_id)
    assert (line.state, line.answer) == ("delivered", "HTTP 201: RiskAssessment/1")
    assert job_state(out, job_id) == ("done", "")


def test_a_sealed_risk_is_opened_on_its_way(out: Outgoing, clock: HandClock, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(new_key())
    peer, job_id = FhirPeer(PATIENT), risk(out, key_file=tmp_path / "key")
    assert b"P-1" not in (out.folder / f"{job_id}.json").read_bytes()
    with serving(peer.app) as url:
        drain(lane(out, clock, url, key_file=tmp_path / "key"))
    assert peer.given == [resource(job_id)]


def test_after_a_crash_between_giving_and_noting_it_the_server_still_has_it_once(
    out: Outgoing, clock: HandClock
) -> None:
    peer, job_id = FhirPeer(PATIENT), risk(out)
    with serving(peer.app) as url:
        drain(lane(out, clock, url))
        out.reset(job_id)
        drain(lane(out, clock, url))
    assert len(peer.given) == 1
    assert [line.answer for line in out.lines(job_id)] == ["HTTP 200: there already"]


@pytest.mark.parametrize("status", [503, 429, 401, 403])
def test_a_server_that_is_busy_or_does_not_take_the_token_is_asked_again(
    out: Outgoing, clock: HandClock, status: int
) -> None:
    peer, job_id = FhirPeer(PATIENT, statuses=(status,)), risk(out)
    with serving(peer.app) as url:
        of = lane(out, clock, url)
        drain(of)
        (line,) = out.lines(job_id)
        assert line.state == "waiting"
        assert str(status) in line.answer
        assert (job_state(out, job_id), peer.given) == (("sending", ""), [])
        clock.wait(2.1)
        drain(of)
    assert len(peer.given) == 1
    assert job_state(out, job_id) == ("done", "")


def test_a_server_that_is_away_gets_everything_in_order_when_it_is_back(out: Outgoing, clock: HandClock) -> None:
    with listening_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
    jobs = [risk(out) for _ in range(3)]
    drain(lane(out, clock, f"http://127.0.0.1:{port}"))
    assert {job_state(out, job_id)[0] for job_id in jobs} == {"sending"}
    peer = FhirPeer(PATIENT)
    with serving(peer.app) as url:
        clock.wait(60)
        drain(lane(out, clock, url))
    assert [given["identifier"][0]["value"] for given in peer.given] == [*jobs[1:], jobs[0]]  # the tried one goes last
    assert {job_state(out, job_id)[0] for job_id in jobs} == {"done"}


def test_what_the_server_refuses_fails_its_job_and_costs_the_next_nothing(out: Outgoing, clock: HandClock) -> None:
    peer, first, second = FhirPeer(PATIENT, statuses=(422,)), risk(out), risk(out)
    with serving(peer.app) as url:
        drain(lane(out, clock, url))
    assert job_state(out, first) == ("failed", "emr: the FHIR server answered 422 (1 refused)")
    assert job_state(out, second) == ("done", "")
    assert len(peer.given) == 1


def test_a_missing_token_and_a_missing_key_are_reasons_to_try_again(
    out: Outgoing, clock: HandClock, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(key := new_key())
    peer, job_id = FhirPeer(PATIENT), risk(out, key_file=tmp_path / "key")
    (tmp_path / "key").unlink()
    with serving(peer.app) as url:
        of = lane(out, clock, url, token_file=str(tmp_path / "token"), key_file=tmp_path / "key")
        for name, content, reason in (("key", key, "records.key_file"), ("token", b"t", "emr.token_file")):
            drain(of)
            (line,) = out.lines(job_id)
            assert (line.state, line.answer.startswith(reason)) == ("waiting", True), line.answer
            (tmp_path / name).write_bytes(content)
            clock.wait(60)
        drain(of)
    assert len(peer.given) == 1


def test_with_confirm_the_job_is_done_when_the_server_has_been_seen_to_have_it(out: Outgoing, clock: HandClock) -> None:
    peer, job_id = FhirPeer(PATIENT), risk(out, confirm=True)
    with serving(peer.app) as url:
        of = lane(out, clock, url, confirm=True)
        drain(of)
    assert out.states(job_id) == ["confirmed"]
    assert job_state(out, job_id)[0] == "done"


def test_with_confirm_what_the_server_lost_is_given_again(out: Outgoing, clock: HandClock) -> None:
    peer, job_id = FhirPeer(PATIENT), risk(out, confirm=True)
    peer.forgetful = True
    with serving(peer.app) as url:
        of = lane(out, clock, url, confirm=True)
        drain(of)
        assert (out.states(job_id), job_state(out, job_id)[0]) == (["delivered"], "sending")
        peer.forgetful = False
        for _ in range(30):
            clock.wait(3600)
            drain(of)
    assert len(peer.given) == 1
    assert (out.states(job_id), job_state(out, job_id)[0]) == (["confirmed"], "done")


def test_a_server_that_may_not_be_searched_cannot_confirm(tmp_path: Path) -> None:
    peer = FhirPeer(PATIENT)
    peer.searchable = False
    path = tmp_path / "risk.json"
    path.write_text(json.dumps(resource("1")))
    with serving(peer.app) as url:
        way = delivery(url)
        assert way.find([ObjectFile("", "2.25.1", "", "", path)]) is None
        way.close()


def test_a_dicom_object_is_refused_without_asking_the_server(tmp_path: Path) -> None:
    way = delivery("http://127.0.0.1:1")
    (tmp_path / "image.dcm").write_bytes(b"\0" * 128 + b"DICM")
    ((_, answer),) = way.send(
        [ObjectFile("1.2.840.10008.5.1.4.1.1.4", "2.25.1", "2.25.2", "2.25.3", tmp_path / "image.dcm")]
    )
    assert (answer.outcome, answer.text) == (Outcome.REFUSED, "not a FHIR resource")


def test_a_risk_that_is_sent_again_for_the_patient_after_a_merge_takes_its_own_place(tmp_path: Path) -> None:
    server, path = FhirPeer(PATIENT), tmp_path / "risk.json"
    item = ObjectFile("", "2.25.1", "", "", path)
    with serving(server.app) as url:
        way = delivery(url)
        for patient in ("P-1", "SURVIVOR", "SURVIVOR"):
            path.write_text(json.dumps({**resource("1"), "subject": {"identifier": {"value": patient}}}))
            ((_, answer),) = way.send([item])
            assert answer.outcome is Outcome.DELIVERED
        way.close()
    (again,) = server.transactions[:1]
    (entry,) = again["entry"]
    assert entry["request"] == {"method": "PUT", "url": "RiskAssessment?identifier=urn:condyle:job|1"}
    assert entry["resource"]["subject"] == {"identifier": {"value": "SURVIVOR"}}


def test_the_server_says_which_fhir_it_speaks() -> None:
    with serving(FhirPeer(PATIENT).app) as url:
        way = delivery(url)
        assert way.ping() == "answers: FHIR 4.0.1"
        way.close()


def delivery(url: str) -> FhirDelivery:
    destination = destinations(emr={"kind": "fhir", "url": f"{url}/r4"}).destinations["emr"]
    assert destination.kind == "fhir"
    return FhirDelivery("emr", destination)
