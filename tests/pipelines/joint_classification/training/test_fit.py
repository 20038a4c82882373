"""The training loop: it learns, it resumes where it stopped, and the same seed gives the same network."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.joint_classification.answers import ask
from pipelines.joint_classification.kinds import BUNDLE, KINDS
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder
from pipelines.joint_classification.simulation import ultrasound, unknown_ultrasound
from pipelines.joint_classification.training.cohort import Cohort, cohort, joined
from pipelines.joint_classification.training.fit import (
    FOREIGN,
    TRAIN,
    CohortBatches,
    Schedule,
    augment,
    first_weights,
    fit,
)
from pipelines.lab.checkpoint import Checkpoint
from pipelines.lab.training_log import read_log

CHANNELS = (8, 8, 16)
CONFIGS = {name: json.loads((BUNDLE / name / TRAIN).read_text()) for name in KINDS.values()}
KEEP_EVERY: int = CONFIGS["ultrasound"]["train"]["trainer"]["keep_every"]


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

    def stop(step: Any, _figures: Any) -> None:
        if step == KEEP_EVERY + 1:
            raise Stopped

    checkpoint, log = Checkpoint(tmp_path / "a.checkpoint", "a"), tmp_path / "a.csv"
    with pytest.raises(Stopped):
        fit(_new(), few, schedule, stop, checkpoint, log)
    resumed = fit(_new(), few, schedule, None, checkpoint, log)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert [row["step"] for row in read_log(log)] == list(range(1, schedule.steps + 1))


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_schedule_is_that_of_the_bundle_unless_it_says_otherwise(kind: str) -> None:
    config, usual = CONFIGS[kind], Schedule(steps=1, batch=1)
    assert {name: config[name] for name in ("learning_rate", "weight_decay", "alpha")} == {
        "learning_rate": usual.learning_rate,
        "weight_decay": usual.weight_decay,
        "alpha": usual.alpha,
    }


def test_a_rival_is_trained_as_the_config_says_without_what_is_none_of_the_classes(few: Cohort) -> None:
    torch.manual_seed(0)
    last = torch.nn.Linear(16, 3)
    rival = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), last)
    before = last.weight.detach().clone()
    seen: list[Mapping[str, float]] = []
    assert fit(rival, few, Schedule(steps=3, batch=4), lambda _step, figures: seen.append(figures)) is rival
    assert not torch.equal(last.weight, before)
    assert seen[0]["learning_rate"] == Schedule(steps=3, batch=4).learning_rate


def test_the_classification_has_all_the_weight_at_first_and_its_share_in_the_end() -> None:
    schedule = Schedule(steps=100, batch=1, alpha=0.8, ramp=0.6)
    assert [schedule.weight(step) for step in (0, 30, 60, 99)] == pytest.approx([1.0, 0.9, 0.8, 0.8])
    assert Schedule(steps=100, batch=1, alpha=0.8).weight(0) == 0.8
    assert Schedule(steps=100, batch=1, alpha=1.0, ramp=0.6).weight(99) == 1.0


def test_the_first_weights_are_those_of_the_seed_or_those_that_are_given() -> None:
    def classifier(network: Any) -> torch.Tensor:
        weight: torch.Tensor = network.classify.weight
        return weight

    made = _new()
    again, other = first_weights(_new(), 3), first_weights(_new(), 4)
    given = first_weights(_new(), 4, made.state_dict())
    assert torch.equal(classifier(again), classifier(made))
    assert not torch.equal(classifier(other), classifier(made))
    assert torch.equal(classifier(given), classifier(made))


def test_a_batch_has_labelled_cases_first_and_each_case_once_a_round(few: Cohort) -> None:
    batches = iter(CohortBatches(few, Schedule(steps=9, batch=5)))
    (images, label), (_, later) = next(batches), next(batches)
    assert len(label) == 5
    assert len(images) == 5 + round(FOREIGN * 5)
    labelled = few.labels[few.labels >= 0]
    assert sorted([*label.tolist(), *later.tolist()]) == sorted(labelled.tolist())
    alone, _ = next(iter(CohortBatches(few, Schedule(steps=9, batch=5), labelled_only=True)))
    assert len(alone) == 5


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
