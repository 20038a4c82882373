"""Rings, implants, wires and plaster: bright where they lie, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.hand_foot_scoring.simulation.accessories import ring, wire, with_plaster, with_plates
from pipelines.hand_foot_scoring.simulation.skeleton import Plate

FILM = np.tile(np.linspace(0, 0.6, 120, dtype=np.float32), (160, 1))


def test_metal_lets_nothing_through_and_silicone_something() -> None:
    metal, silicone = (with_plates(FILM, [Plate((30.0, 40.0), (5.0, 3.0), 0.0, thick)], 0.5) for thick in (30.0, 3.0))
    assert metal[80, 60] == pytest.approx(1.15 * np.quantile(FILM[::4, ::4], 0.998), abs=0.01)
    assert FILM[80, 60] < silicone[80, 60] < metal[80, 60]
    np.testing.assert_array_equal(metal[:60], FILM[:60])


def test_a_ring_lies_across_the_finger_and_a_wire_along_its_line() -> None:
    rng = np.random.default_rng(0)
    round_finger = with_plates(FILM, [ring(np.array([30.0, 40.0]), np.array([0.0, -1.0]), 8.0, rng)], 0.5)
    changed = np.argwhere(round_finger != FILM)
    assert np.ptp(changed[:, 1]) > 2 * np.ptp(changed[:, 0])
    pinned = with_plates(FILM, [wire(np.array([10.0, 10.0]), np.array([10.0, 60.0]), rng)], 0.5)
    changed = np.argwhere(pinned != FILM)
    assert np.ptp(changed[:, 0]) > 90
    assert np.ptp(changed[:, 1]) < 8


def test_plaster_hides_a_band() -> None:
    out, angle = with_plaster(FILM, (60.0, 80.0), 20.0, np.random.default_rng(1))
    assert abs(angle) < 1
    assert abs(float(out[80, 60]) - float(FILM[80, 60])) > 0.05
    np.testing.assert_array_equal(out[:20], FILM[:20])
