"""Simulated crops: a grade only where a site has one and can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.hand_foot_scoring.crops import CROP, normalised
from pipelines.hand_foot_scoring.heads import STATES
from pipelines.hand_foot_scoring.simulation.crops import MARGIN, NONE, STORED, Crops, packed, simulated, together
from pipelines.hand_foot_scoring.sites import CLASS_OF, NO_EROSION, NO_NARROWING


def test_every_joint_of_a_patient_has_a_crop_and_the_grades_that_its_site_has() -> None:
    crops = simulated(3, 1, even=1, oddities=0, children=0)
    assert crops.images.shape == (len(crops), STORED, STORED)
    assert crops.floats(slice(0, 3)).shape == (3, 1, CROP, CROP)
    assert len(crops) == 2 * 22 + 2 * 6
    readable = crops.states == STATES.index("evaluable")
    names = {index: (part, name) for (part, name), index in CLASS_OF.items()}
    for site, erosion, narrowing, seen in zip(crops.sites, crops.erosion, crops.narrowing, readable, strict=True):
        part, name = names[int(site)]
        assert (erosion == NONE) == (not seen or name in NO_EROSION)
        assert (narrowing == NONE) == (not seen or name in NO_NARROWING[part])


def test_the_same_seed_gives_the_same_crops_and_another_gives_others() -> None:
    first, again, other = (simulated(seed, 1, even=0, sites_each=2) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


def test_a_crop_that_cannot_be_read_has_no_grade() -> None:
    crops = simulated(6, 2, even=1, oddities=1.0, children=0, sites_each=4)
    assert (crops.states != STATES.index("evaluable")).all()
    assert (crops.erosion == NONE).all()
    assert (crops.narrowing == NONE).all()


def test_crops_of_two_sources_are_joined_with_their_patients_apart(tmp_path: Path) -> None:
    first, second = (simulated(seed, 2, even=0, sites_each=1) for seed in (7, 8))
    joined = together((first, second))
    assert len(joined) == len(first) + len(second)
    assert sorted(np.unique(joined.patients)) == [0, 1, 2, 3]
    joined.save(tmp_path / "crops.npz")
    again = Crops.load(tmp_path / "crops.npz")
    np.testing.assert_array_equal(again.images, joined.images)
    np.testing.assert_array_equal(again.erosion, joined.erosion)


def test_bytes_hold_a_crop_but_for_gain_and_brightness() -> None:
    image = np.random.default_rng(0).normal(3.0, 0.2, (STORED, STORED)).astype(np.float32)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    np.testing.assert_allclose(normalised(packed(image)[inner]), normalised(image[inner]), atol=0.03)
