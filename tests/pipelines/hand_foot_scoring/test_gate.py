"""The gate of the joints: distance from the known ones of a site, in the spread of its family."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.hand_foot_scoring.gate import FAMILIES, FAMILY_OF, Array, JointGate, family
from pipelines.hand_foot_scoring.sites import CLASS_OF, CLASSES
from pipelines.hand_foot_scoring.training.gate import FOREIGN_SHARE, fit_gate

FEATURES = 5


def known(seed: int, each: int = 60) -> tuple[Array, NDArray[np.int64]]:
    """Features of joints of every site: each site has its own mean, each family its own spread."""
    rng = np.random.default_rng(seed)
    sites = np.repeat(np.arange(1, CLASSES), each)
    spread = np.array([1.0, 2.0, 0.5, 3.0])[FAMILY_OF[sites]]
    return sites[:, None] * 0.3 + spread[:, None] * rng.normal(size=(len(sites), FEATURES)), sites


def fitted() -> JointGate:
    """A gate fitted on 60 joints of each site, its limits on 40 others."""
    return fit_gate(*known(0), *known(1, 40))


def test_every_site_belongs_to_one_family() -> None:
    assert {family(site) for site in range(1, CLASSES)} == set(FAMILIES)
    for part, name, expected in (
        ("foot", "IP1", "foot"),
        ("hand", "IP1", "PIP and IP"),
        ("hand", "MCP3", "MCP"),
        ("hand", "RADCARP", "wrist"),
    ):
        assert family(CLASS_OF[part, name]) == expected


def test_as_many_known_joints_count_as_foreign_as_they_may() -> None:
    gate = fitted()
    features, sites = known(2, 200)
    score = gate.score(gate.distance(features, sites), sites)
    assert 0 < (score > 1).mean() < 4 * FOREIGN_SHARE


def test_a_joint_far_off_is_foreign_and_one_of_another_site_is_farther_off_than_its_own() -> None:
    gate = fitted()
    features, sites = known(2)
    distance = gate.distance(features, sites)
    assert 0.8 < np.median(distance) < 1.2
    elsewhere = gate.distance(features + 20, sites)
    assert (gate.score(elsewhere, sites) > 1).all()
    assert (gate.p_value(elsewhere, sites) < 0.01).all()
    assert np.median(gate.p_value(distance, sites)) > 0.3


def test_a_gate_is_the_same_after_it_was_stored() -> None:
    gate = fitted()
    again = JointGate.of(gate.arrays())
    features, sites = known(3, 2)
    np.testing.assert_allclose(again.distance(features, sites), gate.distance(features, sites), rtol=1e-4)
