"""`pipelines.lab.options`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipelines
from pipelines.lab import options
from tests.pipelines.conftest import Refused

LAYOUTS = {"folder": "any folder", "oai": "as OAI"}


def parser(default: str | None = None) -> argparse.ArgumentParser:
    """All options at once."""
    made = argparse.ArgumentParser()
    options.add_seed(made, 3)
    options.add_threads(made)
    options.add_device(made)
    options.add_data(made, "volumes", LAYOUTS, default)
    options.add_output(made)
    options.add_bundle(made)
    options.add_report(made)
    return made


def test_what_is_not_named_has_its_default(tmp_path: Path) -> None:
    given = parser("folder").parse_args(["--output", str(tmp_path)])
    assert (given.seed, given.threads, given.device, given.data, given.layout) == (3, 1, "auto", [], "folder")
    assert (given.output, given.bundle, given.report) == (tmp_path, None, None)


def test_folders_of_data_are_taken_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    arguments = ["--output", "new", "--data", str(tmp_path / "b"), "--data", str(tmp_path / "a"), "--layout", "oai"]
    given = parser().parse_args(arguments)
    assert ([each.name for each in given.data], given.layout) == (["b", "a"], "oai")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "the following arguments are required: --output"),
        (["--output", "file"], "is a file, should be a folder"),
        (["--output", "new", "--data", "none"], "none: there is no such folder"),
        (["--output", "new", "--bundle", "none"], "none: there is no such folder"),
        (["--output", "new", "--layout", "skm"], "invalid choice: 'skm'"),
        (["--output", "new", "--device", "gpu"], "should be auto, cpu, cuda or cuda:N"),
        (["--output", "new", "--threads", "0"], "should be a whole number, 1 or more"),
        (["--output", "new", "--seed", "-1"], "should be a whole number, 0 or more"),
    ],
)
def test_what_cannot_be_used_is_said_before_work_begins(refused: Refused, arguments: list[str], why: str) -> None:
    def main(given: list[str]) -> int:
        parser().parse_args(given)
        return 0

    assert why in refused(main, arguments)


def test_a_training_does_not_write_into_the_package(tmp_path: Path) -> None:
    package = Path(pipelines.__file__).parent
    (tmp_path / "link").symlink_to(package / "knee_super_resolution")
    for inside in (package, package / "knee_super_resolution" / "bundle", tmp_path / "link" / "bundle"):
        with pytest.raises(argparse.ArgumentTypeError, match="lies in the installed package"):
            options.bundle_to_write(str(inside))
    assert options.bundle_to_write(str(tmp_path / "mine")) == tmp_path / "mine"


@pytest.fixture
def secretive() -> Iterator[None]:
    """A mask that keeps what is written to its owner."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("secretive")
def test_the_service_can_read_what_another_account_trained(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    (bundle / "models").mkdir(parents=True)
    (bundle / "models" / "model.safetensors").write_bytes(b"")
    options.readable(bundle)
    modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"bundle": 0o755, "bundle/models": 0o755, "bundle/models/model.safetensors": 0o644}
