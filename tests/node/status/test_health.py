"""The node says whether it is ready, and why not, to machines and at the top of the page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database, open_database
from node.database.tables import OutboxRow
from node.status.app import build_app
from tests.node.status.conftest import Morning
from tests.serving import client_of

HTML = {"accept": "text/html"}


@pytest.fixture
def client(configuration: Configuration, database: Database, morning: Morning) -> Iterator[httpx.Client]:
    with client_of(build_app(configuration, database), **HTML) as client:
        yield client


def test_a_live_node_with_everything_well_is_ready(client: httpx.Client) -> None:
    assert client.get("/health/live").status_code == 200
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "checks": {"database": "ok", "disk": "ok", "destinations": "ok"}},
    )


def test_a_failed_check_makes_the_node_not_ready_and_says_why(configuration: Configuration, database: Database) -> None:
    checks = {"receiver": lambda: "its process has ended", "sender": lambda: None}
    with client_of(build_app(configuration, database, checks=checks), **HTML) as client:
        answer = client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["checks"]["receiver"] == "its process has ended"
        assert answer.json()["checks"]["sender"] == "ok"
        assert client.get("/health/live").status_code == 200
        assert "its process has ended" in client.get("/").text


def test_what_can_wait_is_named_and_the_node_is_ready_all_the_same(
    configuration: Configuration, database: Database
) -> None:
    remarks = {"receiver": lambda: "watched folder: not there", "history": lambda: None}
    with client_of(
        build_app(configuration, database, checks={"receiver": lambda: None}, remarks=remarks), **HTML
    ) as client:
        answer = client.get("/health/ready")
        page = client.get("/").text
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    assert answer.json()["checks"]["receiver"] == "watched folder: not there"
    assert answer.json()["checks"]["history"] == "ok"
    assert "watched folder: not there" in page
    assert "not ready" not in page


def test_a_destination_that_is_down_is_named_with_its_time_and_the_node_is_ready_all_the_same(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=30)
    with Session(database) as session, session.begin():
        waiting = session.scalars(select(OutboxRow).where(OutboxRow.state == "waiting")).first()
        assert waiting is not None
        waiting.attempts, waiting.failing_since, waiting.delivered = 7, began, None
        name = waiting.destination
        session.execute(update(OutboxRow).where(OutboxRow.id != waiting.id).values(state="refused"))
    told = f"{name} is down, nothing has arrived there since {began:%Y-%m-%d %H:%M:%S} UTC"
    told += "; tried again, 1 object to be sent"
    with client_of(build_app(configuration, database), **HTML) as client:
        answer, page = client.get("/health/ready"), client.get("/").text
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    assert answer.json()["checks"]["destinations"] == told
    assert told in page
    assert "not ready" not in page


def test_a_destination_that_fails_for_a_moment_is_not_named(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    with Session(database) as session, session.begin():
        session.execute(
            update(OutboxRow).where(OutboxRow.state == "waiting").values(attempts=1, failing_since=datetime.now(UTC))
        )
    with client_of(build_app(configuration, database)) as client:
        assert client.get("/health/ready").json()["checks"]["destinations"] == "ok"


def test_a_full_disk_makes_the_node_not_ready(configuration: Configuration, database: Database) -> None:
    receive = configuration.receive.model_copy(update={"disk_floor_mb": 10**12})
    full = configuration.model_copy(update={"receive": receive})
    with client_of(build_app(full, database)) as client:
        answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "new instances are refused" in answer.json()["checks"]["disk"]


def test_a_lost_database_is_told_without_its_address(configuration: Configuration, tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/no-such-folder/secret.db")
    with client_of(build_app(configuration, database), **HTML) as client:
        answer = client.get("/health/ready")
        page = client.get("/")
    database.dispose()
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "does not answer (OperationalError)"
    assert page.status_code == 503
    assert "database does not answer" in page.text
    assert "secret" not in page.text + answer.text
