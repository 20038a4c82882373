"""What nobody means is said to be wrong, on every page: never an error of the node, nor a database that seems away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from node.config import Configuration
from node.database.connection import Database
from node.status.app import build_app
from tests.node.status.any_database import any_database as any_database
from tests.node.status.conftest import configuration_in
from tests.serving import client_of


@pytest.fixture
def client(any_database: Database, tmp_path: Path) -> Iterator[httpx.Client]:
    configuration: Configuration = configuration_in(tmp_path)
    with client_of(build_app(configuration, any_database), accept="text/html") as client:
        yield client


def test_days_of_far_away_years_are_said_to_be_wrong(client: httpx.Client) -> None:
    for name in ("from", "to"):
        for day in ("9999-12-31", "0001-01-01"):
            answer = client.get("/audit", params={name: day})
            assert (answer.status_code, f"{day} is no day" in answer.text) == (200, True), (name, day)
    for name in ("since", "until"):
        for day in ("9999-12-31", "0001-01-01"):
            answer = client.get("/studies", params={name: day})
            assert (answer.status_code, "a day of the years 1900 to 2100" in answer.text) == (422, True), (name, day)
        for day in ("1900-01-01", "2100-12-31"):
            assert client.get("/studies", params={name: day}).status_code == 200


def test_a_nul_in_an_address_is_refused_in_a_sentence(client: httpx.Client) -> None:
    for path in (
        *(f"/audit?{name}=a%00" for name in ("what", "who", "study", "before")),
        *(f"/studies?{name}=1%002" for name in ("accession", "patient", "uid", "modality", "state", "route", "reason")),
        "/studies?before=1_%00",
        "/studies/%00",
        "/jobs/%00",
        "/jobs/%00/restart",
        "/users/%00",
        "/routes/%00/pause",
        "/failures?group=%00",
        "/sign-in?next=%00",
        "/static/%00",
    ):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), path
        assert answer.json()["detail"] == "The address holds the character NUL, which is no part of a text.", path


def test_a_nul_in_a_form_is_refused_in_a_sentence(client: httpx.Client) -> None:
    for path in ("/sign-in", "/users", "/studies"):
        answer = client.post(path, data={"name": "a\0"})
        assert answer.status_code == 422, path
        assert "A field of the form holds the character NUL" in answer.text


def test_numbers_of_any_length_are_no_error(client: httpx.Client) -> None:
    many = "9" * 5000
    for path in (
        f"/audit?before={many}",
        f"/studies?before={many}_1",
        f"/failures?days={many}&page={many}",
        f"/models/knee/card?number={many}",
        f"/models/knee/agreement?days={many}",
    ):
        assert client.get(path).status_code < 500, path
    assert client.post(f"/account/sessions/{many}/end", data={"token": "x"}).status_code == 403
