"""Recalibration to a site, as a function and as a command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pipelines.knee_oa_risk.model import RiskCalibration
from pipelines.knee_oa_risk.simulation.bayes import bayes_risk
from pipelines.knee_oa_risk.simulation.population import simulate
from pipelines.knee_oa_risk.training import recalibrate, train


def test_recalibration_from_a_csv_brings_observed_and_expected_together(tmp_path: Path) -> None:
    people = simulate(6000, 8)
    odds = bayes_risk(people) / (1 - bayes_risk(people)) * 3.0  # a site that the model overrates
    told = odds / (1 + odds)
    with (tmp_path / "outcomes.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["risk_1y", "risk_3y", "risk_5y", "time_years", "event"])
        writer.writerows([*row, time, event] for row, time, event in zip(told, people.time, people.status, strict=True))
    assert train.main(["--recalibrate", str(tmp_path / "outcomes.csv"), "--output", str(tmp_path / "site")]) == 0
    output = tmp_path / "site" / "recalibration.json"
    site = RiskCalibration.read(output)
    assert site.source == "outcomes.csv"
    assert site.slope == pytest.approx([1.0, 1.0, 1.0], abs=0.12)
    assert site.apply(told).mean(axis=0) == pytest.approx(bayes_risk(people).mean(axis=0), rel=0.1)
    assert set(json.loads(output.read_text())) == {"intercept", "slope", "source"}


def test_recalibration_refuses_a_table_with_too_few_diagnoses(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("risk_1y,risk_3y,risk_5y,time_years,event\n" + "0.1,0.2,0.3,2.0,1\n" * 19)
    with pytest.raises(ValueError, match="needs at least 20 diagnoses"):
        recalibrate.recalibrate(path, tmp_path / "out.json", "few")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("risk_1y,risk_3y,risk_5y,time_years\n0.1,0.2,0.3,2.0\n", "row 2: no column event"),
        ("risk_1y,risk_3y,risk_5y,time_years,event\n0.1,0.2,,2.0,1\n", "row 2: risk_5y is no number"),
        ("risk_1y,risk_3y,risk_5y,time_years,event\n0.1,0.2,30,2.0,1\n", "a share from 0 to 1"),
        ("risk_1y,risk_3y,risk_5y,time_years,event\n0.1,0.2,0.3,nan,1\n", "years since the risk was given"),
        ("risk_1y,risk_3y,risk_5y,time_years,event\n0.1,0.2,0.3,1,3\n", "event should be 0, 1 or 2"),
        ("risk_1y,risk_3y,risk_5y,time_years,event\n", "needs at least 20 diagnoses"),
    ],
)
def test_recalibration_says_what_is_wrong_with_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert train.main(["--recalibrate", str(path), "--output", str(tmp_path / "out")]) == 1
    assert why in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
