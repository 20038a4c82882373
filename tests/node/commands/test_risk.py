"""`condyle risk`: the command asks as others do, and gets the same answer with a node and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml

from node.commands.exit_codes import USAGE
from node.commands.risk import risk
from tests.node.patient_records.asking import Make, ask, clean_up, condyle, import_record, maker, runs
from tests.waiting import until


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    return maker(tmp_path, monkeypatch)


def test_the_command_answers_without_a_node_and_with_one_by_the_same_job(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    node = make()
    import_record(node)
    words = ("risk", "--patient", "PAT-4711", "--at", "2026-01-05", "--json")
    alone = condyle(node, *words)
    assert alone.returncode == 0, alone.stderr
    answer = json.loads(alone.stdout)
    assert answer["prediction"][0]["probabilityDecimal"] == 0.25
    assert runs(node) == 1
    with node:
        assert ask(node).json() == answer
        assert json.loads(condyle(node, *words).stdout) == answer
        assert runs(node) == 1

        # what takes longer than `records.answer_wait_s` is left to the node
        hold = node.folder / "hold"
        hold.touch()
        impatient = node.folder / "impatient.yaml"
        content = yaml.safe_load(node.config.read_text())
        content["records"]["answer_wait_s"] = 0.5
        impatient.write_text(yaml.safe_dump(content))
        early = condyle(node, "risk", "--patient", "PAT-4711", "--at", "2026-01-06", config=impatient)
        assert early.returncode == 4
        assert "The node is still at it" in early.stderr
        hold.unlink()
        text = condyle(node, "risk", "--patient", "PAT-4711", "--at", "2026-01-07")
        assert (text.returncode, text.stdout.splitlines()[0]) == (0, "A trial."), text.stderr
        assert [job.state for job in node.ended_jobs(3)] == ["done"] * 3

        assert risk("NOBODY", node.config) == 1
        assert capsys.readouterr().err.strip() == "there is no record under that patient ID and issuer"


def test_the_command_holds_to_the_limits_without_a_node_too(make: Make) -> None:
    node = make(settings={"behaviour": "hang"}, run={"time_limit_s": 2})
    import_record(node)
    answer = condyle(node, "risk", "--patient", "PAT-4711")
    assert (answer.returncode, answer.stderr.strip()) == (1, "took longer than run.time_limit_s, 2 s")

    # what no node ever ran is deleted in its time all the same
    assert (clean_up(node), clean_up(node)) == (1, 0)
    assert list((node.folder / "data" / "jobs").iterdir()) == []


def test_two_commands_at_once_without_a_node_are_both_answered(make: Make) -> None:
    node = make()
    import_record(node)
    hold = node.folder / "hold"
    hold.touch()
    command = [sys.executable, "-m", "node", "risk", "--patient", "PAT-4711", "--json", "--config", str(node.config)]
    days = ("2026-01-05", "2026-01-06")
    asked = [subprocess.Popen([*command, "--at", day], stdout=subprocess.PIPE, text=True) for day in days]
    jobs = node.folder / "data" / "jobs"
    try:
        until(lambda: len(list(jobs.glob("*"))) == 2, "both have asked, one of them while the other runs its job")
        hold.unlink()
        answers = [json.loads(one.communicate(timeout=200)[0]) for one in asked]
    finally:
        for one in asked:
            with one:
                one.kill()
    assert [one.returncode for one in asked] == [0, 0]
    assert [answer["occurrenceDateTime"] for answer in answers] == list(days)
    assert [runs(node, day) for day in days] == [1, 1]


@pytest.mark.parametrize(
    ("day", "why"),
    [
        (date(2999, 1, 1), "'2999-01-01': lies ahead; should be today or an earlier day"),
        (date(1, 1, 1), "'0001-01-01': is before every record; should be 1900-01-01 or a later day"),
    ],
)
def test_a_day_for_which_no_risk_can_be_asked_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], day: date, why: str
) -> None:
    assert risk("P-1", tmp_path / "none.yaml", day=day) == USAGE
    assert capsys.readouterr().err.strip() == f"--at: {why}"
