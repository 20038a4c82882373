"""The trained model: what it answers, when it abstains, and that its bundle holds all of it."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle_configs import UnusableBundle
from pipelines.joint_classification import classifier as module
from pipelines.joint_classification.classes import CLASSES
from pipelines.joint_classification.classifier import Classification, Classifier, load
from pipelines.joint_classification.kinds import BUNDLE, KINDS
from pipelines.joint_classification.simulation import metacarpal, ultrasound, unknown_ultrasound
from pipelines.joint_classification.simulation.unknown_ultrasound import UnknownKind


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return load(2)


@pytest.fixture(scope="module")
def joints() -> NDArray[np.float32]:
    """Severe cases, five of each class."""
    rng = np.random.default_rng(77)
    return np.stack([ultrasound.simulate(rng, name, 0, 0.9).image for name in CLASSES for _ in range(5)])


def test_severe_cases_are_told_apart(shipped: Classifier, joints: NDArray[np.float32]) -> None:
    said = shipped.classify(joints)
    right = said.probabilities.argmax(1) == np.repeat(np.arange(3), 5)
    assert right.mean() >= 0.8
    np.testing.assert_allclose(said.probabilities.sum(1), 1.0)
    assert (said.intervals[..., 0] <= said.probabilities).all()
    assert (said.intervals[..., 1] >= said.probabilities).all()
    assert (said.p_value > shipped.card.foreign_p).mean() >= 0.8


def test_gain_and_size_of_the_picture_change_nothing(shipped: Classifier, joints: NDArray[np.float32]) -> None:
    first = shipped.classify(joints[:3])
    brighter = shipped.classify(0.3 + 0.5 * joints[:3])
    np.testing.assert_allclose(brighter.probabilities, first.probabilities, atol=1e-3)


@pytest.mark.parametrize("kind", ["noise", "inverted", "muscle", "vessel", "blank", "tendon"])
def test_what_is_no_joint_is_undetermined_with_the_figures_behind_it(shipped: Classifier, kind: UnknownKind) -> None:
    image = unknown_ultrasound.simulate_unknown(np.random.default_rng(4), kind, 0).image
    verdict = shipped.verdict(shipped.classify(image[None]))
    assert not verdict.determined
    assert verdict.reason == "foreign"
    assert "of known cases lie as far off" in verdict.sentence
    assert "%" in verdict.sentence


def test_a_case_like_several_classes_is_uncertain_and_says_which(shipped: Classifier) -> None:
    third = Classification(
        np.full((1, 3), 1 / 3), np.zeros((1, 3, 2)), np.ones(1), np.zeros(1), np.full(1, 0.5), np.zeros((1, 2))
    )
    verdict = shipped.verdict(third)
    assert (verdict.determined, verdict.reason) == (False, "uncertain")
    assert "psoriatic arthritis 33 %" in verdict.sentence


def test_a_clear_case_is_determined_and_needs_no_sentence(shipped: Classifier) -> None:
    p = np.array([[0.02, 0.95, 0.03]])
    clear = Classification(p, np.zeros((1, 3, 2)), np.full(1, 0.2), np.zeros(1), np.full(1, 0.5), np.zeros((1, 2)))
    assert shipped.verdict(clear) == module.JointVerdict(True, "", "")


def test_frames_of_one_joint_vote_by_their_weight(shipped: Classifier, joints: NDArray[np.float32]) -> None:
    said = shipped.classify(joints[4:7])
    alone = shipped.combine(said, np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(alone.probabilities[0], said.probabilities[1], atol=1e-9)
    np.testing.assert_allclose(alone.intervals[0], said.intervals[1], atol=1e-9)
    both = shipped.combine(said, np.array([0.0, 1.0, 1.0]))
    np.testing.assert_allclose(both.probabilities[0], said.probabilities[1:].mean(0))
    assert len(both) == 1


def test_frames_that_agree_make_the_interval_narrower_and_frames_that_do_not_wider(shipped: Classifier) -> None:
    def frames(*p: list[float]) -> Classification:
        rows = np.array(p)
        n = len(rows)
        return Classification(
            rows, shipped.calibration.intervals(rows), np.ones(n), np.ones(n), np.ones(n), np.zeros((n, 2))
        )

    def width(said: Any) -> float:
        joined = shipped.combine(said, np.ones(len(said)))
        return float(joined.intervals[0, 1, 1] - joined.intervals[0, 1, 0])

    one = width(frames([0.2, 0.6, 0.2]))
    assert width(frames(*[[0.2, 0.6, 0.2]] * 4)) < one
    far_apart = [[0.02, 0.96, 0.02], [0.9, 0.05, 0.05]]
    assert width(frames(*far_apart)) > one


def test_a_few_foreign_frames_do_not_make_a_cine_foreign(shipped: Classifier, joints: NDArray[np.float32]) -> None:
    noise = np.random.default_rng(0).random((2, *joints.shape[1:])).astype(np.float32)
    said = shipped.classify(np.concatenate([joints[5:10], noise]))
    usual = np.median(said.p_value[:5])
    assert shipped.combine(said, np.ones(7)).p_value[0] <= usual
    assert shipped.combine(said, np.ones(7)).p_value[0] >= said.p_value[:5].min()


def test_a_map_covers_the_image_and_is_the_same_every_time(shipped: Classifier, joints: NDArray[np.float32]) -> None:
    heat = shipped.attention(joints[6], 1)
    assert heat.shape == joints[6].shape
    assert 0.0 <= heat.min() < heat.max() <= 1.0
    np.testing.assert_array_equal(heat, shipped.attention(joints[6], 1))


def test_neighbours_are_known_cases_nearest_first(shipped: Classifier, joints: NDArray[np.float32]) -> None:
    found = shipped.neighbours(joints[6], 7)
    distances = [one.distance for one in found]
    assert distances == sorted(distances)
    assert len({one.identifier for one in found}) == 7
    assert {one.condition for one in found} <= set(CLASSES)


def test_severe_cases_have_neighbours_of_their_own_class(shipped: Classifier, joints: NDArray[np.float32]) -> None:
    shares = [np.mean([n.condition == CLASSES[i // 5] for n in shipped.neighbours(joints[i], 5)]) for i in range(15)]
    assert np.mean(shares) > 0.5


def test_threads_get_the_answers_that_they_would_get_alone(shipped: Classifier, joints: NDArray[np.float32]) -> None:
    alone = shipped.classify(joints).probabilities
    maps = [shipped.attention(image, 1) for image in joints[:3]]
    got = {}

    def ask(number: Any) -> None:
        got[number] = (
            shipped.classify(joints[number : number + 1]).probabilities[0],
            shipped.attention(joints[number], 1),
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(3):
        np.testing.assert_allclose(got[number][0], alone[number], atol=1e-5)
        np.testing.assert_allclose(got[number][1], maps[number], atol=1e-5)


def test_a_bundle_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableInput, match="no trained model for volumes"):
        load(3, tmp_path)


@pytest.mark.parametrize(
    ("config", "lacking"), [("inference", "judgement"), ("metadata", "training"), ("metadata", "data_source")]
)
def test_a_bundle_whose_configs_lack_something_is_said_to(tmp_path: Path, config: str, lacking: str) -> None:
    shutil.copytree(BUNDLE / "ultrasound", tmp_path / "ultrasound")
    path = tmp_path / "ultrasound" / "configs" / f"{config}.json"
    row = json.loads(path.read_text())
    del row[lacking]
    path.write_text(json.dumps(row))
    with pytest.raises(UnusableBundle, match=f"lacks? {lacking}"):
        load(2, tmp_path)


def test_a_bundle_that_would_run_something_else_is_refused(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE / "ultrasound", tmp_path / "ultrasound")
    path = tmp_path / "ultrasound" / "configs" / "inference.json"
    row = json.loads(path.read_text())
    row["network_def"]["_target_"] = "os.abort"
    path.write_text(json.dumps(row))
    with pytest.raises(UnusableBundle, match=r"os\.abort.*which the shipped bundle does not call"):
        load(2, tmp_path)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_shipped_weights_are_small_and_say_what_they_were_trained_on(dimensions: Literal[2, 3]) -> None:
    assert sum(path.stat().st_size for path in (BUNDLE / KINDS[dimensions] / "models").iterdir()) < 4e6
    made = load(dimensions)
    assert "simulated" in made.trained_on
    assert "not for clinical use" in made.trained_on
    assert set(made.likelihood_ratios) == set(CLASSES)
    assert (np.bincount(made.background.conditions) >= 20).all()


def test_a_volume_is_classified_whatever_its_size_and_mapped_on_its_own_grid() -> None:
    shipped = load(3)
    case = metacarpal.simulate(np.random.default_rng(2), "ra", 0, 0.9, motion=1, step=2)
    said = shipped.classify(case.image[None])
    larger = np.repeat(np.repeat(np.repeat(case.image, 2, 0), 2, 1), 2, 2)
    assert np.abs(shipped.classify(larger[None]).probabilities - said.probabilities).max() < 0.25
    assert shipped.attention(case.image, 1).shape == case.image.shape
    noise = np.random.default_rng(0).random(case.image.shape).astype(np.float32)
    assert shipped.verdict(shipped.classify(noise[None])).reason == "foreign"
