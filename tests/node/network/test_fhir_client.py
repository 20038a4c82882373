"""A FHIR server as its client sees it: what it answers becomes an answer, a reason to try again, or a refusal.

How records are fetched is tested with the look-up (`tests/node/patient_records/test_look_up.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from node.config import FhirServer
from node.errors import ConfigurationError, PeerRefused, PeerUnavailable
from node.network.fhir_client import FhirClient, FhirPage, read_page, record_bundle
from node.network.http_answer import UnsuitableAnswer
from tests.fhir_peer import FhirPeer, serving

RISK = {"resourceType": "RiskAssessment", "identifier": [{"system": "urn:j", "value": "1"}]}
QUERY = "identifier=urn:j|1"


@contextmanager
def answering(status: int, body: bytes = b"") -> Iterator[FhirClient]:
    """A client of a server that answers everything alike."""

    def answer(request: Request) -> Response:
        return Response(body, status, media_type="application/fhir+json")

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    with serving(app) as url, FhirClient(FhirServer(url=url)) as client:
        yield client


def test_what_was_created_is_named_and_found_and_not_created_twice() -> None:
    peer = FhirPeer({"entry": [{"resource": {"resourceType": "Patient", "id": "patient"}}]})
    with serving(peer.app) as url, FhirClient(FhirServer(url=f"{url}/r4/")) as client:
        assert not client.has("RiskAssessment", "urn:j|1")
        assert client.create(RISK, unless=QUERY) == "HTTP 201: RiskAssessment/1"
        assert client.create(RISK, unless=QUERY) == "HTTP 200: there already"
        assert client.has("RiskAssessment", "urn:j|1")
        assert not client.has("RiskAssessment", "urn:j|2")
        assert client.fhir_version() == "4.0.1"
    assert peer.given == [RISK]


@pytest.mark.parametrize("status", [302, 307, 401, 403, 408, 429, 500, 502, 503, 504])
def test_what_may_pass_or_be_put_right_is_a_reason_to_try_again(status: int) -> None:
    with answering(status) as client:
        for ask in (lambda: client.create(RISK), lambda: client.has("RiskAssessment", "1"), client.fhir_version):
            with pytest.raises(PeerUnavailable, match=str(status)):
                ask()


@pytest.mark.parametrize(
    "body", [b'{"entry": null}', b'{"entry": [null, {"resource": 1}, 2]}', b'{"entry": {}}', b"[]"]
)
def test_a_bundle_that_is_none_holds_nothing(body: bytes) -> None:
    with answering(200, body) as client:
        assert not client.has("RiskAssessment", "1")


@pytest.mark.parametrize("status", [400, 404, 409, 412, 422])
def test_what_the_server_dislikes_is_a_refusal(status: int) -> None:
    with answering(status) as client, pytest.raises(PeerRefused, match=str(status)):
        client.create(RISK)


def test_an_answer_that_is_no_fhir_is_a_refusal() -> None:
    with answering(200, b"<html>") as client, pytest.raises(PeerRefused, match="not JSON"):
        client.has("RiskAssessment", "1")
    with answering(200, b"[]") as client, pytest.raises(PeerRefused, match="names no FHIR version"):
        client.fhir_version()


def test_a_token_that_cannot_be_read_is_told_with_its_key(tmp_path: Path) -> None:
    server = FhirServer(url="http://127.0.0.1:1", token_file=tmp_path / "token")
    with pytest.raises(ConfigurationError, match=r"emr\.token_file: .*token: there is no such file"):
        FhirClient(server, "emr")


def test_a_token_that_fits_in_no_header_is_told_with_its_key_and_a_byte_order_mark_is_none_of_it(
    tmp_path: Path,
) -> None:
    server = FhirServer(url="http://127.0.0.1:1", token_file=tmp_path / "token")
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbft0ken\n")
    FhirClient(server, "emr").close()
    (tmp_path / "token").write_text("t\u00f6ken", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"emr\.token_file: .*token: the token should be one line of ASCII"):
        FhirClient(server, "emr")


def searched(body: object) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    "patient", [{}, {"id": 7}, {"id": ""}, {"id": ".."}, {"id": "../../admin"}, {"id": "a\u0000"}, {"id": "a" * 65}]
)
def test_a_patient_whose_id_is_none_is_a_refusal_and_no_address(patient: dict[str, object]) -> None:
    entry = {"resource": {"resourceType": "Patient", **patient}}
    with answering(200, searched({"entry": [entry]})) as client, pytest.raises(PeerRefused, match="id"):
        client.record("4711", read_page)


def test_an_id_with_an_underscore_is_one_that_some_servers_have() -> None:
    entry = {"resource": {"resourceType": "Patient", "id": "a_1"}}
    with answering(200, searched({"entry": [entry]})) as client:
        record = client.record("4711", read_page)
    assert record is not None
    bundle = record_bundle(record.base, record.patients, record.pages)
    assert [one["fullUrl"].rsplit("/", 1)[1] for one in bundle["entry"]] == ["a_1"]


def test_a_record_that_is_too_large_is_told_in_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.network.fhir_client.RECORD_BYTES", 2**20)
    entry = {"resource": {"resourceType": "Patient", "id": "a", "text": "x" * 600_000}}
    refusal = pytest.raises(PeerRefused, match="record has more than 1 MB")
    with answering(200, searched({"entry": [entry]})) as client, refusal:
        client.record("4711", read_page)


@pytest.mark.parametrize("following", ["http://[", "//[x", "?a=\u0000", "http://elsewhere/", "\ud800", "http://a:b/"])
def test_a_next_page_that_leads_nowhere_is_a_refusal(following: str) -> None:
    with (
        answering(200, searched({"link": [{"relation": "next", "url": following}]})) as client,
        pytest.raises(PeerRefused, match=r"next page|address"),
    ):
        client.record("4711", read_page)


@pytest.mark.parametrize(
    ("body", "sentence"), [(b"[" * 100_000, "nested"), (b"[" + b"0," * 1_000_001 + b"0]", "values"), (b"\xff", "JSON")]
)
def test_a_record_that_cannot_be_read_is_a_refusal_with_a_reason(body: bytes, sentence: str) -> None:
    with answering(200, body) as client, pytest.raises(PeerRefused, match=sentence):
        client.record("4711", read_page)


@contextmanager
def endless(page: bytes) -> Iterator[tuple[FhirClient, list[str]]]:
    """A client of a server that knows one patient, of whom each page is followed by another; what it was asked."""
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(request.url.path)
        if request.url.path.endswith("/Patient"):
            return Response(searched({"entry": [{"resource": {"resourceType": "Patient", "id": "a"}}]}))
        following = searched([{"relation": "next", "url": f"{request.url.path}?n={len(asked)}"}])
        return Response(b'{"link": %b, "entry": [%b]}' % (following, page))

    app = Starlette(routes=[Route("/{path:path}", answer)])
    with serving(app) as url, FhirClient(FhirServer(url=url)) as client:
        yield client, asked


def test_the_pages_of_a_record_have_one_limit_of_values_together() -> None:
    """Each is within the limit; 30 of them, packed in 152 kB, took the node's parent 3.5 GB."""
    page, refusal = b'{"resource": {"a": [' + b"0," * 400_000 + b"0]}}", "record has more than 1,000,000 values"
    with endless(page) as (client, asked), pytest.raises(PeerRefused, match=refusal):
        client.record("4711", read_page)
    assert len(asked) == 1 + 3


