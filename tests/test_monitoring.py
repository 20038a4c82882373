"""What docs/monitoring has for Prometheus and Grafana goes by figures that the node has, and is true of a real node."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dicom_sr import phantoms
from node.config import Configuration
from node.database.connection import open_database
from node.database.migrations import migrate
from node.status.connections import Connections
from node.status.metrics import Metrics
from tests.orthanc import free_port
from tests.running import RunningNode
from tests.waiting import until

DOCS = Path(__file__).resolve().parents[1] / "docs"
DASHBOARD, ALERTS = DOCS / "monitoring" / "condyle-dashboard.json", DOCS / "monitoring" / "condyle-alerts.yaml"
RULE_TESTS = Path(__file__).parent / "monitoring" / "alerts.test.yaml"
NAME = re.compile(r"\b(?:condyle|process)_[a-z0-9_]+\b")
GRID = 24  # columns of a dashboard

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool, of Debian's package prometheus, is not there"
)
prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus, of Debian's package of that name, is not there"
)


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> list[tuple[str, str]]:
    """Title and expression of every query of the dashboard."""
    return [(panel["title"], one["expr"]) for panel in panels() for one in panel.get("targets", ())]


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all samples of a node with a route and a destination."""
    folder = tmp_path_factory.mktemp("figures")
    database = open_database(f"sqlite:///{folder / 'node.db'}", power=False)  # nothing here is to outlive the test
    migrate(database)
    configuration = Configuration.model_validate({"node": {"data": str(folder)}, **_settings(folder)})
    text = Metrics(configuration, database, Connections(), lambda: {"database": None}).text().decode()
    database.dispose()
    families = list(text_string_to_metric_families(text))
    of_types = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "info": ("_info",)}
    return {f"{one.name}{end}" for one in families for end in of_types.get(one.type, ("",))} | {
        sample.name for one in families for sample in one.samples
    }


def _settings(folder: Path) -> dict[str, Any]:
    route = {
        "when": {"Modality": "MR", "series.slices": {"min": 4}},
        "pipeline": "knee_super_resolution",
        "settings": {"method": "tricubic", "spacing": 2.0},
        "destinations": ["out"],
    }
    return {"routes": {"knee": route}, "destinations": {"out": {"kind": "folder", "path": str(folder / "out")}}}


def test_dashboard_and_alerts_go_by_figures_that_the_node_has(figures: set[str]) -> None:
    texts = [expression for _, expression in expressions()]
    texts += [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    named = {name for text in texts for name in NAME.findall(text)}
    unknown = named - figures - {"condyle_executor_heartbeat_timestamp_seconds", "condyle_last_image_timestamp_seconds"}
    assert unknown == set()


def test_every_figure_and_every_alert_is_explained(figures: set[str]) -> None:
    page = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in figures if name.startswith("condyle_")}
    assert families - set(NAME.findall(page)) == set()
    alerts = {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
    assert alerts == set(re.findall(r"^\| (Condyle\w+) \|", page, re.MULTILINE))


def test_panels_have_a_name_of_their_own_and_lie_side_by_side() -> None:
    numbers = [panel["id"] for panel in panels()]
    assert len(set(numbers)) == len(numbers)
    places = [panel["gridPos"] for panel in panels()]
    assert all(one["x"] + one["w"] <= GRID for one in places)
    overlapping = [
        (one, other)
        for one, other in combinations(places, 2)
        if one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    ]
    assert overlapping == []
    assert [panel["title"] for panel in panels() if panel["type"] != "row" and not panel["description"]] == []


@promtool
def test_each_alert_comes_when_it_is_due_and_not_before() -> None:
    for command in (["check", "rules", str(ALERTS)], ["test", "rules", str(RULE_TESTS)]):
        said = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60, check=False)
        assert said.returncode == 0, said.stdout + said.stderr
    tested = {
        one["alertname"] for of in yaml.safe_load(RULE_TESTS.read_text())["tests"] for one in of["alert_rule_test"]
    }
    rules = {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
    assert tested == rules


class Prometheus:
    """A real one that scrapes a node once a second."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **parameters: str) -> Any:
        """What it answers; None while it does not."""
        try:
            answer = httpx.get(f"{self._address}/{path}", params=parameters, timeout=10)
        except httpx.TransportError:
            return None
        return answer.json()["data"] if answer.status_code == 200 else None

    def value(self, expression: str) -> list[float]:
        """The values that an expression has now, without those that are no numbers."""
        found = self.ask("query", query=expression)
        assert found is not None, f"it is no expression: {expression}"
        values = [float(one["value"][1]) for one in found["result"]]
        return [value for value in values if not math.isnan(value)]


@contextmanager
def scraping(folder: Path, page: int) -> Iterator[Prometheus]:
    port = free_port()
    scrape = {"job_name": "condyle", "scrape_interval": "1s", "static_configs": [{"targets": [f"127.0.0.1:{page}"]}]}
    text = {"rule_files": [str(ALERTS)], "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(text))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(20)


@prometheus
def test_no_panel_is_empty_for_a_node_that_has_worked(tmp_path: Path) -> None:
    header = phantoms.study_header(phantoms.Person(), "monitoring", "Simulated knee")
    knee = phantoms.write_knee_mr(tmp_path / "knee", header, (12, 64, 64), (4.0, 2.5, 2.5))
    tls = _certificate(tmp_path)
    dimse = {"tls": tls, "tls_port": free_port()}
    with (
        RunningNode(tmp_path, receive={"dimse": dimse}, **_settings(tmp_path)) as node,
        scraping(tmp_path, node.page) as found,
    ):
        ready = 'condyle_instances_received_total{way="dimse"}'
        until(lambda: (found.ask("query", query=ready) or {}).get("result"), "the first scrape")
        node.send(knee)
        node.ended_jobs(1)
        done = 'condyle_jobs_ended_total{state="done"} == 1'
        until(lambda: found.value(done), "Prometheus sees the job")
        until(lambda: found.value("rate(condyle_deliveries_total[10s]) > 0"), "it sees it move")
        empty = []
        for title, expression in expressions():
            asked = expression.replace('"$instance"', '".*"').replace("$__rate_interval", "1m")
            if not found.value(asked):
                empty.append((title, asked))
        assert empty == []
        assert found.value("count(condyle_result_latency_seconds_count == 1)") == [1]
        wrong = [
            (rule["name"], rule["lastError"])
            for group in found.ask("rules")["groups"]
            for rule in group["rules"]
            if rule["health"] == "err"
        ]
        assert wrong == []


def _certificate(folder: Path) -> dict[str, str]:
    names = {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=node"
    command = [*make.split(), "-keyout", names["key"], "-out", names["certificate"]]
    subprocess.run(command, check=True, capture_output=True)
    return names
