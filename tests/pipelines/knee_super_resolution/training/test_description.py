"""What is written beside the weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from pipelines.knee_super_resolution.inference import load
from pipelines.knee_super_resolution.network import ThinSliceNet
from pipelines.knee_super_resolution.simulation.thin_volumes import simulate_clutter
from pipelines.knee_super_resolution.training.corpus import Corpus
from pipelines.knee_super_resolution.training.description import arithmetic_tflop, save, stem
from pipelines.knee_super_resolution.training.plan import Plan
from pipelines.knee_super_resolution.training.volumes import ThinVolume

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus([ThinVolume("clutter 1", "clutter 1", simulate_clutter(1, (44, 44, 44), 80), (1.0, 1.0, 1.0))])


def test_what_was_saved_is_what_the_node_loads(corpus: Corpus, tmp_path: Path) -> None:
    plan = Plan(depth=40, size=16, channels=8, blocks=1)
    torch.manual_seed(0)
    network = ThinSliceNet(8, 1).eval()
    save(network, plan, corpus, tmp_path, {"calibration": {"2": 1.5}})
    described = json.loads((tmp_path / "model.json").read_text())
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert described["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    restored = load(tmp_path, half=False)
    assert restored.calibration_at(2) == 1.5
    assert torch.equal(restored.network.head.weight, network.head.weight)


def test_files_are_named_by_method_and_factor() -> None:
    assert stem(Plan()) == "model"
    assert stem(Plan("deepresolve", 3.0)) == "deepresolve_3"


def test_twice_as_many_steps_are_twice_the_arithmetic(corpus: Corpus) -> None:
    plan = Plan(depth=40, size=16, channels=8, blocks=1)
    network = ThinSliceNet(8, 1)
    once, twice = (arithmetic_tflop(network, corpus, plan, steps, draws=4) for steps in (100, 200))
    assert twice == pytest.approx(2 * once)
    assert once > 0
