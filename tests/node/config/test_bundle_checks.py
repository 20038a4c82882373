"""Bundles in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from node.config import read
from node.config.bundle_checks import bundles
from node.config.route_settings import paths_in_settings, read_with_settings
from node.errors import ConfigurationError
from node.route.checks import routes
from pipelines.monai_bundle.pipeline import MonaiBundle
from pipelines.registry import pipeline_type
from tests.pipelines.monai_bundle.configured import settings
from tests.pipelines.monai_bundle.made_bundles import threshold_bundle

ROUTE = {"when": {"Modality": "CT"}, "pipeline": "bundle:spleen", "destinations": []}


def written(folder: Path, **sections: Any) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False))
    return path


def test_a_route_to_a_bundle_carries_all_that_a_worker_needs(tmp_path: Path) -> None:
    entry = {**settings(threshold_bundle(tmp_path / "bundle")), "path": "bundle"}
    found = read_with_settings(written(tmp_path, bundles={"spleen": entry}, routes={"spleen": ROUTE}))
    route = found.routes["spleen"]
    kind = pipeline_type(route.pipeline)
    pipeline = kind(kind.settings_type(**route.settings))
    assert isinstance(pipeline, MonaiBundle)
    assert (pipeline.name, pipeline.settings.path) == ("bundle:spleen", tmp_path / "bundle")
    assert paths_in_settings(found) == (tmp_path / "bundle" / "configs", tmp_path / "bundle" / "models")
    assert [one.state for one in (*bundles(found, build=True), *routes(found))] == ["good", "good", "doubtful"]


def test_a_worker_sees_the_environment_of_a_bundles_own_interpreter(tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    python = tmp_path / "venv" / "bin" / "python"
    python.symlink_to("/usr/bin/python3")
    entry = settings(threshold_bundle(tmp_path / "bundle"), trust="code", python=str(python))
    found = read_with_settings(written(tmp_path, bundles={"spleen": entry}, routes={"spleen": ROUTE}))
    rooms = {tmp_path / "bundle" / "configs", tmp_path / "bundle" / "models"}
    assert set(paths_in_settings(found)) == {*rooms, python, tmp_path / "venv"}


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        (
            {"routes": {"spleen": ROUTE}},
            r"routes.spleen.pipeline: 'bundle:spleen': no bundle is called so; there are: no",
        ),
        (
            {"bundles": {"spleen": {}}, "routes": {"spleen": ROUTE}},
            r"config.yaml:2: bundles.spleen.path: is missing and has no default",
        ),
        (
            {"bundles": {"spleen": {"path": "a", "sha256": "b", "inputs": {"i": {"Modalty": "CT"}}, "output": {}}}},
            r"config.yaml:6: bundles.spleen.inputs.i: Modalty: is not a DICOM keyword; did you mean 'Modality'",
        ),
    ],
)
def test_a_mistake_is_told_with_line_key_and_what_would_be_right(
    tmp_path: Path, sections: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read(written(tmp_path, **sections))


def test_a_bundle_that_is_wrong_makes_no_mistake_of_its_route(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        read(written(tmp_path, bundles={"spleen": {"trust": "perhaps"}}, routes={"spleen": ROUTE}))
    assert "routes.spleen" not in str(error.value)


def test_settings_of_a_route_to_a_bundle_stand_with_the_bundle(tmp_path: Path) -> None:
    entry = settings(threshold_bundle(tmp_path / "bundle"))
    route = {**ROUTE, "settings": {"title": "x"}}
    with pytest.raises(ConfigurationError, match=r"routes.spleen.settings: should be empty; .* bundles.spleen"):
        read(written(tmp_path, bundles={"spleen": entry}, routes={"spleen": route}))


def test_a_changed_bundle_one_that_no_route_runs_and_equal_series_numbers_are_told(tmp_path: Path) -> None:
    entry = settings(threshold_bundle(tmp_path / "bundle"), series_base=10000)
    found = read(written(tmp_path, bundles={"one": entry, "two": {**entry, "sha256": "0" * 64}}))
    told = {(one.key, one.state): one.sentence for one in bundles(found)}
    assert told["bundles.one", "doubtful"] == "no route has the pipeline bundle:one: it does not run"
    assert "the bundle has the digest" in told["bundles.two.sha256", "bad"]
    assert "same numbers as those of bundles.one" in told["bundles.two.series_base", "doubtful"]


def test_a_route_of_the_wrong_level_is_told_so(tmp_path: Path) -> None:
    entry = settings(threshold_bundle(tmp_path / "bundle"))
    found = read_with_settings(
        written(tmp_path, bundles={"spleen": entry}, routes={"spleen": {**ROUTE, "level": "study"}})
    )
    (bad,) = [one for one in routes(found) if one.state == "bad"]
    assert (bad.key, bad.sentence) == (
        "routes.spleen.level",
        "'study': should be 'series', which bundle:spleen works on",
    )
