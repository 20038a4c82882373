"""Figures as by hand, and intervals over patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.joint_classification.evaluation.figures import figures


def test_figures_of_a_small_table_are_as_by_hand() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.2, 0.2, 0.6]])
    labels = np.array([0, 0, 1, 1, 2, 2])
    row = figures(p, labels)
    assert row["auroc_healthy"] == 1.0
    assert row["auroc_ra"] == 1.0  # 0.7 and 0.4 over all others
    assert row["accuracy"] == pytest.approx(5 / 6)
    assert row["recall"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert row["precision"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    # probability at least a half: healthy said of 3, rightly of 2; half a case added to every cell
    assert row["lr_healthy"] == pytest.approx((2.5 / 3) / (1.5 / 5))
    assert row["brier"] == pytest.approx(np.square(p - np.eye(3)[labels]).sum(1).mean())


def test_intervals_are_over_patients_not_over_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.joint_classification.evaluation.figures.BOOTSTRAPS", 40)
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(3, size=40), 10)
    p = np.repeat(rng.dirichlet((1, 1, 1), 40), 10, axis=0)

    def width(patients: Any) -> float:
        low, high = figures(p, labels, patients)["interval"]["accuracy"]
        return float(high - low)

    assert width(np.repeat(np.arange(40), 10)) > 2 * width(np.arange(400))
