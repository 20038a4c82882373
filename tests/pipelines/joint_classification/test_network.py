"""The auto-encoder: shapes in two and three dimensions, its loss, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.joint_classification.data import cohort, folds, normalise
from pipelines.joint_classification.network import (
    ConvolutionalSupervisedAutoEncoder,
    LogitsOnly,
    Output,
    csae_loss,
    inverse_frequency,
)
from pipelines.joint_classification.simulate import ultrasound
from pipelines.joint_classification.training import Schedule, fit, predict


@pytest.mark.parametrize("size", [(128, 160), (33, 47), (80, 32, 32), (48, 20, 28)])
def test_the_drawing_is_as_large_as_the_picture_even_where_halving_leaves_a_rest(size):
    network = ConvolutionalSupervisedAutoEncoder(len(size)).eval()
    x = torch.rand(1, 1, *size)
    output = network(x)
    assert output.reconstruction.shape == x.shape
    assert output.logits.shape == (1, 3)
    torch.testing.assert_close(LogitsOnly(network)(x), output.logits)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_weights_stay_under_four_megabytes(spatial_dims):
    network = ConvolutionalSupervisedAutoEncoder(spatial_dims)
    assert sum(p.numel() * p.element_size() for p in network.parameters()) < 4 * 2**20


def test_the_loss_without_the_auto_encoder_is_weighted_cross_entropy():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    label, weight = torch.tensor([0, 2]), torch.tensor([1.0, 1.0, 3.0])
    image = torch.zeros(2, 1, 4, 4)
    output = Output(logits, image + 1.0, logits)
    probability = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    expected = -(1.0 * np.log(probability[0, 0]) + 3.0 * np.log(probability[1, 2])) / (1.0 + 3.0)
    assert float(csae_loss(output, image, label, weight, 1.0)) == pytest.approx(expected, rel=1e-6)
    # the drawing is wrong by 1 everywhere, so its mean square error is 1
    assert float(csae_loss(output, image, label, weight, 0.25)) == pytest.approx(0.75 + 0.25 * expected, rel=1e-6)


def test_a_rare_class_weighs_more_and_the_weights_are_one_on_average():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    weight = inverse_frequency(labels)
    assert weight[2] > weight[1] > weight[0]
    assert float(weight[labels].mean()) == pytest.approx(1.0)


def test_gain_and_brightness_drop_out_of_the_input():
    image = np.random.default_rng(0).random((128, 160))
    np.testing.assert_allclose(normalise(image, (128, 160)), normalise(3 * image + 7, (128, 160)), atol=1e-4)


def test_a_patient_is_on_one_side_of_a_fold_only():
    patients = np.repeat(np.arange(23), 3)
    tested = []
    for train, test in folds(patients, 5, seed=1):
        assert not set(patients[train]) & set(patients[test])
        tested.extend(test)
    assert sorted(tested) == list(range(len(patients)))


def test_training_fits_a_few_cases_and_the_same_seed_gives_the_same_network():
    rng = np.random.default_rng(8)
    cases = [ultrasound.simulate(rng, condition, i, 0.9) for i in range(4) for condition in ("healthy", "ra")]
    few = cohort(cases)
    small = replace(few, images=few.images[:, :, ::4, ::4], lesions=few.lesions[:, ::4, ::4])
    schedule, channels = Schedule(steps=40, batch=8, alpha=0.9), (8, 8, 16)
    network = fit(small, schedule, channels)
    logits, latent, errors, statistics = predict(network, small.images)
    assert (logits.argmax(1) == small.labels).mean() >= 0.75
    assert latent.shape == (len(small), 2 * 16)
    assert statistics.shape == (len(small), 2 * (8 + 8 + 16))
    assert (errors > 0).all()
    np.testing.assert_allclose(predict(fit(small, schedule, channels), small.images)[0], logits, atol=1e-4)
