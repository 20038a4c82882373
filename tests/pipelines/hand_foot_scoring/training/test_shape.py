"""The shape model finds an arrangement among wrong peaks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipelines.hand_foot_scoring import shape
from pipelines.hand_foot_scoring.simulation.foot import foot
from pipelines.hand_foot_scoring.simulation.hand import hand
from pipelines.hand_foot_scoring.simulation.severe import severe_hand
from pipelines.hand_foot_scoring.simulation.skeleton import Skeleton
from pipelines.hand_foot_scoring.sites import HAND_SITES, SITES, Part
from pipelines.hand_foot_scoring.training import shape as shape_training


@pytest.fixture(scope="module")
def model() -> shape.ShapeModel:
    return shape_training.build("hand", seed=0, count=300)


def test_the_modes_describe_hands_that_the_model_has_not_seen(model: shape.ShapeModel) -> None:
    skeleton = hand(np.random.default_rng(12345), odd=False)
    sites = np.array([skeleton.sites[name] for name in HAND_SITES]) / skeleton.scale
    upright = shape.align(sites, model.mean, np.ones(22)).apply(sites)
    rebuilt = model.shape(model.weights(upright, np.ones(22), noise=0.5))
    assert np.abs(rebuilt - upright).max() < 4  # mm; the mean hand is up to 20 mm away
    assert np.sqrt(((rebuilt - upright) ** 2).mean()) < 1.2


@pytest.mark.parametrize(("part", "draw"), [("hand", hand), ("foot", foot)])
def test_a_mm_of_the_model_is_a_mm_of_a_mean_adult(
    model: shape.ShapeModel, part: Part, draw: Callable[..., Skeleton]
) -> None:
    model = model if part == "hand" else shape_training.build(part, seed=0, count=200)
    scales = []
    for seed in range(40):
        skeleton = draw(np.random.default_rng((seed, 8)), odd=False)
        sites = np.array([skeleton.sites[name] for name in SITES[part]])
        scales.append(shape.align(model.mean, sites, np.ones(len(sites))).scale / skeleton.scale)
    assert np.mean(scales) == pytest.approx(1, abs=0.02)  # the crops of the joints are cut by it


def test_wrong_peaks_are_outvoted(model: shape.ShapeModel) -> None:
    rng = np.random.default_rng(3)
    skeleton = hand(np.random.default_rng(99), odd=False)
    true = np.array([skeleton.sites[name] for name in HAND_SITES])
    true = shape.Similarity(0.6, 0.3, (50.0, 90.0)).apply(true)
    points = np.repeat(true[:, None], 3, axis=1) + rng.normal(0, 0.5, (22, 3, 2))
    scores = np.tile([0.8, 0.0, 0.0], (22, 1))
    index = {name: n for n, name in enumerate(HAND_SITES)}
    # the network takes each finger's PIP for its neighbour's with more confidence than for itself
    for one, two in (("PIP2", "PIP3"), ("PIP4", "PIP5")):
        points[index[one], 1], points[index[one], 0] = points[index[one], 0], true[index[two]]
        scores[index[one], :2] = (0.9, 0.4)
    scores[index["LUN"]] = 0
    found = shape.fit(model, shape.Candidates(points, scores), np.random.default_rng(0))
    assert found is not None
    distance = np.hypot(*(found.sites - true).T)
    assert distance[index["PIP2"]] < 4  # pixels; the neighbour is 12 away
    assert distance[index["LUN"]] < 3
    assert np.median(distance) < 1.5


def test_the_joints_of_a_severely_deformed_hand_support_an_arrangement(model: shape.ShapeModel) -> None:
    qualities = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        skeleton = severe_hand(hand(rng, odd=False), rng)
        true = np.array([skeleton.sites[name] for name in HAND_SITES])
        points = np.repeat(shape.Similarity(0.6, 0.3, (50.0, 90.0)).apply(true)[:, None], 3, axis=1)
        found = shape.fit(model, shape.Candidates(points, np.tile([0.9, 0.0, 0.0], (22, 1))), rng)
        assert found is not None
        qualities.append(found.quality)
    assert np.median(qualities) > 0.55  # a hand is read from 0.38 on
    assert min(qualities) > 0.38


def test_too_few_peaks_give_no_arrangement(model: shape.ShapeModel) -> None:
    points, scores = np.zeros((22, 3, 2)), np.zeros((22, 3))
    scores[:3, 0] = 0.9
    assert shape.fit(model, shape.Candidates(points, scores), np.random.default_rng(0)) is None


def test_a_model_survives_being_stored(model: shape.ShapeModel, tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "shape.npz"
    shape_training.save((model,), path)
    with np.load(path) as stored:
        np.testing.assert_allclose(stored["hand.mean"], model.mean, atol=1e-4)
        assert stored["hand.modes"].shape == (len(model.spread), 44)
