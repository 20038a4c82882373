"""What is fitted to a trained network, and the bundle that is written: what went in comes out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.bundle_configs import METADATA
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.classifier import Classifier, load
from pipelines.joint_classification.kinds import BUNDLE, KINDS, READ, WEIGHTS, Dimensions, digest
from pipelines.joint_classification.simulation import metacarpal, ultrasound
from pipelines.joint_classification.training.cases import TrainingCases, disturbances, simulated
from pipelines.joint_classification.training.finish import finish, write_bundle
from tests.pipelines.bundle_checks import verify


@pytest.fixture(scope="module")
def cases() -> TrainingCases:
    known = simulated(2, 1, 12)
    foreign = disturbances(2, known, 3)
    return TrainingCases(known, foreign, simulated(2, 3, 25), None, "some pictures", "for a test", "12", {"cases": 9})


def test_a_network_gets_limits_that_known_cases_keep_and_the_rest_of_its_card(cases: TrainingCases) -> None:
    made = finish(load(2).network, cases, {"steps": 3})
    said = made.judge(cases.held_out.images)
    assert (said.p_value < made.card.foreign_p).mean() <= 0.05
    assert (said.entropy > made.card.entropy_limit).mean() <= 0.05
    assert made.card.training == {"cases": 9, "steps": 3}
    assert made.trained_on == "trained on some pictures; for a test"
    assert set(made.likelihood_ratios) == set(CLASSES)
    assert made.heat_method == "HiResCAM"


def of(dimensions: Dimensions) -> tuple[Classifier, NDArray[np.float32]]:
    rng = np.random.default_rng(2)
    if dimensions == 2:
        return load(2), np.stack([ultrasound.simulate(rng, name, 0, 0.9).image for name in CLASSES])
    return load(3), metacarpal.simulate(rng, "ra", 0, 0.9, motion=1, step=2).image[None]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_model_comes_back_from_its_bundle_as_it_was(dimensions: Dimensions, tmp_path: Path) -> None:
    model, images = of(dimensions)
    model.card = replace(model.card, foreign_p=0.01, inputs="mask" if dimensions == 3 else "grey")
    bundle = write_bundle(model, tmp_path, "a few cases", "a test", "34")
    again = load(dimensions, tmp_path)
    assert again.card == replace(model.card, trained_on="trained on a few cases; a test")
    one, other = again.classify(images), model.classify(images)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    np.testing.assert_allclose(one.p_value, other.p_value, atol=1e-6)
    np.testing.assert_allclose(one.position, other.position, atol=1e-6)
    assert digest(tmp_path) != digest()
    assert all((bundle / name).is_file() for name in READ)
    metadata = json.loads((bundle / METADATA).read_text())
    assert (metadata["data_source"], metadata["intended_use"]) == ("a few cases", "a test")
    assert metadata["training_data_sha256"] == "34"
    verify(bundle, tmp_path)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_shipped_weights_are_written_as_they_are(dimensions: Dimensions, tmp_path: Path) -> None:
    write_bundle(load(dimensions), tmp_path, "", "", "")
    shipped = BUNDLE / KINDS[dimensions] / WEIGHTS
    assert (tmp_path / KINDS[dimensions] / WEIGHTS).read_bytes() == shipped.read_bytes()
