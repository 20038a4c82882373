"""Prometheus reads the node's figures."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from node.config import Configuration
from node.database.connection import Database
from node.status.app import build_app
from node.status.connections import Connections
from tests.node.status.conftest import Morning
from tests.serving import client_of


def figures(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Values by name and label values, in the order of the labels' names."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_figures_are_those_of_the_records(
    configuration: Configuration, database: Database, morning: Morning
) -> None:
    with client_of(build_app(configuration, database)) as client:
        found = figures(client)
    assert found["condyle_instances_received_total",] == 93
    assert found["condyle_received_bytes_total",] == 93_000
    assert found["condyle_associations", "refused", "dimse"] == 1
    knee = "knee_super_resolution"
    assert {state: found["condyle_jobs", knee, state] for state in ("done", "unsuitable", "sending", "failed")} == {
        "done": 1,
        "unsuitable": 1,
        "sending": 1,
        "failed": 0,
    }
    assert found["condyle_outbox", "pacs", "waiting"] == 1
    assert found["condyle_outbox", "drop", "delivered"] == 3
    assert found["condyle_step_seconds_sum", knee, "infer"] == 20
    assert found["condyle_step_seconds_count", knee, "infer"] == 1
    assert found["condyle_outbox_oldest_seconds", "pacs"] > 0
    assert found["condyle_disk_free_bytes",] > 0


def test_a_node_without_records_has_figures_too(configuration: Configuration, database: Database) -> None:
    with client_of(build_app(configuration, database)) as client:
        assert figures(client)["condyle_instances_received_total",] == 0


def test_what_was_turned_away_is_counted(configuration: Configuration, database: Database) -> None:
    connections = Connections()
    connections.refusals.add("no room")
    with client_of(build_app(configuration, database, connections=connections)) as client:
        found = figures(client)
    assert found["condyle_http_turned_away_total", "no room"] == 1
    assert found["condyle_http_turned_away_total", "too slow"] == 0
    assert found["condyle_http_connections",] == 0
