"""Simulated knees: the same for the same seed, with contrasts that follow from the physics."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.knee_super_resolution.simulation.thin_volumes import (
    TISSUES,
    acquire,
    dess_echoes,
    simulate_clutter,
    simulate_knee,
    spin_echo,
)

SHAPE = (40, 48, 44)


def test_the_same_seed_gives_the_same_knee() -> None:
    first, second = (simulate_knee(5, SHAPE, 1.4) for _ in range(2))
    assert np.array_equal(first.array, second.array)
    assert not np.array_equal(first.array, simulate_knee(6, SHAPE, 1.4).array)


def test_fluid_outshines_muscle_in_t2_and_the_cortex_is_dark() -> None:
    knee = simulate_knee(1, (48, 64, 64), 1.4, contrast="t2")
    names = list(TISSUES)

    def level(tissue: str) -> float:
        return float(np.median(knee.array[knee.labels == names.index(tissue)]))

    assert level("fluid") > 2 * level("muscle") > 2 * level("cortex")


def test_lesions_are_thinner_than_a_thick_slice() -> None:
    from scipy.ndimage import find_objects, label

    knee = simulate_knee(0, (64, 64, 64), 0.7)
    labelled, count = label(knee.lesions)
    assert count > 0
    extents_mm = [(box[0].stop - box[0].start) * 0.7 for box in find_objects(labelled)]
    assert np.median(extents_mm) <= 4.0


def test_a_spin_echo_halves_where_theory_says() -> None:
    one = spin_echo(np.array([1.0]), np.array([1000.0]), np.array([50.0]), 1e9, 50 * np.log(2))
    assert one[0] == pytest.approx(0.5)


def test_the_dess_formula_agrees_with_a_bloch_simulation() -> None:
    t1, t2, repetition, flip = 1200.0, 40.0, 20.0, 30.0
    plus, minus = dess_echoes(np.array([t1]), np.array([t2]), repetition, 0.0, flip)
    angle = np.deg2rad(flip)
    about_x = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    decay = np.diag([np.exp(-repetition / t2)] * 2 + [np.exp(-repetition / t1)])
    recovery = np.array([0, 0, 1 - np.exp(-repetition / t1)])
    after, before = [], []
    for phase in np.linspace(0, 2 * np.pi, 400, endpoint=False):  # a spoiler turns spins of one voxel by every phase
        turn = np.array([[np.cos(phase), -np.sin(phase), 0], [np.sin(phase), np.cos(phase), 0], [0, 0, 1]])
        # steady state just after the pulse: M = R (decay turn M + recovery)
        steady = np.linalg.solve(np.eye(3) - about_x @ decay @ turn, about_x @ recovery)
        after.append(steady)
        before.append(decay @ turn @ steady)
    fid = np.mean(after, axis=0)
    echo = np.mean(before, axis=0)
    assert plus[0] == pytest.approx(np.hypot(fid[0], fid[1]), rel=1e-3)
    assert minus[0] == pytest.approx(np.hypot(echo[0], echo[1]), rel=1e-3)


def test_acquired_air_holds_the_noise_that_was_asked_for() -> None:
    air = acquire(np.zeros((32, 32, 32), np.float32), 0.02, np.random.default_rng(0))
    assert float(np.sqrt((air**2).mean() / 2)) == pytest.approx(0.02, rel=0.02)


def test_clutter_fills_the_grey_scale() -> None:
    clutter = simulate_clutter(3, (48, 48, 48), leaves=150)
    low, high = np.percentile(clutter, (2, 98))
    assert high - low > 0.4