@pytest.mark.parametrize(
    ("limit", "value", "kind", "sentence", "asked_at_most"),
    [
        ("MAXIMUM_PAGES", 5, PeerRefused, "more than 5 pages", 6),
        ("RECORD_S", 0.0, PeerUnavailable, "takes more than 0 s", 1),
    ],
)
def test_the_pages_of_a_record_have_limits_of_number_and_time(
    limit: str, value: float, kind: type[Exception], sentence: str, asked_at_most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"node.network.fhir_client.{limit}", value)
    with endless(b"{}") as (client, asked), pytest.raises(kind, match=sentence):
        client.record("4711", read_page)
    assert len(asked) == asked_at_most


def test_what_a_page_says_is_read_where_the_caller_says() -> None:
    read: list[bytes] = []

    def reader(body: bytes) -> FhirPage:
        read.append(body)
        return FhirPage("", 1, "a")

    with answering(200, b"anything") as client:
        record = client.record("4711", reader)
    assert record is not None
    assert read == [b"anything"] * 2 == [*record.patients, *record.pages]


def test_pages_are_put_together_once_more_within_the_limit() -> None:
    page = searched({"entry": [{"resource": {"resourceType": "Observation", "id": "o", "a": [0] * 400_000}}]})
    with pytest.raises(UnsuitableAnswer, match="more than 1,000,000 values"):
        record_bundle("http://a/", [], [page] * 3)
    patient = searched({"entry": [{"resource": {"resourceType": "Patient", "id": "p"}}, {"resource": {"id": 7}}]})
    bundle = record_bundle("http://a/", [patient], [page, page])
    assert [entry["fullUrl"] for entry in bundle["entry"]] == ["http://a/Patient/p", "http://a/Observation/o"]
