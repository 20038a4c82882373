"""Joints that are unlike the training data are not graded; a limb with too many of them is not graded at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.hand_foot_scoring import weights
from pipelines.hand_foot_scoring.centres import Centre
from pipelines.hand_foot_scoring.gate import FAMILIES, FAMILY_OF
from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.reading import LimbReading, Reader
from pipelines.hand_foot_scoring.scoring import NotScored, Reason, Scored
from pipelines.hand_foot_scoring.simulation.sample import film_of
from pipelines.hand_foot_scoring.sites import CLASS_OF, HAND_SITES, REACH_MM
from pipelines.hand_foot_scoring.windows import Pyramid, Window


@pytest.fixture(scope="module")
def trained(networks: None) -> weights.Trained:
    return weights.load()


def read(trained: weights.Trained, limits: dict[str, float]) -> LimbReading:
    """A simulated healthy hand, read where its sites are known to be, with other limits of the gate."""
    film = film_of("hand", "L", 11, severity=0)
    limb = Limb(
        "hand",
        "L",
        0,
        Window(np.eye(2, 3)),
        {name: Centre(point, 1.0) for name, point in film.sites.items()},
        film.sites,
        0.77 * film.image.shape[0],
        1.0,
        0.0,
        trained.shapes["hand"],
    )
    assert limb.length > 0.8 * REACH_MM["hand"] / film.pixel_mm
    gate = replace(trained.gate, limits=np.array([limits.get(name, 100.0) for name in FAMILIES]))
    return Reader(replace(trained, gate=gate)).read_limb(Pyramid.of(film.image), limb)


def test_a_joint_beyond_the_limit_of_its_family_is_unlike_and_says_how_much(trained: weights.Trained) -> None:
    reading = read(trained, {"MCP": 0.01})
    assert not reading.unlike
    for cell, found in reading.cells.items():
        if FAMILIES[FAMILY_OF[CLASS_OF["hand", cell.site]]] == "MCP":
            assert isinstance(found, NotScored)
            assert found.reason is Reason.UNLIKE
            assert found.score == reading.foreign[cell.site] > 1
        else:
            assert isinstance(found, Scored)


def test_a_limb_most_of_whose_joints_are_unlike_is_not_graded_at_all(trained: weights.Trained) -> None:
    reading = read(trained, {"wrist": 0.01})
    assert sum(score > 1 for score in reading.foreign.values()) == 12 > len(HAND_SITES) / 2
    assert reading.unlike
    assert all(isinstance(r, NotScored) and r.reason is Reason.UNLIKE for r in reading.cells.values())
