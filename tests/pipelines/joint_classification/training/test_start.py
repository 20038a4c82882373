from pathlib import Path

import pytest
import torch

from dicom_sr.errors import UnsuitableInput
from pipelines.joint_classification.classifier import load
from pipelines.joint_classification.kinds import BUNDLE
from pipelines.joint_classification.training.start import start_from


def test_a_training_starts_from_random_weights_or_from_those_of_a_bundle() -> None:
    assert start_from(2).weights is None
    found = start_from(2, BUNDLE)
    assert found.weights is not None
    for name, value in load(2).network.state_dict().items():
        assert torch.equal(found.weights[name].reshape(value.shape), value)
    assert len({start_from(2).name, found.name, start_from(3, BUNDLE).name}) == 3
    assert found.training_name("seed 1") != start_from(2).training_name("seed 1")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableInput, match=r"has no ultrasound/models/model\.safetensors to start from"):
        start_from(2, tmp_path)
