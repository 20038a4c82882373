"""Prometheus reads the node's figures."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database, open_database
from node.database.tables import (
    AssociationRow,
    EventRow,
    ExecutorRow,
    InstanceRow,
    JobRow,
    ModelVersionRow,
    OutboxRow,
)
from node.status.app import build_app
from node.status.connections import Connections
from tests.node.commands.test_check import key_and_certificate
from tests.node.status.conftest import Morning
from tests.serving import client_of

KNEE = "knee_super_resolution"


def figures(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Values by name and label values, in the order of the labels' names."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def with_route(configuration: Configuration) -> Configuration:
    route = {"pipeline": KNEE, "when": {"modality": "MR"}, "destinations": ["pacs"]}
    return Configuration.model_validate({**configuration.model_dump(mode="json"), "routes": {"knee": route}})


def test_how_things_stand_is_told_of_what_has_not_ended(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    with client_of(build_app(configuration, database)) as client:
        found = figures(client)
    states = {state: found.get(("condyle_jobs", KNEE, state)) for state in ("queued", "running", "sending", "done")}
    assert states == {"queued": 0, "running": 0, "sending": 1, "done": None}
    assert found["condyle_outbox", "pacs", "waiting"] == 1
    assert found["condyle_outbox", "drop", "waiting"] == 0
    assert found["condyle_outbox_oldest_seconds", "pacs"] > 0
    assert found["condyle_outbox_oldest_seconds", "drop"] == 0
    assert found["condyle_disk_size_bytes",] >= found["condyle_disk_free_bytes",] > 0
    assert found["condyle_last_image_timestamp_seconds",] > 0
    assert found["condyle_ready",] == found["condyle_database_up",] == found["condyle_part_ready", "disk"] == 1


def test_the_first_of_the_queue_is_as_old_as_it_has_waited(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    since = datetime.now(UTC) - timedelta(minutes=10)
    with Session(database) as session, session.begin():
        session.execute(update(JobRow).where(JobRow.state == "sending").values(state="queued", updated=since))
    with client_of(build_app(configuration, database)) as client:
        assert figures(client)["condyle_queue_oldest_seconds", KNEE] == pytest.approx(600, abs=60)


def test_a_destination_is_down_from_its_first_failure_until_it_takes_something(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    failed = datetime.now(UTC) - timedelta(minutes=5)
    with Session(database) as session, session.begin():
        session.execute(update(OutboxRow).where(OutboxRow.state == "waiting").values(failing_since=failed))
    with client_of(build_app(configuration, database)) as client:
        found = figures(client)
        assert (found["condyle_destination_up", "pacs"], found["condyle_destination_up", "drop"]) == (0, 1)
        since = found["condyle_destination_failing_since_timestamp_seconds", "pacs"]
        assert since == pytest.approx(failed.timestamp(), abs=1)
        with Session(database) as session, session.begin():
            session.execute(update(OutboxRow).where(OutboxRow.state == "waiting").values(failing_since=None))
        found = figures(client)
    assert found["condyle_destination_up", "pacs"] == 1
    assert ("condyle_destination_failing_since_timestamp_seconds", "pacs") not in found


def test_counters_do_not_fall_when_history_is_deleted(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    with client_of(build_app(configuration, database)) as client:
        before = figures(client)
        with Session(database) as session, session.begin():
            for table in (EventRow, InstanceRow, AssociationRow):
                session.execute(delete(table))
        after = figures(client)
    counters = [key for key in before if key[0].endswith(("_total", "_count", "_sum")) and "process" not in key[0]]
    assert counters
    assert [key for key in counters if after[key] < before[key]] == []


def test_every_route_and_destination_has_its_counters_from_the_start(
    configuration: Configuration, database: Database
) -> None:
    with client_of(build_app(with_route(configuration), database)) as client:
        found = figures(client)
    for key in (
        ("condyle_instances_received_total", "dimse"),
        ("condyle_jobs_ended_total", KNEE, "knee", "failed"),
        ("condyle_decisions_total", "true", "knee"),
        ("condyle_deliveries_total", "pacs", "refused"),
        ("condyle_result_latency_seconds_count", KNEE, "knee"),
        ("condyle_queue_oldest_seconds", KNEE),
    ):
        assert key in found


def test_the_model_of_a_route_is_named_with_its_weights(configuration: Configuration, database: Database) -> None:
    with client_of(build_app(with_route(configuration), database)) as client:
        (models,) = [key for key in figures(client) if key[0] == "condyle_model_info"]
    _, pipeline, route, shadow, version, weights = models
    assert (pipeline, route, shadow, version) == (KNEE, "knee", "false", "1.0")
    assert re.fullmatch("[0-9a-f]{64}", weights)


def test_another_model_is_named_as_soon_as_it_is_in_force(configuration: Configuration, database: Database) -> None:
    with client_of(build_app(with_route(configuration), database)) as client:
        (before,) = [key for key in figures(client) if key[0] == "condyle_model_info"]
        with Session(database) as session, session.begin():
            row = ModelVersionRow(
                route="knee", pipeline=KNEE, bundle="0" * 64, weights="0" * 64, since=datetime.now(UTC)
            )
            session.add(row)
        (after,) = [key for key in figures(client) if key[0] == "condyle_model_info"]
    assert before != after  # the bundle is not in the store: its weights are not known, and the scrape is answered


def test_the_heartbeats_of_all_nodes_of_the_database_are_told(configuration: Configuration, database: Database) -> None:
    with Session(database) as session, session.begin():
        session.add(ExecutorRow(id="other:1", seen=datetime(2026, 11, 1, tzinfo=UTC)))
    with client_of(build_app(configuration, database)) as client:
        beat = figures(client)["condyle_executor_heartbeat_timestamp_seconds", "other:1"]
    assert beat == datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def test_without_its_database_a_node_says_what_it_has_counted_and_that_it_is_not_ready(
    configuration: Configuration, tmp_path: Path
) -> None:
    away = open_database(f"sqlite:///{tmp_path}/no/such/folder/node.db")
    with client_of(build_app(configuration, away)) as client:
        found = figures(client)
    assert (found["condyle_database_up",], found["condyle_ready",]) == (0, 0)
    assert found["condyle_part_ready", "database"] == 0
    assert ("condyle_instances_received_total", "dimse") in found
    assert ("condyle_jobs", KNEE, "queued") not in found


def test_a_certificate_says_when_it_runs_out(configuration: Configuration, database: Database, tmp_path: Path) -> None:
    key_and_certificate(tmp_path, "", days=10)
    tls = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    with_tls = Configuration.model_validate({**configuration.model_dump(mode="json"), "status": {"tls": tls}})
    with client_of(build_app(with_tls, database)) as client:
        ends = figures(client)["condyle_certificate_expires_timestamp_seconds", "status.tls.certificate"]
    assert ends == pytest.approx((datetime.now(UTC) + timedelta(days=10)).timestamp(), abs=120)


def test_what_was_turned_away_is_counted(configuration: Configuration, database: Database) -> None:
    connections = Connections()
    connections.refusals.add("no room")
    with client_of(build_app(configuration, database, connections=connections)) as client:
        found = figures(client)
    assert found["condyle_http_turned_away_total", "no room"] == 1
    assert found["condyle_http_turned_away_total", "too slow"] == 0
    assert found["condyle_http_connections",] == 0


def test_names_and_types_are_as_prometheus_wants_them(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    with client_of(build_app(with_route(configuration), database)) as client:
        text = client.get("/metrics").text
    wrong = []
    for family in text_string_to_metric_families(text):
        names = {sample.name for sample in family.samples}
        if not family.documentation or re.search(r"_(ms|minutes|hours|kb|mb|percent)(_|$)", family.name):
            wrong.append(family.name)
        if any(name.endswith("_total") for name in names) != (family.type == "counter"):
            wrong.append(family.name)
    assert wrong == []


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Debian's package prometheus, is not there")
def test_promtool_finds_nothing_to_say(configuration: Configuration, database: Database, morning: Morning) -> None:
    with client_of(build_app(with_route(configuration), database)) as client:
        text = client.get("/metrics").text
    said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
