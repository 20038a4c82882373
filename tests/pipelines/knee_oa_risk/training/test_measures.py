"""Measures under censoring, against plain formulas and against the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from pipelines.knee_oa_risk.training import measures


@pytest.fixture
def plain(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    risk = rng.beta(1, 5, 800).round(2)  # with ties
    return risk, rng.random(800) < risk, np.ones(800)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_without_censoring_the_measures_are_the_usual_ones(plain: Any) -> None:
    risk, case, weight = plain
    assert measures.auroc(risk, case, weight) == pytest.approx(roc_auc_score(case, risk))
    untied = risk + np.arange(800) * 1e-7
    assert measures.auprc(untied, case, weight) == pytest.approx(average_precision_score(case, untied))
    assert measures.brier(risk, case, weight) == pytest.approx(((risk - case) ** 2).mean())


def test_censoring_weights_bring_back_what_was_lost(rng: Any) -> None:
    n, horizon = 40_000, 3.0
    event = rng.exponential(6.0, n)
    left = rng.exponential(5.0, n)
    time, status = np.minimum(event, left), (event <= left).astype(int)
    weight, case = measures.censoring_weights(time, status, horizon)
    truth = 1 - np.exp(-horizon / 6.0)
    naive = case.mean()
    assert np.average(case, weights=weight) == pytest.approx(truth, abs=0.01)
    assert abs(naive - truth) > 0.05
    assert weight[(status == 0) & (time < horizon)].max() == 0.0


def test_who_died_before_the_horizon_is_no_case_and_counts() -> None:
    time, status = np.array([1.0, 1.0, 9.0]), np.array([2, 1, 0])
    weight, case = measures.censoring_weights(time, status, 3.0)
    assert case.tolist() == [False, True, False]
    assert (weight > 0).all()


def test_calibration_finds_the_distortion_that_was_put_in(rng: Any) -> None:
    true = rng.beta(1, 4, 60_000)
    case = rng.random(60_000) < true
    logit = np.log(true / (1 - true))
    told = 1 / (1 + np.exp(-(0.5 + 2.0 * logit)))  # too extreme, and shifted
    intercept, slope = measures.calibration_fit(told, case, np.ones(60_000))
    assert slope == pytest.approx(0.5, abs=0.02)  # logit = (told - 0.5) / 2
    assert intercept == pytest.approx(-0.25, abs=0.03)


def test_net_benefit_of_acting_on_everybody_is_what_vickers_says(plain: Any) -> None:
    _, case, weight = plain
    p, t = case.mean(), 0.1
    assert measures.net_benefit(np.ones(800), case, weight, t) == pytest.approx(p - (1 - p) * t / (1 - t))
    assert measures.net_benefit(np.zeros(800), case, weight, t) == 0.0


def test_reliability_counts_everybody_once(plain: Any) -> None:
    risk, case, weight = plain
    rows = measures.reliability(risk, case, weight)
    assert sum(n for _, _, n in rows) == 800
    assert [mean for mean, _, _ in rows] == sorted(mean for mean, _, _ in rows)
