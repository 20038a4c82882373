"""The example's routes, from which the demo and `condyle init` take theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from node.config.example import EXAMPLE, example_routes, route_of, written_part
from tests.test_package import packaged

ROOT = Path(__file__).resolve().parents[3]


def test_the_example_is_config_yaml_of_the_repository_and_is_packaged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EXAMPLE.samefile(ROOT / "config.yaml")
    assert "node/config/example.yaml" in packaged(monkeypatch)


@pytest.mark.parametrize("key", ["when", "level", "pipeline"])
@pytest.mark.parametrize("route", example_routes())
def test_what_is_written_of_a_key_is_what_it_says(route: str, key: str) -> None:
    text = written_part(route, key)
    assert yaml.safe_load(text) == {key: example_routes()[route][key]}
    assert " # " in text, "its comments come with it"


def test_each_shipped_pipeline_has_a_route_and_another_has_none() -> None:
    assert route_of("knee_oa_risk") == "knee_oa_risk"
    assert route_of("mean_signal") is None


def test_a_key_that_is_not_there_is_told() -> None:
    with pytest.raises(LookupError, match=r"example\.yaml has no whence:"):
        written_part("knee_oa_risk", "whence")
