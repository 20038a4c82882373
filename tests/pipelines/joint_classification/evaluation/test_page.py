"""The page of answered cases; the whole of it is written in `test_own`, `test_shipped` and `test_evaluate`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.joint_classification.classifier import Classification, load
from pipelines.joint_classification.evaluation.page import AnsweredCases, add_cases, add_worst
from pipelines.joint_classification.training.cases import simulated
from pipelines.lab.report_page import Report


def test_worst_cases_are_those_whose_class_was_given_least(tmp_path: Path) -> None:
    model = load(2)
    cohort = simulated(2, 8, 3)
    number = len(cohort)
    labels = np.arange(number) % 3
    p = np.full((number, 3), 0.1)
    p[np.arange(number), (labels + 1) % 3] = 0.8  # all of them wrong
    none = np.zeros(number)
    answers = Classification(p, np.zeros((number, 3, 2)), none, none, none + 0.5, np.zeros((number, 2)))
    report = Report(tmp_path, "a test")
    cases = AnsweredCases(tuple(f"{n}.png" for n in range(number)), labels, np.arange(number), answers)
    assert add_cases(report, cases, model)["accuracy"] == 0.0
    add_worst(report, cases, cohort.images, model)
    assert (tmp_path / "worst.png").is_file()
    assert (tmp_path / "worst_attention.png").is_file()


def test_cases_of_two_classes_have_no_roc_of_the_third(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 2
    p = rng.dirichlet((1, 1, 1), 20)
    none = np.zeros(20)
    answers = Classification(p, np.zeros((20, 3, 2)), none, none, none + 0.5, np.zeros((20, 2)))
    report = Report(tmp_path, "a test")
    found = add_cases(report, AnsweredCases(("",) * 20, labels, np.arange(20), answers), load(2))
    assert "auroc_psa" not in found
    assert not (tmp_path / "roc_psa.png").exists()
    assert (tmp_path / "roc_ra.png").is_file()
