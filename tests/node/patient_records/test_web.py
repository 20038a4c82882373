"""Records and risks over HTTP, on a node in a process of its own: what is stored, answered and refused, and how."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment
from sqlalchemy import select
from starlette.applications import Starlette

from node.config import RecordSettings
from node.database.tables import AssociationRow
from node.network.room import SMALL_BYTES, Room
from node.patient_records.intake import Intake
from node.patient_records.mllp import MllpServer
from node.patient_records.refused import RefusedRecords
from node.patient_records.requests import RecordRequests
from node.patient_records.store import PatientRecords
from node.patient_records.web import RecordsWeb
from node.reading import HERE
from node.status.web_server import WebServer
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.simulation.sample import patient_bundle
from tests.fhir_peer import predictions
from tests.running import RunningNode
from tests.waiting import until

JSON = {"content-type": "application/json"}
DAY = date(2026, 1, 5)


@pytest.fixture(scope="module")
def person() -> dict[str, Any]:
    """The bundle of a simulated woman of about 60 with three years of history."""
    people = simulate(200, 3)
    fits = people.female & (abs(people.age - 60) < 4) & (people.observed_weeks == 157)
    return patient_bundle(people, int(fits.argmax()), "P-1", "Doe", "Jane", DAY)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with RunningNode(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture(scope="module")
def here(running: RunningNode) -> str:
    return f"http://127.0.0.1:{running.page}"


# ---- what a body may come as
@pytest.mark.parametrize(
    ("headers", "body", "code", "says"),
    [
        ({"content-encoding": "gzip"}, gzip.compress(b"[]", mtime=0), 400, "not a JSON object"),  # it was unpacked
        ({"content-encoding": "gzip"}, b"{}", 400, "The body is not whole gzip, as its Content-Encoding says"),
        (
            {"content-encoding": "gzip"},
            gzip.compress(bytes(65 * 2**20), mtime=0),
            413,
            "The body is larger than the 64 ",
        ),
        ({"content-encoding": "br"}, b"{}", 415, "This Content-Encoding is not supported: send gzip, deflate, or none"),
        (
            {"content-type": "application/fhir+xml"},
            b"<Bundle/>",
            415,
            "Only JSON is taken (application/fhir+json), not ",
        ),
        ({"content-type": "application/json; charset=iso-8859-1"}, b"{}", 415, "JSON is taken in UTF-8 only"),
        ({"content-type": "application/json; charset*=x''iso-8859-1"}, b"{}", 415, "JSON is taken in UTF-8 only"),
        ({"content-type": "text/plain"}, b"{}", 415, "Only JSON is taken (application/fhir+json), not text/plain"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"{}", 415, "Only JSON is taken"),
        (
            {"content-type": ""},
            b"{}",
            415,
            "Only JSON is taken (application/fhir+json), and Content-Type has to say so",
        ),
        ({}, b"<Bundle/>", 400, "not JSON"),
        ({}, b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', 400, "not JSON"),
    ],
)
def test_a_body_that_is_not_supported_is_a_415_that_says_so(
    here: str, headers: dict[str, str], body: bytes, code: int, says: str
) -> None:
    for path in ("fhir", "risk"):
        answer = httpx.post(f"{here}/{path}", content=body, headers={**JSON, **headers}, timeout=60)
        assert answer.status_code == code
        assert answer.json()["issue"][0]["diagnostics"].startswith(says)


@pytest.mark.parametrize(
    ("question", "code", "says"),
    [
        ({}, 400, "patient_id: is missing; should be the ID of the patient as a text"),
        ({"patient_id": ["P"]}, 400, "patient_id: should be the ID of the patient as a text"),
        (
            {"patient_id": "P", "issuer": 1},
            400,
            "issuer: should be the issuer of the patient ID as a text, or be left out",
        ),
        (
            {"patient_id": "P", "index_date": 7},
            400,
            "index_date: should be a day such as 2026-01-31 as a text, or be left",
        ),
        (
            {"patient_id": "P", "index_date": "2026-13-01"},
            400,
            "index_date: '2026-13-01': should be a day such as 2026-01-31, or be left out",
        ),
        (
            {"patient_id": "P", "index_date": "2999-01-01"},
            422,
            "index_date: '2999-01-01': lies ahead; should be today or an earlier day",
        ),
        (
            {"patient_id": "P", "index_date": "0001-01-01"},
            422,
            "index_date: '0001-01-01': is before every record; should be 1900-01-01 or a later day",
        ),
    ],
)
def test_what_is_wrong_with_a_question_is_told_by_its_key(
    here: str, question: dict[str, object], code: int, says: str
) -> None:
    answer = httpx.post(f"{here}/risk", json=question, timeout=60)
    assert answer.status_code == code
    assert answer.json()["issue"][0]["diagnostics"].startswith(says)


RELATED = 'multipart/related; type="application/dicom"; boundary=B'


@pytest.mark.parametrize(
    ("path", "media", "largest"),
    [
        ("/fhir", "application/json", "64 MB"),
        ("/risk", "application/json", "64 kB"),
        ("/dicom-web/studies", RELATED, "TB"),
    ],
)
def test_a_body_that_is_too_large_is_refused_before_it_comes(
    running: RunningNode, path: str, media: str, largest: str
) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", running.page, timeout=20)) as client:
        client.request("POST", path, headers={"Content-Type": media, "Content-Length": str(10**15)})
        answer = client.getresponse()
        assert answer.status == 413
        assert f"{largest} that are taken" in answer.read().decode()


def test_a_client_that_goes_away_in_the_middle_of_a_body_is_told_in_a_line(running: RunningNode) -> None:
    for path, media in (("/risk", "application/json"), ("/dicom-web/studies", RELATED), ("/fhir", "application/json")):
        with closing(http.client.HTTPConnection("127.0.0.1", running.page, timeout=20)) as client:
            client.request("POST", path, b" ", {"Content-Type": media, "Content-Length": "60000"})
    told = "The connection ended before the body did"
    until(lambda: told in running.log_text(), "the log tells")
    until(lambda: running.all(select(AssociationRow.id).where(AssociationRow.reason == told)), "STOW-RS has a record")
    assert "Traceback" not in running.log_text()


# ---- bundle in, risk out
def test_a_posted_record_is_kept_and_a_risk_is_answered_as_a_valid_risk_assessment(
    here: str, person: dict[str, Any]
) -> None:
    taken = httpx.post(f"{here}/fhir", json=person, timeout=60)
    assert taken.status_code == 200
    assert taken.json()["resourceType"] == "OperationOutcome"
    assert taken.json()["issue"][0]["diagnostics"].startswith("1 record, ")

    asked = httpx.post(f"{here}/risk", json={"patient_id": "P-1", "index_date": DAY.isoformat()}, timeout=120)
    assert asked.status_code == 200, asked.text
    assert asked.headers["content-type"].startswith("application/fhir+json")
    answer = RiskAssessment.model_validate(asked.json())
    predicted = predictions(answer)
    risks = [prediction.risk for prediction in predicted]
    assert [prediction.years for prediction in predicted] == [1, 3, 5]
    assert risks == sorted(risks)
    assert 0.0 < risks[0] < risks[-1] < 1.0
    assert "90% interval" in predicted[0].rationale
    assert answer.note is not None
    assert all(note.text for note in answer.note)
    assert any("simulated" in str(note.text) for note in answer.note)


def test_a_request_that_the_model_cannot_answer_says_why(here: str, person: dict[str, Any]) -> None:
    httpx.post(f"{here}/fhir", json=person, timeout=60)
    early = httpx.post(f"{here}/risk", json={"patient_id": "P-1", "index_date": "1980-01-01"}, timeout=120)
    assert early.status_code == 422
    assert "outside that range" in early.json()["issue"][0]["diagnostics"]
    unknown = httpx.post(f"{here}/risk", json={"patient_id": "P-9"}, timeout=60)
    assert unknown.status_code == 422
    assert "no record" in unknown.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/fhir", b"not json", 400),
        ("/fhir", b"\xff\xfe", 400),
        ("/fhir", b"[]", 400),
        ("/fhir", b"[" * 100_000, 400),
        ("/fhir", b'{"resourceType": "Patient"}', 422),
        ("/risk", b"{}", 400),
        ("/risk", b'{"patient_id": "P-1", "index_date": "yesterday"}', 400),
        ("/risk", b'{"patient_id": "P-1", "index_date": "2999-01-01"}', 422),
        ("/risk", b'{"patient_id": "P-1", "index_date": "0001-01-01"}', 422),
        ("/fhir", b'{"resourceType": "Bundle", "x": ' + b"9" * 5000 + b"}", 400),
        ("/fhir", b'{"resourceType": "Bundle", "entry": [{"resource": NaN}, "\\ud800", 1e999]}', 422),
        ("/risk", b'{"patient_id": "\\ud800"}', 400),
        ("/risk", b'{"patient_id": "a\\u0000b"}', 422),
        ("/risk", b'{"patient_id": 1e999}', 400),
        ("/risk", b'{"patient_id": ["P-1"]}', 400),
        ("/risk", b'{"patient_id": true}', 400),
        ("/risk", b'{"patient_id": "P-1", "issuer": {"a": 1}}', 400),
        ("/risk", b'{"patient_id": "P-1", "issuer": "\\ud800"}', 400),
        ("/risk", b'{"patient_id": "P-1", "pipeline": "\\ud800"}', 422),
        ("/risk", b'{"patient_id": "' + b"1" * 70_000 + b'"}', 413),
    ],
)
def test_bad_requests_are_told_so(here: str, path: str, content: bytes, status: int) -> None:
    answer = httpx.post(here + path, content=content, headers=JSON, timeout=60)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"


ODD = [
    *("NaN", "-Infinity", "1e999", "9" * 400, "0." + "9" * 400, '"\\ud800"', '"a\\u0000b"', '"' + "x" * 50_000 + '"'),
    *("null", "true", "5", '""', "[]", "{}", '[[["x"]]]', '{"a":' * 30 + "1" + "}" * 30, "[" * 60 + "]" * 60),
]
OBSERVED = """{"resourceType": "Bundle", "type": "collection", "entry": [
    {"resource": {"resourceType": "Patient", "id": "p", "identifier": [{"value": "ODD"}], "birthDate": "1960-05-04"}},
    {"resource": {"resourceType": "Observation", "subject": {"reference": "Patient/p"}, "status": "final",
    "code": {"text": "weight"}, "effectiveDateTime": "2024-01-01", "valueQuantity": {"value": 27.5}}}]}"""


@pytest.mark.parametrize(
    "place",
    [
        *('"ODD"', '[{"value": "ODD"}]', '"p"', '"1960-05-04"', '"Observation"', '"Patient/p"', '"final"', '"weight"'),
        *('"2024-01-01"', "27.5", '{"value": 27.5}', '"collection"', '"Bundle"'),
    ],
)
def test_an_odd_value_anywhere_is_an_answer(here: str, place: str) -> None:
    with httpx.Client(base_url=here, headers=JSON, timeout=60) as client:
        for value in ODD:
            answer = client.post("/fhir", content=OBSERVED.replace(place, value))
            assert answer.status_code in (200, 400, 422), (value[:20], answer.text)
            assert len(answer.content) < 1000


def test_the_name_of_a_pipeline_that_is_none_is_told_back_in_short(here: str, person: dict[str, Any]) -> None:
    httpx.post(f"{here}/fhir", json=person, timeout=60)
    answer = httpx.post(f"{here}/risk", json={"patient_id": "P-1", "pipeline": "x" * 50_000}, timeout=60)
    assert answer.status_code == 422
    assert "pipeline: 'xxx" in answer.text
    assert len(answer.content) < 500


def test_what_was_left_out_is_told_in_few_words_whatever_was_sent(here: str, person: dict[str, Any]) -> None:
    patient = person["entry"][0]["resource"]
    names = ["status", "intent", "category", "priority", "doNotPerform", "code", "note", "text", "meta", "language"]
    names += ["id", "subject", "encounter", "bodySite", "reasonCode", "performer", "requester", "authoredOn"]
    wrong: list[dict[str, Any]] = [{"resourceType": "ServiceRequest", name: {"a": [1]}} for name in names]
    deep: dict[str, Any] = {"url": 5}
    for _ in range(25):
        deep = {"url": "x", "extension": [deep]}
    wrong.append({"resourceType": "ServiceRequest", "extension": [deep]})
    entries = [{"resource": resource} for resource in (patient, *wrong)]
    taken = httpx.post(f"{here}/fhir", json={"resourceType": "Bundle", "entry": entries}, timeout=60)
    said = taken.json()["issue"][0]["diagnostics"]
    assert taken.status_code == 200
    assert "other reasons" in said
    assert len(said) < 2500


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/fhir"), ("POST", "/risk"), ("GET", f"/risk/{'0' * 32}"), ("POST", "/dicom-web/studies")],
)
def test_what_a_proxy_on_this_machine_forwards_is_not_from_this_machine(here: str, method: str, path: str) -> None:
    assert httpx.request(method, here + path, content=b"", timeout=60).status_code not in (401, 403)
    for header in ({"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}):
        assert httpx.request(method, here + path, content=b"", headers=header, timeout=60).status_code == 403


def test_with_a_token_nothing_goes_without_it(tmp_path: Path, person: dict[str, Any]) -> None:
    with RunningNode(tmp_path, records={"token": "s3cret-s3cret-s3cret"}) as node:
        url = f"http://127.0.0.1:{node.page}"
        headers = {"Authorization": "Bearer s3cret-s3cret-s3cret"}
        assert httpx.post(f"{url}/fhir", json=person, timeout=60).status_code == 401
        assert httpx.post(f"{url}/risk", json={"patient_id": "x"}, timeout=60).status_code == 401
        assert httpx.get(f"{url}/risk/{'0' * 32}", timeout=60).status_code == 401
        assert httpx.get(f"{url}/risk/{'0' * 32}", headers=headers, timeout=60).status_code == 404
        assert httpx.post(f"{url}/fhir", json=person, headers=headers, timeout=60).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "fhir-knee-oa/Lee_Hegmann_1b0d5fb7-16f1-4f8a-8d3c-8638e353f349",
        "fhir-control/Edward_Gulgowski_43481611-2459-44f5-ab20-4b142dac160f",
    ],
)
def test_shared_bundles_are_answered_with_a_risk_or_a_reason(here: str, shared_data: Path, name: str) -> None:
    content = json.loads((shared_data / "emr" / f"{name}.json").read_text(encoding="utf-8"))
    patient = next(e["resource"] for e in content["entry"] if e["resource"]["resourceType"] == "Patient")
    number = next(
        i["value"] for i in patient["identifier"] if (i.get("type") or {}).get("coding", [{}])[0].get("code") == "MR"
    )
    assert httpx.post(f"{here}/fhir/Bundle", json=content, timeout=60).status_code == 200
    answer = httpx.post(f"{here}/risk", json={"patient_id": number, "index_date": "2021-01-01"}, timeout=120)
    if "knee-oa" in name:
        assert (answer.status_code, "already on record" in answer.text) == (422, True)
    else:
        assert (answer.status_code, "outside that range" in answer.text) == (422, True)  # 28 years old


def test_a_record_of_somebody_else_among_others_costs_them_nothing(here: str, person: dict[str, Any]) -> None:
    httpx.post(f"{here}/fhir", json=person, timeout=60)
    stranger = person["entry"][0]
    other: dict[str, Any] = {"fullUrl": "urn:uuid:1", "resource": dict(stranger["resource"])}
    other["resource"].update(id="other", identifier=[{"value": "P-7"}])
    wrong = {"fullUrl": "urn:uuid:2", "resource": {**stranger["resource"], "id": "wrong", "birthDate": "1901-01-01"}}
    taken = httpx.post(f"{here}/fhir", json={"resourceType": "Bundle", "entry": [wrong, other]}, timeout=60)
    assert taken.status_code == 200
    summary = taken.json()["issue"][0]["diagnostics"]
    assert summary.startswith("1 record, ")
    assert "disagree in: birth date" in summary
    assert "1901" not in summary


def test_a_page_of_somebody_else_in_a_browser_of_this_machine_gets_nothing_stored_and_nothing_told(
    here: str, person: dict[str, Any]
) -> None:
    from_page = {"Origin": "http://evil.example.net", "Sec-Fetch-Site": "cross-site"}
    as_form = {"Content-Type": "text/plain"}
    rebound = {"Host": "evil.example.net", **JSON}
    content = json.dumps(person).encode()
    for path in ("/fhir", "/risk", "/dicom-web/studies"):
        for headers, code in (
            (as_form, 415),
            ({**JSON, **from_page}, 403),
            ({**as_form, **from_page}, 403),
            (rebound, 421),
        ):
            assert httpx.post(here + path, content=content, headers=headers, timeout=60).status_code == code
    assert httpx.get(here, headers={"Host": "evil.example.net"}, timeout=60).status_code == 421
    assert httpx.get(f"{here}/risk/{'0' * 32}", timeout=60).headers["cache-control"] == "no-store"


# ---- what is sent at the same time
def test_bundles_share_their_room_with_messages_and_are_to_be_sent_again(tmp_path: Path) -> None:
    room, intake = Room(2000), Intake(PatientRecords(tmp_path), RecordSettings(), HERE)
    web = RecordsWeb(RecordSettings(), intake, cast(RecordRequests, None), RefusedRecords(), room=room)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    here = f"http://127.0.0.1:{port}/fhir"
    bundle = b'{"resourceType": "Bundle", "note": "' + b"y" * (SMALL_BYTES + 1000) + b'"}'
    server = WebServer(Starlette(routes=web.routes()), listening)
    server.start()
    try:
        with (
            MllpServer("127.0.0.1", 0, intake, room=room) as mllp,
            socket.create_connection(("127.0.0.1", mllp.port)) as message,
        ):
            message.sendall(b"\x0bMSH|^~\\&|" + b"x" * (SMALL_BYTES + 1500))
            until(lambda: room._left < 1000, "the message has taken its room")
            for body in (bundle, bundle + b" " * 2**25):
                with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                    headers = {**JSON, "connection": "close"}
                    connection.request("POST", "/fhir", body, headers)  # it sends all of it before it looks
                    answer = connection.getresponse()
                    assert (answer.status, b"send again" in answer.read()) == (503, True)
            assert httpx.post(here, content=b"{}", headers=JSON).status_code == 422, "a small one needs no room"
        until(lambda: httpx.post(here, content=bundle, headers=JSON).status_code == 422, "the room is free again")
    finally:
        server.stop()
