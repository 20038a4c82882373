"""The limits of the gate are those that the known joints keep to."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.gate import FAMILIES, FAMILY_OF
from pipelines.hand_foot_scoring.sites import CLASSES
from pipelines.hand_foot_scoring.training.gate import FOREIGN_SHARE, fit_gate


def test_each_family_has_the_limit_that_its_held_out_joints_exceed_as_often_as_they_may() -> None:
    rng = np.random.default_rng(0)
    sites = np.repeat(np.arange(1, CLASSES), 100)
    spread = np.array([1.0, 2.0, 0.5, 3.0])[FAMILY_OF[sites]][:, None]
    known, held_out = (sites[:, None] + spread * rng.normal(size=(len(sites), 4)) for _ in range(2))
    gate = fit_gate(known, sites, held_out, sites)
    beyond = gate.score(gate.distance(held_out, sites), sites) > 1
    for kind in range(len(FAMILIES)):
        assert abs(beyond[FAMILY_OF[sites] == kind].mean() - FOREIGN_SHARE) < 0.005
        assert (np.diff(gate.far[kind]) >= 0).all()
