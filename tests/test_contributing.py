"""What CONTRIBUTING.md shows works as it stands there, installed as a package, with every command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import yaml

from dicom_sr.write.encode import EncodingProfile, encode
from node.demo.orthanc_process import free_port
from tests.factories import knee_study

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "CONTRIBUTING.md"
Condyle = Callable[..., subprocess.CompletedProcess[str]]


def block(language: str) -> str:
    """The only block of the document in a language."""
    (found,) = re.findall(rf"(?ms)^ *```{language}\n(.*?)^ *```", DOCUMENT.read_text(encoding="utf-8"))
    return textwrap.dedent(found)


def documented_commands() -> list[str]:
    """Every command line that the section on pipelines shows."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("## Adding a pipeline")[2]
    return re.findall(r"^ +condyle (.+)$", section, re.MULTILINE)


def test_the_example_pipeline_runs_and_its_result_becomes_dicom(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    pipeline = names["MeanSignal"](names["PipelineSettings"]())
    study = knee_study(tmp_path)
    pipeline.check(study)
    result = pipeline.run(study)
    expected = np.mean([pydicom.dcmread(instance.path).pixel_array for instance in study.instances])
    assert result.findings[0].measurements[0].value == pytest.approx(expected)
    objects = encode(result, EncodingProfile(), datetime(2026, 11, 22, tzinfo=UTC), tmp_path / "objects")
    assert {made.kind for made in objects} >= {"report", "secondary_capture"}


def test_what_the_document_names_for_reading_pixels_is_there(tmp_path: Path) -> None:
    from dicom_sr.read import stored_pixels

    instance = knee_study(tmp_path).instances[0]
    assert "`stored_pixels.decoded(stored_pixels.read(instance))`" in DOCUMENT.read_text(encoding="utf-8")
    pixels = stored_pixels.decoded(stored_pixels.read(instance))
    assert np.array_equal(pixels, pydicom.dcmread(instance.path).pixel_array)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has installed the example as a package."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "your_package.py").write_text(block("python"), encoding="utf-8")
    (source / "pyproject.toml").write_text(block("toml"), encoding="utf-8")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(site)]
    command = [sys.executable, "-m", "pip", "install", *options, str(source)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return site


@pytest.fixture
def condyle(installed: Path, tmp_path: Path) -> Condyle:
    """Runs a command in a process that finds the package."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "node", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images and a configuration that has a route to the example."""
    knee_study(tmp_path / "FILES")
    route = {"when": {"Modality": "MR"}, "pipeline": "mean_signal", "destinations": ["out"]}
    configuration = {
        "receive": {"dimse": {"host": "127.0.0.1", "port": free_port()}},
        "status": {"port": free_port()},
        "destinations": {"out": {"kind": "folder", "path": "out"}},
        "routes": {"mean": route},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    return tmp_path


def test_every_command_that_the_document_shows_works_with_the_example(folder: Path, condyle: Condyle) -> None:
    commands = documented_commands()
    assert {line.split()[0] for line in commands} == {"run", "check", "route"}
    for line in commands:
        ended = condyle(*line.split())
        assert (ended.returncode, ended.stderr) == (0, ""), line
    (summary,) = (json.loads(path.read_text()) for path in (folder / "RESULTS").glob("*/summary.json"))
    assert (summary["state"], summary["pipeline"]) == ("done", "mean_signal")
    assert summary["conclusion"][0].startswith("Mean signal ")


def test_the_example_is_listed_routed_and_checked(folder: Path, condyle: Condyle) -> None:
    assert "mean_signal 1.0" in condyle("version").stdout
    assert "route mean: matches" in condyle("route", "FILES").stdout
    assert "series -> mean_signal -> out" in " ".join(condyle("check", "config.yaml").stdout.split())


@pytest.mark.parametrize(("what", "room"), [("train", "training"), ("evaluate", "evaluation")])
def test_a_pipeline_without_training_says_so_in_a_sentence(condyle: Condyle, what: str, room: str) -> None:
    for more in ([], ["--help"], ["--data", "x"]):
        ended = condyle(what, "mean_signal", *more)
        assert (ended.returncode, ended.stdout) == (2, "")
        told = f"mean_signal has no {room} of its own: there is no module your_package.{room}.{what}\n"
        assert ended.stderr == told


def test_examples_are_written_beside_a_pipeline_that_brings_none(folder: Path, condyle: Condyle) -> None:
    ended = condyle("example-results", "examples")
    assert ended.returncode == 0, ended.stderr
    assert "mean_signal" not in {path.name for path in (folder / "examples").iterdir()}
    judged = {path.parents[1].name for path in (folder / "examples").glob("*/assessment/*.dcm")}
    assert judged >= {"hand_foot_scoring", "joint_classification", "knee_oa_risk", "knee_super_resolution"}


def test_the_example_runs_from_python_too(folder: Path, installed: Path) -> None:
    program = "import condyle; result = condyle.load('mean_signal')('FILES'); print(result.state, len(result.captures))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "done 1\n", ended.stderr
