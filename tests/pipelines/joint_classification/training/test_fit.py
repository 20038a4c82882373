"""The training loop: it learns, it resumes where it stopped, and the same seed gives the same network."""

import csv
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.joint_classification.answers import ask
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder
from pipelines.joint_classification.simulation import ultrasound, unknown_ultrasound
from pipelines.joint_classification.training.cohort import Cohort, cohort, joined
from pipelines.joint_classification.training.fit import KEEP_EVERY, Schedule, augment, fit
from pipelines.lab.checkpoint import OtherTraining

CHANNELS = (8, 8, 16)


@pytest.fixture(scope="module")
def few() -> Cohort:
    """Severe cases and healthy ones, coarse, and three that are none of the classes."""
    rng = np.random.default_rng(8)
    cases = [ultrasound.simulate(rng, condition, i, 0.9) for i in range(5) for condition in ("healthy", "ra")]
    cases += [unknown_ultrasound.simulate_unknown(rng, "muscle", 9) for _ in range(3)]
    made = cohort(cases)
    return replace(made, images=made.images[:, :, ::4, ::4], lesions=made.lesions[:, ::4, ::4])


def _new() -> ConvolutionalSupervisedAutoEncoder:
    torch.manual_seed(3)
    return ConvolutionalSupervisedAutoEncoder(2, channels=CHANNELS)


def test_training_fits_a_few_cases_and_learns_what_is_none_of_them(few: Cohort) -> None:
    network = fit(_new(), few, Schedule(steps=60, batch=10, alpha=0.8))
    assert isinstance(network, ConvolutionalSupervisedAutoEncoder)
    answers = ask(network, few.images)
    known = few.labels >= 0
    assert (answers.logits.argmax(1) == few.labels)[known].mean() >= 0.9
    assert answers.foreign[~known].min() > answers.foreign[known].max()
    assert answers.latent.shape == (len(few), 2 * 16)
    assert answers.statistics.shape == (len(few), 2 * (8 + 8 + 16) + 3)


def test_a_training_that_was_broken_off_ends_as_if_it_had_not_been(few: Cohort, tmp_path: Path) -> None:
    schedule = Schedule(steps=KEEP_EVERY + 4, batch=4)
    whole = fit(_new(), few, schedule)

    class Stopped(Exception):
        pass

    def stop(step: Any, _loss: Any) -> None:
        if step == KEEP_EVERY + 1:
            raise Stopped

    checkpoint, log = tmp_path / "a.checkpoint", tmp_path / "a.csv"
    with pytest.raises(Stopped):
        fit(_new(), few, schedule, stop, checkpoint, log)
    resumed = fit(_new(), few, schedule, None, checkpoint, log)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=1e-3, atol=1e-4, msg=name)
    with log.open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps[-1] == schedule.steps
    assert steps.count(KEEP_EVERY + 1) == 2  # once before the break, once after


def test_a_checkpoint_of_another_schedule_is_refused(few: Cohort, tmp_path: Path) -> None:
    checkpoint = tmp_path / "a.checkpoint"
    fit(_new(), few, Schedule(steps=KEEP_EVERY, batch=2), checkpoint=checkpoint)
    with pytest.raises(OtherTraining, match="other settings"):
        fit(_new(), few, Schedule(steps=KEEP_EVERY + 1, batch=2), checkpoint=checkpoint)


def test_the_classification_has_all_the_weight_at_first_and_its_share_in_the_end() -> None:
    schedule = Schedule(steps=100, batch=1, alpha=0.8, ramp=0.6)
    assert [schedule.weight(step) for step in (0, 30, 60, 99)] == pytest.approx([1.0, 0.9, 0.8, 0.8])
    assert Schedule(steps=100, batch=1, alpha=0.8).weight(0) == 0.8
    assert Schedule(steps=100, batch=1, alpha=1.0, ramp=0.6).weight(99) == 1.0


def test_the_rate_warms_up_and_falls_along_a_cosine_to_nothing() -> None:
    schedule = Schedule(steps=100, batch=1, learning_rate=1.0)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 8)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.001
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[8:]))
    assert rates[54] == pytest.approx(0.5, abs=0.01)  # half way between the end of the warm-up and the end


@pytest.mark.parametrize("shape", [(3, 1, 24, 40), (3, 1, 12, 20, 20)])
def test_augmented_images_are_like_the_images_and_never_the_same(shape: Any) -> None:
    images = torch.from_numpy(np.random.default_rng(0).random(shape).cumsum(-1).astype(np.float32))
    one, two = augment(images, np.random.default_rng(1)), augment(images, np.random.default_rng(2))
    assert one.shape == images.shape
    assert not torch.equal(one, two)
    torch.testing.assert_close(one, augment(images, np.random.default_rng(1)))
    assert 0.5 < float(one.std() / images.std()) < 1.5


def test_a_picture_is_never_mirrored_but_a_volume_is() -> None:
    ramp = torch.arange(32.0).expand(1, 1, 32, 32).clone()
    solid = torch.arange(16.0).expand(1, 1, 8, 16, 16).clone()

    def slopes(image: Any) -> list[float]:
        made = [augment(image, np.random.default_rng(seed)) for seed in range(16)]
        return [float((one[..., -2] - one[..., 1]).mean()) for one in made]

    assert min(slopes(ramp)) > 0
    assert min(slopes(solid)) < 0 < max(slopes(solid))


def test_unlabelled_cases_of_another_cohort_can_be_added(few: Cohort) -> None:
    both = joined(few, few.take(np.flatnonzero(few.labels < 0)))
    assert len(both) == len(few) + 3
    assert both.kinds[-3:] == ("muscle",) * 3
