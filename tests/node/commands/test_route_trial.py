"""`condyle route --try`, over a database whose studies have been decided about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command

from node.commands.exit_codes import CONFIGURATION, OK, USAGE
from node.database.migrations import configuration
from tests.command_line import Condyle
from tests.node.status.pages.test_route_trial import Node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(tmp_path_factory.mktemp("node"))
    with made.desk.database.connect() as connection:  # its tables are the latest, and were not made by migrations
        command.stamp(configuration(connection), "head")
        connection.commit()
    yield made
    made.desk.database.dispose()


def other(node: Node, folder: Path, before: str, after: str) -> Path:
    path = folder / "other.yaml"
    path.write_text(node.file.read_text().replace(before, after))
    return path


def test_what_would_have_been_decided_otherwise_is_listed(node: Node, tmp_path: Path, condyle: Condyle) -> None:
    file = other(node, tmp_path, "max: 3.5", "max: 2")
    ended = condyle("route", "--try", file, "--since", "1d", "--config", node.file)
    assert ended.returncode == OK
    assert "route knee: when.SliceThickness: {max: 3.5} becomes {max: 2}" in ended.stdout
    assert "route knee: matched 3 before, 1 after, of 8" in ended.stdout
    assert "SliceThickness: 3 instead of at most 2" in ended.stdout


def test_everything_is_there_as_json(node: Node, tmp_path: Path, condyle: Condyle) -> None:
    file = other(node, tmp_path, "max: 3.5", "max: 2")
    found = json.loads(condyle("route", "--try", file, "--since", "1d", "--config", node.file, "--json").stdout)
    assert found["routes"] == [
        {"route": "knee", "judged": 8, "matched_before": 3, "matched_after": 1, "jobs_that_differ": 0}
    ]
    assert {one["what"] for one in found["differences"]} == {"would not run"}
    assert len(found["differences"]) == 2


def test_headers_are_read_for_what_no_decision_noted(node: Node, tmp_path: Path, condyle: Condyle) -> None:
    file = other(node, tmp_path, "SliceThickness", "EchoTime")
    found = json.loads(condyle("route", "--try", file, "--since", "1d", "--config", node.file, "--json").stdout)
    assert found["not_judged"] == {"studies_deleted": 0, "studies_arriving": 0, "series_not_read": {}}
    assert found["routes"][0]["judged"] == 8


def test_the_same_routes_differ_in_nothing(node: Node, condyle: Condyle) -> None:
    ended = condyle("route", "--try", node.file, "--config", node.file)
    assert ended.stdout == "the routes are those of the configuration: nothing would be decided otherwise\n"


def test_mistakes_are_told_with_the_line_in_the_file_that_is_tried(
    node: Node, tmp_path: Path, condyle: Condyle
) -> None:
    file = other(node, tmp_path, "SliceThickness", "SliceThicknes")
    ended = condyle("route", "--try", file, "--config", node.file)
    assert ended.returncode == CONFIGURATION
    line = file.read_text()[: file.read_text().index("SliceThicknes")].count("\n") + 1
    assert f"{file}:{line}: routes.knee.when.SliceThicknes: " in ended.stderr


def test_files_and_a_trial_do_not_go_together(node: Node, condyle: Condyle) -> None:
    assert condyle("route", node.file, "--try", node.file, "--config", node.file).returncode == USAGE
    assert condyle("route", "--config", node.file).returncode == USAGE
