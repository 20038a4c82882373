"""Measuring a model on a site's own records."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.knee_oa_risk import BUNDLE
from pipelines.knee_oa_risk.evaluation import evaluate, own_records
from pipelines.knee_oa_risk.model import Ensemble
from pipelines.knee_oa_risk.training import register, train
from pipelines.knee_oa_risk.training.register import Register
from pipelines.knee_oa_risk.window import HORIZONS


@pytest.fixture(scope="module")
def people(site: Any) -> Register:
    found = register.gather(register.read_folders([site[0]])).register
    assert found is not None
    return found


def test_a_risk_that_knows_the_outcome_is_perfect_and_one_that_knows_nothing_is_chance(people: Register) -> None:
    knows = np.stack([(people.status == 1) & (people.time <= horizon) for horizon in HORIZONS], axis=1)
    blind = np.full((len(people), len(HORIZONS)), 0.3)
    perfect, chance = (own_records.measured(risk.astype(float), people, draws=20) for risk in (knows, blind))
    for best, worst in zip(perfect, chance, strict=True):
        assert best.cases == int(((people.status == 1) & (people.time <= best.horizon)).sum())
        assert best.values["AUROC"] == (1.0, 1.0, 1.0)
        assert best.values["Brier score"][0] == 0.0
        assert worst.values["AUROC"] == (0.5, 0.5, 0.5)
        low, high = worst.values["observed over expected"][1:]
        assert low < worst.values["observed over expected"][0] < high


def test_too_few_people_give_no_figure(people: Register) -> None:
    few = people.take(np.flatnonzero(people.person < 8))
    assert not any(one.values for one in own_records.measured(np.full((len(few), 3), 0.2), few, draws=5))


def test_the_shipped_model_is_measured_on_everybody_and_a_page_says_so(
    site: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = site[0]
    assert evaluate.main(["--data", str(folder), "--layout", "omop", "--report", str(tmp_path / "page")]) == 0
    said = capsys.readouterr().err
    assert "all 200 people; the model was trained on other simulated people" in said
    page = (tmp_path / "page" / "report.html").read_text()
    assert "Decision curve, 3 years" in page or "Net benefit of acting on the risk within 3 years" in page
    assert {path.name for path in (tmp_path / "page").glob("*.png")} >= {"roc-3y.png", "reliability-3y.png"}
    assert "1 year" in (tmp_path / "page" / "figures.csv").read_text()


def test_a_model_is_measured_on_those_it_did_not_learn_from_where_the_records_are_its_own(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "DIAGNOSED_TO_TRAIN", 50)
    monkeypatch.setattr(train, "CASES_TO_CALIBRATE", 5)
    monkeypatch.setattr(evaluate, "evaluate_records", partial(own_records.evaluate_records, draws=10))
    folder, own = site[0], tmp_path / "own"
    assert train.main(["--data", str(folder), "--output", str(own), "--members", "1", "--epochs", "1"]) == 0
    assert Ensemble.load(own).description.data_sha256
    capsys.readouterr()
    assert evaluate.main(["--data", str(folder), "--bundle", str(own), "--report", str(tmp_path / "page")]) == 0
    assert "30 people whom the model did not learn from, of the 200 it was made of" in capsys.readouterr().err
    (folder / "NOTES.csv").write_text("one more file\n")
    try:
        assert evaluate.main(["--data", str(folder), "--bundle", str(own), "--report", str(tmp_path / "other")]) == 0
    finally:
        (folder / "NOTES.csv").unlink()
    assert "whether some of these people are among them is not known" in capsys.readouterr().err


def test_records_that_nobody_can_be_used_of_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.json").write_text('{"resourceType": "Bundle", "entry": []}')
    arguments = ["--data", str(tmp_path), "--bundle", str(BUNDLE), "--report", str(tmp_path / "page")]
    assert evaluate.main(arguments) == 1
    assert "nobody in these records can be used" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()
