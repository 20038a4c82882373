from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import Condyle
from tests.node.actions.acting import Acting, acting

CONFIG = """
node: {data: data}
destinations:
  pacs: {kind: folder, path: out}
routes:
  knee: {when: {Modality: MR}, pipeline: knee_super_resolution, destinations: [pacs]}
"""


@pytest.fixture
def config(tmp_path: Path) -> tuple[str, Path]:
    with acting(tmp_path) as act:
        assert isinstance(act, Acting)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return "--config", tmp_path / "config.yaml"


def test_what_is_paused_is_listed_until_it_is_resumed(condyle: Condyle, config: tuple[str, Path]) -> None:
    assert condyle("pauses", *config).stdout == "nothing is paused\n"
    paused = condyle("pause", "route", "knee", "--reason", "a new coil", *config)
    assert (paused.returncode, paused.stdout) == (0, "route knee is paused; condyle resume route knee ends that\n")
    (line,) = condyle("pauses", *config).stdout.splitlines()[1:]
    assert line.split()[:2] == ["route", "knee"]
    assert line.rstrip().endswith("a new coil")
    (one,) = json.loads(condyle("pauses", "--json", *config).stdout)["pauses"]
    assert (one["kind"], one["name"], one["why"]) == ("route", "knee", "a new coil")
    assert condyle("resume", "route", "knee", *config).stdout == "route knee goes on\n"
    assert json.loads(condyle("pauses", "--json", *config).stdout) == {"pauses": []}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("pause", "route", "kne", "--reason", "why"), 2, "there are: knee; did you mean 'knee'?"),
        (("pause", "route", "knee", "--reason", " "), 2, "--reason: is empty"),
        (("pause", "patient", "knee", "--reason", "why"), 2, "patient"),
        (("resume", "destination", "pacs"), 1, "destination pacs is not paused"),
    ],
)
def test_what_cannot_be_done_is_told(
    condyle: Condyle, config: tuple[str, Path], arguments: tuple[str, ...], code: int, told: str
) -> None:
    ended = condyle(*arguments, *config)
    assert ended.returncode == code
    assert told in ended.stderr


def test_what_is_paused_is_not_paused_once_more(condyle: Condyle, config: tuple[str, Path]) -> None:
    assert condyle("pause", "destination", "pacs", "--reason", "it moves", *config).returncode == 0
    again = condyle("pause", "destination", "pacs", "--reason", "it moves", *config)
    assert (again.returncode, again.stderr) == (1, "destination pacs is paused already\n")
