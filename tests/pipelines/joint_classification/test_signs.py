"""The signs of gout and of a closed joint space: strong where they are, weak in the three classes."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.joint_classification import signs
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.prepare import prepare
from pipelines.joint_classification.simulation import ultrasound, unknown_ultrasound
from pipelines.joint_classification.simulation.unknown_ultrasound import UnknownKind


def measured(images: list[np.ndarray]) -> np.ndarray:
    return signs.measure(np.stack([prepare(image)[None] for image in images]))


@pytest.fixture(scope="module")
def known() -> np.ndarray:
    rng = np.random.default_rng(31)
    return measured([ultrasound.simulate(rng, CLASSES[number % 3], 0).image for number in range(60)])


@pytest.mark.parametrize(("kind", "sign"), [("gout", 0), ("osteoarthritis", 1)])
def test_a_sign_is_stronger_in_its_disease_than_in_nearly_all_known_cases(
    known: np.ndarray, kind: UnknownKind, sign: int
) -> None:
    rng = np.random.default_rng(32)
    found = measured([unknown_ultrasound.simulate_unknown(rng, kind, 0).image for _ in range(20)])[sign]
    assert np.median(found) > known[sign].max()
    assert (found > np.quantile(known[sign], 0.95)).mean() > 0.8


def test_signs_do_not_depend_on_gain_and_brightness() -> None:
    image = ultrasound.simulate(np.random.default_rng(4), "psa", 0, 0.5).image
    np.testing.assert_allclose(measured([image]), measured([0.5 * image + 0.2]), atol=1e-3)


def test_the_bone_line_follows_the_bone_and_not_what_lies_over_it() -> None:
    rows, columns = 96, 160
    image = np.zeros((rows, columns), np.float32)
    bone = np.round(45 + 8 * np.sin(np.arange(columns) / 25)).astype(int)
    image[10:14] = 2.0  # skin
    image[14:60] = 0.8
    for column, row in enumerate(bone):
        image[row : row + 3, column] = 3.0
        image[row + 3 :, column] = 0.0  # its shadow
    assert np.abs(signs.bone_line(image) - bone - 1).max() <= 2


def test_volumes_have_no_signs() -> None:
    assert signs.measure(np.zeros((3, 1, 8, 8, 8), np.float32)).shape == (0, 3)
