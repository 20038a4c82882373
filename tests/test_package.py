"""An installed package holds what the node and its users need, and leaves out the weights that only comparisons use."""

from __future__ import annotations

from pathlib import Path

import pytest
from setuptools import Distribution  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = ("deepresolve_bundle/models/", "deepresolve_bundle/configs/metadata.json", "evaluation/scsr/")


def packaged(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The files beside the modules that a wheel is given, by their paths in the repository."""
    monkeypatch.chdir(ROOT)
    distribution = Distribution()
    distribution.parse_config_files(["setup.cfg"])
    command = distribution.get_command_obj("build_py")
    command.ensure_finalized()
    return {f"{folder}/{name}" for _, folder, _, names in command.data_files for name in names}


def test_the_bundles_of_the_pipelines_are_in_the_package_and_the_rivals_weights_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = packaged(monkeypatch)
    bundles = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("pipelines/*/*bundle/**/*") if path.is_file()}
    left_out = {path for path in bundles if any(part in path for part in LEFT_OUT)}
    assert len(left_out) == 5, "four networks and their metadata"
    assert bundles - left_out <= found
    assert not {path for path in found if any(part in path for part in LEFT_OUT)}


def test_each_package_says_that_it_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = {path for path in packaged(monkeypatch) if path.endswith("py.typed")}
    assert marked == {f"{package}/py.typed" for package in ("condyle", "dicom_sr", "node", "pipelines")}
