"""The losses of the auto-encoder, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.joint_classification.network import Output
from pipelines.joint_classification.training.losses import csae_loss, foreign_loss, inverse_frequency


def test_what_is_foreign_costs_the_network_that_takes_it_for_known() -> None:
    sure = torch.tensor([-5.0, -5.0, 5.0])  # two known, one foreign
    assert float(foreign_loss(sure, 2)) == pytest.approx(np.log1p(np.exp(-5.0)), rel=1e-5)
    assert float(foreign_loss(-sure, 2)) == pytest.approx(5 + np.log1p(np.exp(-5.0)), rel=1e-5)


def test_the_loss_without_the_auto_encoder_is_weighted_cross_entropy() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    label, weight = torch.tensor([0, 2]), torch.tensor([1.0, 1.0, 3.0])
    image = torch.zeros(2, 1, 4, 4)
    output = Output(logits, image + 1.0, logits, logits[:, 0])
    probability = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    expected = -(1.0 * np.log(probability[0, 0]) + 3.0 * np.log(probability[1, 2])) / (1.0 + 3.0)
    assert float(csae_loss(output, image, label, weight, 1.0)) == pytest.approx(expected, rel=1e-6)
    # the drawing is wrong by 1 everywhere, so its mean square error is 1
    assert float(csae_loss(output, image, label, weight, 0.25)) == pytest.approx(0.75 + 0.25 * expected, rel=1e-6)


def test_a_rare_class_weighs_more_and_the_weights_are_one_on_average() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    weight = inverse_frequency(labels)
    assert weight[2] > weight[1] > weight[0]
    assert float(weight[labels].mean()) == pytest.approx(1.0)
