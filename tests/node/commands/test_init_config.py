"""The configuration that `condyle init` writes says what was answered, and nothing that it would mean anyway."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.commands.init_answers import Answers, destination, offered, sender
from node.commands.init_config import COMMENTS_AT, written
from node.config import Configuration, read
from node.config.example import EXAMPLE, example_routes
from pipelines.registry import pipeline_type

SENDERS = ("MR 1@10.2.0.0/16", "ARCHIVE@10.2.0.9:104", "ARCHIVE@2001:db8::/32", "#1: yes@localhost")
DESTINATIONS = ("PACS@pacs.example.org:11112", "https://vna.example.org/dicom-web", "/srv/results: \u201cAI\u201d")


def answered(**changes: object) -> Answers:
    values: dict[str, object] = {
        "ae_title": "NODE",
        "senders": tuple(map(sender, SENDERS)),
        "destinations": tuple(map(destination, DESTINATIONS)),
        "pipelines": offered(),
        "data": "/srv/da ta",
        "port": 104,
        "page_port": 8091,
    }
    return Answers(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def text() -> str:
    return written(answered(), "config.yaml")


@pytest.fixture
def configuration(text: str, tmp_path: Path) -> Configuration:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return read(path)


def test_it_says_what_was_answered(configuration: Configuration) -> None:
    assert configuration.node.ae_title == "NODE"
    assert configuration.node.data == Path("/srv/da ta")
    assert list(configuration.peers.values()) == [sender(one) for one in SENDERS]
    assert list(configuration.destinations.values()) == [destination(one) for one in DESTINATIONS]
    assert (configuration.receive.dimse.host, configuration.receive.dimse.port) == ("0.0.0.0", 104)
    assert (configuration.status.host, configuration.status.port) == ("127.0.0.1", 8091)


def test_each_pipeline_has_the_route_of_the_example_to_every_destination(configuration: Configuration) -> None:
    example = example_routes()
    assert {route.pipeline for route in configuration.routes.values()} == set(offered())
    for name, route in configuration.routes.items():
        assert (route.when, route.level) == (example[name]["when"], example[name]["level"])
        assert route.destination_names == tuple(configuration.destinations)


def test_only_chosen_pipelines_have_a_route() -> None:
    text = written(answered(pipelines=("knee_oa_risk",)), "config.yaml")
    assert text.count("pipeline: ") == 1


def test_the_settings_that_are_left_out_are_defaults_in_the_example(configuration: Configuration) -> None:
    for name, route in read(EXAMPLE).routes.items():
        settings = pipeline_type(route.pipeline).settings_type
        assert settings.model_validate(route.settings) == settings()
        assert configuration.routes[name].settings == {}


def test_for_senders_of_this_machine_the_port_is_closed_to_others() -> None:
    text = written(answered(senders=(sender("SCANNER@localhost"),)), "config.yaml")
    assert "    host: 127.0.0.1          # this machine only" in text


def test_comments_stand_where_those_of_the_example_do(text: str) -> None:
    assert f"{'  ae_title: NODE'.ljust(COMMENTS_AT)}# of the node" in text
    assert f"{'  ae_title: CONDYLE'.ljust(COMMENTS_AT)}# " in EXAMPLE.read_text(encoding="utf-8")
