"""Paths in a pipeline's settings are relative to the configuration too."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.route_settings import paths_in_settings, read_with_settings
from pipelines.base import PipelineSettings
from pipelines.registry import names, pipeline_type

WITH_A_PATH = [
    (name, key)
    for name in names()
    for key, field in pipeline_type(name).settings_type.model_fields.items()
    if field.annotation in (Path, Path | None)
]


@pytest.mark.parametrize(("pipeline", "key"), WITH_A_PATH)
def test_a_relative_path_is_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str, key: str
) -> None:
    path = tmp_path / "config.yaml"
    route = f"{{when: {{}}, pipeline: {pipeline}, destinations: [], settings: {{{key}: models/mine}}}}"
    path.write_text(f"routes:\n  one: {route}\n", encoding="utf-8")
    monkeypatch.chdir("/")
    assert read_with_settings(path).routes["one"].settings[key] == str(tmp_path / "models" / "mine")


def test_settings_of_a_pipeline_that_is_not_installed_are_left_for_the_check(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("routes:\n  one: {when: {}, pipeline: none, destinations: [], settings: {bundle: mine}}\n")
    assert read_with_settings(path).routes["one"].settings == {"bundle": "mine"}


class Weights(PipelineSettings):
    folds: tuple[Path, ...] = ()
    usual: Path = Path("/opt/models/usual")


class Settings(PipelineSettings):
    weights: Weights = Weights()
    more: tuple[Path, ...] = ()
    name: str = "/none/of/them"


def test_every_path_that_a_pipeline_s_settings_hold_is_known_its_own_defaults_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pipeline, _) = WITH_A_PATH[0]
    monkeypatch.setattr(pipeline_type(pipeline), "settings_type", Settings)
    path = tmp_path / "config.yaml"
    settings = "{weights: {folds: [/models/1, /models/2]}, more: [mine]}"
    path.write_text(
        f"routes:\n  one: {{when: {{}}, pipeline: {pipeline}, destinations: [], settings: {settings}}}\n"
        "  two: {when: {}, pipeline: none, destinations: []}\n"
    )
    monkeypatch.chdir("/")
    found = paths_in_settings(read_with_settings(path))
    named = ("/models/1", "/models/2", "/opt/models/usual", str(tmp_path / "mine"))
    assert found == tuple(Path(name) for name in named)
