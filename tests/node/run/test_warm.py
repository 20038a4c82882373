"""The pipelines that a worker keeps in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.run.warm import KEEP_WARM, Warm

pytestmark = pytest.mark.usefixtures("trial_installed")


def test_pipelines_stay_warm_and_the_one_not_used_for_longest_goes(tmp_path: Path) -> None:
    journal, warm = tmp_path / "journal.txt", Warm()
    settings = {"journal": str(journal)}
    first, _ = warm.get("trial", settings).load()
    assert warm.get("trial", settings).load()[0] is first
    for number in range(KEEP_WARM):
        warm.get("trial", {**settings, "run_s": float(number + 1)})
    assert warm.get("trial", settings).load()[0] is not first
    assert journal.read_text().count("load ") == 2


def test_a_pipeline_is_loaded_when_it_is_needed(tmp_path: Path) -> None:
    journal = tmp_path / "journal.txt"
    kept = Warm().get("trial", {"journal": str(journal)})
    assert kept.fresh().model.name == "trial"
    assert not journal.exists()
    kept.load()
    assert journal.read_text().startswith("load ")
