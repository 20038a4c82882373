"""What the rows of the folds rest on."""

from __future__ import annotations

import numpy as np

from pipelines.joint_classification.evaluation import folds
from pipelines.joint_classification.evaluation.figures import figures
from pipelines.joint_classification.training.cohort import Cohort


def test_age_and_sex_alone_find_an_age_gap_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=600)
    ages = np.where(labels == 0, 30.0, 60.0) + rng.normal(0, 8, 600)
    none = np.zeros((600, 1, 2, 2), np.float32)
    made = Cohort(
        none, labels, np.arange(600), ages, rng.integers(2, size=600).astype(np.float64), ages, none[:, 0] > 0
    )
    predict, _ = folds._methods(2)["age and sex"]
    row = figures(predict(made.take(np.arange(400)), made.take(np.arange(400, 600)), 0), labels[400:])
    assert row["auroc_healthy"] > 0.95
    assert row["auroc_ra"] < 0.85
