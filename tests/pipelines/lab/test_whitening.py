"""Whitened features of known cases have unit covariance."""

from __future__ import annotations

import numpy as np

from pipelines.lab.whitening import whitening


def test_whitened_known_cases_have_unit_covariance() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(0, [3.0, 2.0, 1.0], (4000, 3)) @ np.array([[1.0, 0.3, 0], [0, 1.0, 0], [0, 0.2, 1.0]])
    mean, whiten = whitening(known)
    covariance = np.cov((known - mean) @ whiten, rowvar=False)
    np.testing.assert_allclose(covariance, np.eye(3), atol=0.1)  # the shrinkage leaves a little


def test_fewer_cases_than_features_still_give_a_whitening() -> None:
    mean, whiten = whitening(np.random.default_rng(1).normal(size=(10, 30)))
    assert mean.shape == (30,)
    assert np.isfinite(whiten).all()
