"""Evaluation as a command, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.knee_oa_risk.evaluation import evaluate
from tests.pipelines.conftest import Refused


def test_evaluation_measures_everything_and_says_which_bars_were_missed(bundle: Any, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    arguments = ["--bundle", str(bundle), "--persons", "1000", "--train-persons", "1000", "--epochs", "1"]
    code = evaluate.main([*arguments, "--threads", "1", "--card", str(card), "--designs", "1000"])
    text = card.read_text()
    assert code == 1  # two networks of one epoch cannot meet the bars, and the exit code says so
    assert "**no**" in text
    for part in ("simulated people", "Bayes-optimal", "gradient boosting", "without the CNN", "without the ANN"):
        assert part in text
    for heading in ("Reliability", "Decision curve", "Subgroups", "Intervals", "Leaking codes", "Designs", "Bars"):
        assert f"### {heading}" in text
    assert "These figures contradict each other" in text
    # the published figures stand in a table of their own, in no row with ours
    assert not any("0.97" in line and "network" in line for line in text.splitlines())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--bundle", "none"], "--bundle: none: there is no such folder"),
        (["--foreign", "none"], "--foreign: none: there is no such file or folder"),
        (["--keep", "file"], "file: is a file, should be a folder"),
        (["--card", "none/card.md"], "none/card.md: there is no folder none"),
    ],
)
def test_files_and_folders_that_cannot_be_used_are_said_before_anything_is_measured(
    options: list[str], why: str, refused: Refused
) -> None:
    assert why in refused(evaluate.main, options)
