"""The page of models: the version in force, earlier ones, cards, and how far a shadow agrees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy.orm import Session

from node.config import Configuration
from node.data_folder import job_folder
from node.database.connection import Database
from node.database.tables import JobRow, ModelVersionRow
from node.models import store
from node.models.versions import Bundle, Versions
from node.run.job_folder import SUMMARY
from node.run.pool import WorkerView
from node.status.app import build_app
from tests.axe import assert_accessible
from tests.browser import open_browser
from tests.serving import client_of, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHIPPED = Path(__file__).parents[4] / "pipelines" / "knee_super_resolution" / "bundle"
NOW = datetime.now(UTC)


@pytest.fixture
def routed(configuration: Configuration) -> Configuration:
    plain = configuration.model_dump(mode="json", exclude_unset=True)
    knee = {"when": {"Modality": "MR"}, "pipeline": "knee_super_resolution", "destinations": ["pacs"]}
    routes = {"knee": knee, "candidate": {"shadow_of": "knee", "settings": {"method": "tricubic"}}}
    return Configuration.model_validate({**plain, "routes": routes})


@pytest.fixture
def client(routed: Configuration, database: Database) -> Iterator[httpx.Client]:
    workers = (WorkerView(0, 1, "", "", 0.0, ("knee_super_resolution",)), WorkerView(1, None, "", "", 0.0, ()))
    with client_of(build_app(routed, database, workers=lambda: workers), accept="text/html") as client:
        yield client


def test_what_is_configured_is_told_with_digest_and_statement(client: httpx.Client) -> None:
    page = client.get("/models").text
    assert "shipped with the node" in page
    assert "research use only" in page
    assert "the beginning: as configured" in page
    assert 'href="/models/knee/card?number=0"' in page
    assert "worker 1 <span" in page.replace("\n", " ")


def put_in_force(routed: Configuration, database: Database) -> str:
    data = routed.node.data.absolute()
    digest = store.add(data, SHIPPED)
    bundle = Bundle(digest, "ab" * 32, "trained on knees of ours", str(SHIPPED))
    Versions(database, data).use("knee", "knee_super_resolution", bundle, "anna", NOW)
    return digest


def test_a_version_that_was_put_in_force_is_told_with_who_and_since(
    client: httpx.Client, routed: Configuration, database: Database
) -> None:
    put_in_force(routed, database)
    Versions(database, routed.node.data).back("knee", "ben", NOW + timedelta(seconds=1))
    put_in_force(routed, database)
    page = client.get("/models").text
    assert "by anna" in page
    assert "every file is as it was when this version was put in force" in page
    assert "2 earlier versions" in page
    assert "ben" in page


def test_a_version_that_is_not_whole_is_told(client: httpx.Client, routed: Configuration, database: Database) -> None:
    digest = put_in_force(routed, database)
    folder = store.folder_of(routed.node.data.absolute(), digest)
    file = next(folder.rglob("*.safetensors"))
    file.chmod(0o600)
    file.write_bytes(b"another")
    page = client.get("/models").text
    assert "It cannot be run:" in page


def test_a_model_card_is_shown_as_text(client: httpx.Client, routed: Configuration, database: Database) -> None:
    card = client.get("/models/knee/card")
    assert card.status_code == 200
    assert "<pre" in card.text
    assert "#" in card.text
    assert client.get("/models/knee/card?number=99").status_code == 404
    assert client.get("/models/knee/card?number=x").status_code == 404
    assert client.get("/models/nobody/card").status_code == 404


def job(session: Session, data: Path, number: int, route: str, value: float, state: str = "done") -> None:
    identifier = f"{number:032x}"
    session.add(
        JobRow(
            id=identifier,
            route=route,
            pipeline="knee_super_resolution",
            study_instance_uid=f"1.2.{number % 100}",
            series_instance_uids=[],
            sop_instance_uids=["1"],
            settings={},
            destinations=[],
            state=state,
            created=NOW - timedelta(hours=1),
            updated=NOW,
            weights="ab",
        )
    )
    measured: dict[str, Any] = {"value": value, "unit": "mm"}
    finding = {"finding": "99MSKAI:A", "evaluations": {}, "measurements": {"99MSKAI:T": measured}}
    folder = job_folder(data.absolute(), identifier)
    folder.mkdir(parents=True)
    summary = {"findings": {"knee": finding}, "not_evaluable": {}, "names": {"99MSKAI:T": "Thickness"}}
    (folder / SUMMARY).write_text(json.dumps(summary))


def test_the_agreement_of_a_shadow_is_told_in_numbers(
    client: httpx.Client, routed: Configuration, database: Database
) -> None:
    with Session(database) as session, session.begin():
        for number in range(6):
            job(session, routed.node.data, number, "knee", 2.0 + number)
            job(session, routed.node.data, 100 + number, "candidate", 2.5 + number)
        job(session, routed.node.data, 7, "knee", 1.0)
    page = client.get("/models/candidate/agreement").text
    assert "Thickness" in page
    assert "+0.5" in page
    assert "of knee alone" in page
    assert client.get("/models/knee/agreement").status_code == 404


def test_where_both_ran_on_nothing_the_page_says_so(client: httpx.Client) -> None:
    assert "Both routes have run on no image together" in client.get("/models/candidate/agreement?days=7").text


def test_without_routes_there_is_no_model(configuration: Configuration, database: Database) -> None:
    with client_of(build_app(configuration, database), accept="text/html") as client:
        assert "no model runs" in client.get("/models").text
        assert "No route is configured" in client.get("/routes").text


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.mark.browser
def test_axe_finds_nothing(browser: Browser, routed: Configuration, database: Database) -> None:
    with Session(database) as session, session.begin():
        row = ModelVersionRow(route="knee", pipeline="knee_super_resolution", weights="", since=NOW, who="x")
        session.add_all([row, ModelVersionRow(route="knee", pipeline="knee_super_resolution", weights="", since=NOW)])
        for number in range(6):
            job(session, routed.node.data, number, "knee", 2.0 + number)
            job(session, routed.node.data, 100 + number, "candidate", 2.5 + number)
    with served(build_app(routed, database)) as url:
        for path in ("/models", "/models/knee/card", "/models/candidate/agreement"):
            assert_accessible(browser, f"{url}{path}")
