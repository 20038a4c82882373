"""`condyle risk`: the command asks as others do, and gets the same answer with a node and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node.patient_records.asking import BUNDLE, Make, ask, clean_up, condyle, journal, maker, tell


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    return maker(tmp_path, monkeypatch)


def test_the_command_answers_without_a_node_and_with_one_by_the_same_job(make: Make) -> None:
    node = make()
    bundle = node.folder / "bundle.json"
    bundle.write_text(json.dumps(BUNDLE))
    (node.folder / "data").mkdir()
    assert condyle(node, "record", str(bundle)).returncode == 0
    words = ("risk", "--patient", "PAT-4711", "--at", "2026-01-05", "--json")
    alone = condyle(node, *words)
    assert alone.returncode == 0, alone.stderr
    answer = json.loads(alone.stdout)
    assert answer["prediction"][0]["probabilityDecimal"] == 0.25
    assert journal(node, "run") == 1
    with node:
        assert ask(node).json() == answer
        assert json.loads(condyle(node, *words).stdout) == answer
        assert journal(node, "run") == 1
        text = condyle(node, "risk", "--patient", "PAT-4711", "--at", "2026-01-06")
        assert (text.returncode, text.stdout.splitlines()[0]) == (0, "A trial."), text.stderr
        assert [job.state for job in node.jobs()] == ["done", "done"]
        unknown = condyle(node, "risk", "--patient", "NOBODY")
        assert (unknown.returncode, unknown.stderr.strip()) == (
            1,
            "there is no record under that patient ID and issuer",
        )


def test_the_command_holds_to_the_limits_without_a_node_too(make: Make) -> None:
    node = make(settings={"behaviour": "hang"}, run={"time_limit_s": 2})
    bundle = node.folder / "bundle.json"
    bundle.write_text(json.dumps(BUNDLE))
    assert condyle(node, "record", str(bundle)).returncode == 0
    answer = condyle(node, "risk", "--patient", "PAT-4711")
    assert (answer.returncode, answer.stderr.strip()) == (1, "took longer than run.time_limit_s, 2 s")

    # what no node ever ran is deleted in its time all the same
    assert (clean_up(node), clean_up(node)) == (1, 0)
    assert list((node.folder / "data" / "jobs").iterdir()) == []


def test_the_command_tells_when_the_node_is_still_at_it(make: Make) -> None:
    with make(records={"answer_wait_s": 0.5}, settings={"run_s": 5.0}) as node:
        tell(node)
        answer = condyle(node, "risk", "--patient", "PAT-4711")
        assert answer.returncode == 4
        assert "The node is still at it" in answer.stderr


def test_two_commands_at_once_without_a_node_are_both_answered(make: Make) -> None:
    node = make(settings={"run_s": 2.0})
    bundle = node.folder / "bundle.json"
    bundle.write_text(json.dumps(BUNDLE))
    assert condyle(node, "record", str(bundle)).returncode == 0
    command = [sys.executable, "-m", "node", "risk", "--patient", "PAT-4711", "--json", "--config", str(node.config)]
    days = ("2026-01-05", "2026-01-06")
    asked = [subprocess.Popen([*command, "--at", day], stdout=subprocess.PIPE, text=True) for day in days]
    answers = [json.loads(one.communicate(timeout=200)[0]) for one in asked]
    assert [one.returncode for one in asked] == [0, 0]
    assert [answer["occurrenceDateTime"] for answer in answers] == list(days)
    assert journal(node, "run") == 2
