"""The inferer: what MONAI's engines get is what the network gives, and memory that ends is no end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipelines.joint_classification.answers import ask
from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.inferer import AnswerInferer
from pipelines.joint_classification.network import ConvolutionalSupervisedAutoEncoder, Output
from pipelines.joint_classification.simulation import ultrasound

# TF32 in the convolutions of a GPU keeps ten bits of a number: some 1e-3 of a feature, which the gate's whitening
# makes more of
CUDA_PROBABILITY, CUDA_P_VALUE = 0.01, 0.02


class Small(ConvolutionalSupervisedAutoEncoder):
    """A network whose device holds two images, and no more."""

    most = 2

    def inspect(self, x: torch.Tensor, drawn: int | None = None) -> tuple[Output, list[torch.Tensor]]:
        if len(x) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return super().inspect(x, drawn)


@pytest.fixture
def images() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(7, 1, 24, 32)).astype(np.float32)


@pytest.fixture
def network() -> Small:
    torch.manual_seed(0)
    return Small(2, channels=(4, 8, 8)).eval()


def test_an_engine_gets_every_answer_as_a_tensor(images: NDArray[np.float32], network: Small) -> None:
    plain = ask(network, images, batch=2)
    found = AnswerInferer(2)(torch.from_numpy(images), network)
    assert set(found) == {"logits", "latent", "error", "foreign", "statistics"}
    for name, value in plain._asdict().items():
        np.testing.assert_array_equal(found[name].numpy(), value)


def test_where_memory_ends_smaller_batches_give_the_same_answers_and_a_remark(
    images: NDArray[np.float32], network: Small
) -> None:
    inferer = AnswerInferer(8)
    answers = inferer.ask(images, network)
    for one, other in zip(answers, ask(network, images, batch=2), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert list(inferer.remarks) == ["The memory of cpu did not hold the usual tiles: computed in smaller ones."]


def test_memory_that_does_not_hold_one_image_is_an_error(images: NDArray[np.float32], network: Small) -> None:
    network.most = 0
    with pytest.raises(torch.OutOfMemoryError):
        AnswerInferer(8).ask(images, network)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that PyTorch can use on this machine")
def test_a_gpu_answers_as_the_cpu_does() -> None:
    rng = np.random.default_rng(3)
    joints = np.stack([ultrasound.simulate(rng, name, 0, 0.7).image for name in ("healthy", "ra", "psa") * 4])
    here, there = load(2, device="cpu"), load(2, device="cuda")
    one, other = here.classify(joints), there.classify(joints)
    np.testing.assert_allclose(other.probabilities, one.probabilities, atol=CUDA_PROBABILITY)
    np.testing.assert_allclose(other.p_value, one.p_value, atol=CUDA_P_VALUE)
    assert np.corrcoef(here.attention(joints[1], 1).ravel(), there.attention(joints[1], 1).ravel())[0, 1] > 0.99
