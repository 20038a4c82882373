"""Log odds and back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from pipelines.knee_oa_risk.odds import FLOOR, expit, logit


def test_both_agree_with_scipy_to_rounding() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 4, 1000)
    assert expit(x) == pytest.approx(special.expit(x), rel=1e-14)
    assert logit(special.expit(x)) == pytest.approx(np.clip(x, *special.logit([FLOOR, 1 - FLOOR])), abs=1e-9)


def test_certainty_has_finite_log_odds() -> None:
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()
