"""DiagnosticReports to FHIR servers, one of them somebody else's: each is there once, a revised one in its place."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session

from dicom_sr.profile import EncodingProfile, ObjectFile
from dicom_sr.write.encode import encode
from node.database.tables import JobRow, ObjectRow, OutboxRow
from node.patient_records.store import new_key
from node.send.fhir_delivery import NO_PATIENT, FhirDelivery
from node.study.sealing import seal
from tests.dicom_sr.write.test_oru import CREATED, FINDING, result
from tests.factories import knee_study
from tests.fhir_peer import FhirPeer, serving
from tests.medplum import found, medplum
from tests.node.send.outgoing import START, HandClock, Outgoing, destinations, outgoing
from tests.node.send.test_fhir_delivery import PATIENT, drain, job_state, lane

PROFILE = EncodingProfile(kinds=("diagnostic_report",), identifier_system="urn:h", report_status="final")
FIRST_JOBS = itertools.count(step=100)  # the tests share a server, and have jobs of their own


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Outgoing]:
    with outgoing(tmp_path / "out") as made:
        made.made = next(FIRST_JOBS)
        yield made


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with medplum(tmp_path_factory.mktemp("medplum")) as base:
        yield base


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return knee_study(tmp_path_factory.mktemp("knee")).series


def report(
    out: Outgoing, evidence: Any, earlier: tuple[str, ...] = (), key_file: Path | None = None, **more: Any
) -> str:
    """A job that is being sent, with a report for the destination ``emr``; returns its id."""
    job_id = out.job(kinds=())
    (made,) = encode(result(evidence, **more), PROFILE, CREATED, out.folder / job_id, job=job_id, earlier_jobs=earlier)
    made.path.write_bytes(seal(made.path.read_bytes(), key_file))
    line = {"sop_instance_uid": made.sop_instance_uid, "job_id": job_id, "order": made.order}
    with Session(out.database) as session, session.begin():
        session.get_one(JobRow, job_id).destinations = ["emr"]
        session.add(
            ObjectRow(
                **line,
                sop_class_uid="",
                series_instance_uid="",
                study_instance_uid=made.study_instance_uid,
                kind=made.kind,
                path=str(made.path),
                sha256=hashlib.sha256(made.path.read_bytes()).hexdigest(),
                size=made.path.stat().st_size,
            )
        )
        session.flush()
        session.add(OutboxRow(**line, destination="emr", state="waiting", not_before=START, confirm=False))
    return job_id


def answers(out: Outgoing, job_id: str) -> list[str]:
    return [line.answer for line in out.lines(job_id)]


def test_a_server_of_somebody_else_takes_it_and_finds_all_of_it_again(
    out: Outgoing, clock: HandClock, server: str, evidence: Any
) -> None:
    job_id = report(out, evidence)
    drain(lane(out, clock, server.removesuffix("/r4")))
    (answer,) = answers(out, job_id)
    (there,) = found(server, "DiagnosticReport", identifier=f"urn:condyle:job|{job_id}")
    assert answer == f"HTTP 200: DiagnosticReport/{there['id']}"
    observations = found(server, "Observation", _tag=f"urn:condyle:report|{job_id}")
    assert len(observations) == 4  # two findings, one with a number and an evaluation
    places = {f"Observation/{one['id']}" for one in observations}
    assert {one["reference"] for one in there["result"]} < places
    groups = [one for one in observations if "hasMember" in one]
    assert {member["reference"] for one in groups for member in one["hasMember"]} < places
    (device,) = found(server, "Device")
    assert {one["device"]["reference"] for one in observations} == {f"Device/{device['id']}"}


def test_after_a_crash_between_giving_and_noting_it_the_server_has_one_report(
    out: Outgoing, clock: HandClock, server: str, evidence: Any
) -> None:
    job_id = report(out, evidence, findings=(FINDING,), not_evaluable=())
    for _ in range(2):
        drain(lane(out, clock, server.removesuffix("/r4")))
        first = found(server, "DiagnosticReport", identifier=f"urn:condyle:job|{job_id}")
        out.reset(job_id)
    drain(lane(out, clock, server.removesuffix("/r4")))
    assert found(server, "DiagnosticReport", identifier=f"urn:condyle:job|{job_id}") == first
    assert len(first) == 1
    assert answers(out, job_id) == ["there already"]
    assert len(found(server, "Device")) == 1


def test_a_revised_report_takes_the_place_of_the_first_whenever_that_arrives(
    out: Outgoing, clock: HandClock, server: str, evidence: Any
) -> None:
    first = report(out, evidence)
    drain(lane(out, clock, server.removesuffix("/r4")))
    second = report(out, evidence, (first,), conclusion=("It is otherwise.",))
    drain(lane(out, clock, server.removesuffix("/r4")))
    (there,) = found(server, "DiagnosticReport", identifier=f"urn:condyle:report|{first}")
    assert there["conclusion"].startswith("It is otherwise.")
    assert there["status"] == "corrected"
    assert len(found(server, "Observation", _tag=f"urn:condyle:report|{first}")) == 4
    out.reset(first)  # it was sent, and the node died before it noted that
    drain(lane(out, clock, server.removesuffix("/r4")))
    assert answers(out, first) == ["there already"]
    (again,) = found(server, "DiagnosticReport", identifier=f"urn:condyle:job|{second}")
    assert again == there


def test_a_revised_report_takes_back_observations_that_only_the_first_had(
    out: Outgoing, clock: HandClock, server: str, evidence: Any
) -> None:
    first = report(out, evidence)
    drain(lane(out, clock, server.removesuffix("/r4")))
    report(out, evidence, (first,), not_evaluable=())
    drain(lane(out, clock, server.removesuffix("/r4")))
    observations = found(server, "Observation", _tag=f"urn:condyle:report|{first}")
    states = Counter(one["status"] for one in observations)
    assert states == {"corrected": 3, "entered-in-error": 1}
    (taken_back,) = [one for one in observations if one["status"] == "entered-in-error"]
    assert taken_back["code"]["text"] == "Right knee"


def test_a_report_can_be_taken_back_with_all_its_observations_and_once_is_enough(
    out: Outgoing, clock: HandClock, server: str, evidence: Any
) -> None:
    first = report(out, evidence)
    drain(lane(out, clock, server.removesuffix("/r4")))
    way, item = delivery(server), file_of(out, first)
    assert way.find([item]) == {item.sop_instance_uid}
    assert way.withdraw(item, START, "wrong").text.startswith("HTTP 200: DiagnosticReport/")
    assert way.find([item]) == set()
    (there,) = found(server, "DiagnosticReport", identifier=f"urn:condyle:job|{first}")
    observations = found(server, "Observation", _tag=f"urn:condyle:report|{first}")
    assert {there["status"], *(one["status"] for one in observations)} == {"entered-in-error"}
    assert way.withdraw(item, START, "wrong").text == "not there, or replaced by a later one"
    way.close()


def test_a_report_that_is_sent_again_for_the_patient_after_a_merge_takes_its_own_place(
    out: Outgoing, clock: HandClock, server: str, evidence: Any
) -> None:
    job_id = report(out, evidence)
    drain(lane(out, clock, server.removesuffix("/r4")))
    item = file_of(out, job_id)
    patient_id = str(evidence[0].headers[0].PatientID)
    item.path.write_bytes(item.path.read_bytes().replace(json.dumps(patient_id).encode(), b'"SURVIVOR"'))
    way = delivery(server)
    for answered in ("HTTP 200: DiagnosticReport/", "there already"):
        ((_, answer),) = way.send([item])
        assert answer.text.startswith(answered)
    way.close()
    (there,) = found(server, "DiagnosticReport", identifier=f"urn:condyle:job|{job_id}")
    assert there["subject"]["identifier"]["value"] == "SURVIVOR"


def test_a_report_that_was_replaced_is_not_taken_back(
    out: Outgoing, clock: HandClock, server: str, evidence: Any
) -> None:
    first = report(out, evidence)
    drain(lane(out, clock, server.removesuffix("/r4")))
    second = report(out, evidence, (first,))
    drain(lane(out, clock, server.removesuffix("/r4")))
    way = delivery(server)
    assert way.withdraw(file_of(out, first), START, "wrong").text == "not there, or replaced by a later one"
    way.close()
    (there,) = found(server, "DiagnosticReport", identifier=f"urn:condyle:job|{second}")
    assert there["status"] == "corrected"


def test_a_report_may_wait_until_the_server_knows_the_patient_and_refer_to_that_one(
    out: Outgoing, clock: HandClock, server: str, evidence: Any
) -> None:
    job_id = report(out, evidence)
    of = lane(out, clock, server.removesuffix("/r4"), find_patient=True)
    drain(of)
    assert out.states(job_id) == ["waiting"]
    assert answers(out, job_id) == [NO_PATIENT]
    patient_id = str(evidence[0].headers[0].PatientID)
    patient = {"resourceType": "Patient", "identifier": [{"system": "urn:h", "value": patient_id}]}
    place = f"Patient/{httpx.post(f'{server}/Patient', json=patient, timeout=60).json()['id']}"
    clock.wait(60)
    drain(of)
    (there,) = found(server, "DiagnosticReport", identifier=f"urn:condyle:job|{job_id}")
    observations = found(server, "Observation", _tag=f"urn:condyle:report|{job_id}")
    assert {one["subject"]["reference"] for one in (there, *observations)} == {place}
    assert there["subject"]["identifier"]["value"] == patient_id
    assert httpx.post(f"{server}/Patient", json=patient, timeout=60).status_code == 201
    second = report(out, evidence)
    drain(of)
    assert answers(out, second) == ["the FHIR server has 2 patients with that ID"]
    assert out.states(second) == ["refused"]


def delivery(base: str, key_file: Path | None = None) -> FhirDelivery:
    destination = destinations(emr={"kind": "fhir", "url": base}).destinations["emr"]
    assert destination.kind == "fhir"
    return FhirDelivery("emr", destination, key_file)


def file_of(out: Outgoing, job_id: str) -> ObjectFile:
    return ObjectFile("", "2.25.1", "", "", out.folder / job_id / "diagnostic_report.json")


@pytest.mark.parametrize("status", [503, 401])
def test_a_busy_server_is_given_it_later(out: Outgoing, clock: HandClock, evidence: Any, status: int) -> None:
    peer, job_id = FhirPeer(PATIENT, statuses=(status,)), report(out, evidence)
    with serving(peer.app) as url:
        of = lane(out, clock, url)
        drain(of)
        assert out.states(job_id) == ["waiting"]
        clock.wait(2.1)
        drain(of)
    assert out.states(job_id) == ["delivered"]
    assert len(peer.transactions) == 1


def test_what_the_server_refuses_is_on_record(out: Outgoing, clock: HandClock, evidence: Any) -> None:
    peer, job_id = FhirPeer(PATIENT, statuses=(422,)), report(out, evidence)
    with serving(peer.app) as url:
        drain(lane(out, clock, url))
    assert job_state(out, job_id) == ("failed", "emr: the FHIR server answered 422 (1 refused)")


def test_a_server_that_may_not_be_searched_gets_it_all_the_same(out: Outgoing, clock: HandClock, evidence: Any) -> None:
    peer, job_id = FhirPeer(PATIENT), report(out, evidence)
    peer.searchable = False
    with serving(peer.app) as url:
        drain(lane(out, clock, url))
    assert answers(out, job_id) == ["HTTP 200: DiagnosticReport/1"]


def test_a_sealed_report_is_opened_on_its_way_and_found_again(
    out: Outgoing, clock: HandClock, evidence: Any, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(new_key())
    job_id = report(out, evidence, key_file=tmp_path / "key")
    item = file_of(out, job_id)
    assert b"resourceType" not in item.path.read_bytes()
    peer = FhirPeer(PATIENT)
    with serving(peer.app) as url:
        drain(lane(out, clock, url, key_file=tmp_path / "key"))
        way = delivery(f"{url}/r4", tmp_path / "key")
        assert way.find([item]) == {"2.25.1"}
        way.close()
    assert len(peer.transactions) == 1
