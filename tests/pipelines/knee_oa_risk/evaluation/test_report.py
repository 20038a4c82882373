"""Sections of the model card, from figures that are known; `test_evaluate` writes the whole card."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_oa_risk import PACKAGE
from pipelines.knee_oa_risk.evaluation import report as sections
from pipelines.knee_oa_risk.evaluation.parts import Part
from pipelines.knee_oa_risk.evaluation.report import MODEL, Report
from pipelines.knee_oa_risk.simulation.bayes import bayes_risk
from pipelines.knee_oa_risk.simulation.population import simulate


@pytest.fixture(scope="module")
def later() -> Part:
    return Part.of(simulate(1200, 8))


def rows(report: Report) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in report.lines if line.startswith("|")]


def test_a_table_is_markdown_with_an_empty_line_on_either_side() -> None:
    report = Report()
    report.table(["a", "b"], [["1", "2"]])
    assert report.lines == ["", "| a | b |", "|---|---|", "| 1 | 2 |", ""]


def test_a_model_that_is_as_good_as_can_be_meets_its_bars_and_one_that_knows_nothing_does_not(
    later: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "BOOTSTRAPS", 5)
    best = bayes_risk(later.people)
    chance = np.random.default_rng(0).uniform(0.05, 0.1, best.shape)
    others = {"age + sex": chance, "gradient boosting on code counts": chance, "Bayes-optimal": best}
    good, bad = Report(), Report()
    sections.bars_section(good, {MODEL: best} | others, later)
    sections.bars_section(bad, {MODEL: chance} | others, later)
    ways = [bar for bar in good.bars if "way from" in bar[0]]
    assert [(bar[1][:6], bar[2]) for bar in ways] == [("100.0%", True)] * 3
    assert not any(bar[2] for bar in bad.bars if "way from" in bar[0])
    assert sum(row[-1] == "**no**" for row in rows(bad)) == sum(not bar[2] for bar in bad.bars)


def test_reliability_counts_everybody_once(later: Part) -> None:
    report = Report()
    sections.reliability_section(report, bayes_risk(later.people), later)
    counted = sum(int(row[2]) for row in rows(report)[2:])
    assert counted == int((later.known(5)[1] > 0).sum())


def test_the_text_of_the_shipped_card_is_what_the_evaluation_writes() -> None:
    report = Report()
    sections.limits_section(report)
    sections.leaks_section(report, [])
    sections.designs_section(report, [])
    sections.records_section(report, [])
    card = (PACKAGE / "README.md").read_text(encoding="utf-8").splitlines()
    tables = [line for line in report.lines if line.startswith("|")]
    assert len(report.lines) > 40
    assert [line for line in report.lines if line not in card and line not in tables] == []


def test_women_and_men_of_the_subgroups_are_everybody(later: Part) -> None:
    report, best = Report(), bayes_risk(later.people)
    sections.subgroups_section(report, {MODEL: best, "Bayes-optimal": best}, later)
    people = {row[0]: int(row[1]) for row in rows(report)[2:]}
    assert people["women"] + people["men"] == len(later.people)
    assert sum(count for name, count in people.items() if "years" in name and "history" not in name) == 1200
