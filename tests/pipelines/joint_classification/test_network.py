"""The auto-encoder: shapes in two and three dimensions, its loss, and that it learns."""

import numpy as np
import pytest
import torch

from pipelines.joint_classification.network import (
    ConvolutionalSupervisedAutoEncoder,
    LogitsOnly,
    Output,
    csae_loss,
    foreign_loss,
    inverse_frequency,
)
from pipelines.joint_classification.training.cohort import folds, normalise


@pytest.mark.parametrize("size", [(128, 160), (33, 47), (80, 32, 32), (48, 20, 28)])
def test_the_drawing_is_as_large_as_the_picture_even_where_halving_leaves_a_rest(size):
    network = ConvolutionalSupervisedAutoEncoder(len(size)).eval()
    x = torch.rand(1, 1, *size)
    output = network(x)
    assert output.reconstruction.shape == x.shape
    assert output.logits.shape == (1, 3)
    torch.testing.assert_close(LogitsOnly(network)(x), output.logits)


def test_going_on_from_any_stage_gives_the_same_answer():
    network = ConvolutionalSupervisedAutoEncoder(2).eval()
    x = torch.rand(2, 1, 48, 40)
    for number, feature in enumerate(network.down(x)):
        torch.testing.assert_close(network.logits_from(feature, number), network.logits(x))


def test_drawing_a_part_of_a_batch_draws_that_part_as_with_all():
    network = ConvolutionalSupervisedAutoEncoder(2).eval()
    x = torch.rand(3, 1, 48, 40)
    some, _ = network.inspect(x, 2)
    torch.testing.assert_close(some.reconstruction, network(x).reconstruction[:2])
    assert some.logits.shape == (3, 3)


def test_what_is_foreign_costs_the_network_that_takes_it_for_known():
    sure = torch.tensor([-5.0, -5.0, 5.0])  # two known, one foreign
    assert float(foreign_loss(sure, 2)) == pytest.approx(np.log1p(np.exp(-5.0)), rel=1e-5)
    assert float(foreign_loss(-sure, 2)) == pytest.approx(5 + np.log1p(np.exp(-5.0)), rel=1e-5)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_weights_stay_under_four_megabytes(spatial_dims):
    network = ConvolutionalSupervisedAutoEncoder(spatial_dims)
    assert sum(p.numel() * p.element_size() for p in network.parameters()) < 4 * 2**20


def test_the_loss_without_the_auto_encoder_is_weighted_cross_entropy():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    label, weight = torch.tensor([0, 2]), torch.tensor([1.0, 1.0, 3.0])
    image = torch.zeros(2, 1, 4, 4)
    output = Output(logits, image + 1.0, logits, logits[:, 0])
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
