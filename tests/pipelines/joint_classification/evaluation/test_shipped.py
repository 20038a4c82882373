"""The shipped model on a few new patients: every figure of the card is there, and plausible."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.evaluation.figures import Measured
from pipelines.joint_classification.evaluation.page import simulated_page
from pipelines.joint_classification.evaluation.shipped import refusals, shipped


@pytest.fixture(scope="module")
def row() -> Measured:
    """The figures of the shipped model on 24 patients."""
    return shipped(2, load(2), patients=24)


def test_a_few_new_patients_are_mostly_told_apart(row: Measured) -> None:
    assert row["figures"]["auroc_macro"] > 0.8
    low, high = row["figures"]["interval"]["auroc_macro"]
    assert low <= row["figures"]["auroc_macro"] <= high
    assert row["screened"]["cases"] > 0
    assert sum(count for *_, count in row["reliability"]) == row["cases"]
    assert 0.5 < row["repeats"]["coverage"] <= 1
    assert sum(row["refused"].values()) < 0.3


def test_the_page_of_simulated_patients_says_that_they_are(row: Measured, tmp_path: Path) -> None:
    text = simulated_page(tmp_path, 2, load(2), {"shipped": row}).read_text()
    assert "All figures are of simulated patients, and none is clinical" in text
    assert f"{row['figures']['auroc_macro']:.3f}" in text


def test_what_is_foreign_is_not_refused_a_second_time_as_uncertain() -> None:
    model = load(2)
    foreign, limit = model.card.foreign_p / 2, model.card.entropy_limit
    row = refusals(model, np.array([foreign, foreign, 0.5, 0.5]), np.array([1.0, 0.0, limit + 0.01, 0.0]))
    assert row == {"foreign": 0.5, "uncertain": 0.25}
