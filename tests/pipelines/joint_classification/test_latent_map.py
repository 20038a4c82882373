"""The latent map: the same image at the same place, and its neighbours."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.joint_classification.latent_map import LatentMap
from pipelines.joint_classification.training.latent_map import fit_map, spread_out


@pytest.fixture(scope="module")
def cases() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 60)
    centres = rng.normal(size=(3, 12)) * 4
    return centres[labels] + rng.normal(size=(180, 12)), labels


@pytest.fixture(scope="module")
def made(cases: tuple[NDArray[np.float64], NDArray[np.int64]]) -> LatentMap:
    latent, labels = cases
    return fit_map(latent, labels, np.linspace(0, 1, 180), spread_out(labels, 90))


def test_the_classes_lie_apart_on_the_map(made: Any, cases: Any) -> None:
    latent, labels = cases
    positions = made.place(latent)
    centres = np.stack([positions[labels == c].mean(0) for c in range(3)])
    nearest = np.linalg.norm(positions[:, None] - centres[None], axis=2).argmin(1)
    assert (nearest == labels).mean() > 0.95


def test_a_case_does_not_move_when_others_come(made: Any, cases: Any) -> None:
    latent, _ = cases
    np.testing.assert_allclose(made.place(latent)[7], made.place(latent[7:8])[0])


def test_a_known_case_is_its_own_nearest_neighbour(made: Any, cases: Any) -> None:
    latent, labels = cases
    shipped = spread_out(labels, 90)
    order, distance = made.nearest(latent[shipped[40]], 3)
    assert order[0] == 40
    assert distance[0] == pytest.approx(0.0, abs=1e-9)
    assert (np.diff(distance) >= 0).all()


def test_distances_are_in_units_of_known_neighbours(made: Any) -> None:
    apart = np.linalg.norm(made.known[:, None] - made.known[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert np.median(apart.min(1)) / made.unit == pytest.approx(1.0)


def test_a_map_comes_back_from_its_arrays(made: Any, cases: Any) -> None:
    latent, _ = cases
    again = LatentMap.of(made.arrays())
    np.testing.assert_array_equal(again.place(latent), made.place(latent))
    np.testing.assert_array_equal(again.conditions, made.conditions)
