"""The list of studies as somebody sees it who searches: addresses hold no number, and forms need no JavaScript."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy.orm import Session
from starlette.requests import Request

from node.access.identity import Identity, Role
from node.config import Configuration
from node.database.connection import Database
from node.database.tables import StudyKeyRow
from node.status.app import build_app
from node.status.site import Site
from node.study.patients import accession_digest, marking_key, patient_id_digest
from tests.node.status.conftest import Morning
from tests.serving import client_of

VIEWER = Identity("somebody", Role.VIEWER)


@pytest.fixture
def client(configuration: Configuration, database: Database, morning: Morning) -> Iterator[httpx.Client]:
    key = marking_key(morning.data)
    with Session(database) as session, session.begin():
        session.add(StudyKeyRow(study_instance_uid="1.2.1", kind="accession", digest=accession_digest("A 7", key)))
        session.add(StudyKeyRow(study_instance_uid="1.2.4", kind="patient", digest=patient_id_digest("P1", key)))
    with client_of(build_app(configuration, database), accept="text/html") as client:
        yield client


@pytest.fixture
def as_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody who asks may look, and not see patients."""

    def nobody_is_refused(_site: Site, request: Request, _role: Role = Role.VIEWER) -> None:
        request.state.identity = VIEWER

    monkeypatch.setattr(Site, "refusal", nobody_is_refused)


def links(page: str) -> list[str]:
    return [uid for uid in ("1.2.1", "1.2.2", "1.2.3", "1.2.4") if f'href="/studies/{uid}"' in page]


def test_all_studies_are_listed_with_what_was_done(client: httpx.Client) -> None:
    page = client.get("/studies").text
    assert links(page) == ["1.2.1", "1.2.2", "1.2.3", "1.2.4"]
    for told in ("needs at least 4 slices", "knee: BodyPartExamined: HEAD instead of KNEE", ">48 ", ">sending<"):
        assert told in page


@pytest.mark.parametrize(("field", "number", "study"), [("accession", "a7", "1.2.1"), ("patient", " P1", "1.2.4")])
def test_a_number_leads_to_an_address_that_does_not_hold_it(
    client: httpx.Client, field: str, number: str, study: str
) -> None:
    answer = client.post("/studies", data={field: number})
    assert answer.status_code == 303
    assert number.strip() not in answer.headers["location"].partition("=")[2]
    page = client.get(answer.headers["location"]).text
    assert links(page) == [study]
    assert "as typed" in page  # what is asked for can be taken back, and is not told


def test_patients_are_found_by_those_only_who_may_see_them(client: httpx.Client, as_viewer: None) -> None:
    assert 'name="patient"' not in client.get("/studies").text
    assert client.post("/studies", data={"patient": "P1"}).status_code == 403
    refused = client.get("/studies?patient=0123456789ab")
    assert (refused.status_code, links(refused.text)) == (403, [])
    assert client.post("/studies", data={"accession": "A7"}).status_code == 303


def test_what_a_form_left_empty_is_not_in_the_address(client: httpx.Client) -> None:
    answer = client.get("/studies?uid=&since=&state=done&reason=")
    assert (answer.status_code, answer.headers["location"].partition("?")[2]) == (303, "state=done")


def test_filters_stand_on_the_page_and_each_can_be_removed(client: httpx.Client) -> None:
    page = client.get("/studies?state=done&modality=MR").text
    assert links(page) == ["1.2.1"]
    assert 'class="chip" href="/studies?modality=MR"' in page
    assert 'class="chip" href="/studies?state=done"' in page
    assert "<option selected>done</option>" in page
    assert 'value="MR"' in page


def test_where_nothing_is_found_the_page_says_what_to_do(client: httpx.Client) -> None:
    assert "Remove a filter above" in client.get("/studies?modality=PT").text
    assert "the latest 3,000 jobs that failed" in client.get("/studies?reason=nothing").text


def test_what_cannot_be_asked_for_is_said_and_stays_in_the_form(client: httpx.Client) -> None:
    answer = client.get("/studies?uid=abc%3Cb%3E")
    assert answer.status_code == 422
    assert "digits and dots" in answer.text
    assert 'value="abc&lt;b&gt;"' in answer.text


@pytest.mark.parametrize(
    "path", ["/studies?before=nonsense", "/studies?after=%00", "/studies?uid=1.2.%00", "/studies?route=%F0%9F"]
)
def test_bad_addresses_get_a_clear_answer(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code in (200, 422)


def test_a_body_that_is_no_form_is_refused(client: httpx.Client) -> None:
    assert client.post("/studies", json={"accession": "1"}).status_code == 415
