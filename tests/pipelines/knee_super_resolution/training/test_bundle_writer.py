"""What a training leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pipelines.bundle_configs import read_metadata, trained_on
from pipelines.knee_super_resolution.model import load
from pipelines.knee_super_resolution.network import ThinSliceNet
from pipelines.knee_super_resolution.training.bundle_writer import (
    save_calibration,
    save_weights,
    stem,
    write_description,
)
from pipelines.knee_super_resolution.training.corpus import Corpus
from pipelines.knee_super_resolution.training.plan import Plan
from tests.pipelines.bundle_checks import verify

torch.set_num_threads(1)


@pytest.fixture
def network() -> ThinSliceNet:
    torch.manual_seed(0)
    return ThinSliceNet(8, 1).eval()


@pytest.fixture
def bundle(network: ThinSliceNet, tmp_path: Path) -> Path:
    plan = Plan(channels=8, blocks=1)
    save_weights(network, plan, tmp_path)
    save_calibration({"2": 1.5}, tmp_path)
    write_description("learned", Corpus(), {"model": {"plan": vars(plan)}}, tmp_path)
    return tmp_path


def test_what_was_saved_is_what_the_node_loads(network: ThinSliceNet, bundle: Path) -> None:
    restored = load(bundle, half=False)
    assert restored.calibration_at(2) == 1.5
    assert torch.equal(restored.network.head.weight, network.head.weight)


def test_it_says_what_was_trained_on_and_holds_every_config(bundle: Path) -> None:
    assert trained_on(bundle) == Corpus().sentence()
    assert {path.name for path in (bundle / "configs").iterdir()} >= {"metadata.json", "inference.json"}
    assert json.loads((bundle / "configs" / "inference.json").read_text())["network_def"]["channels"] == 8
    assert read_metadata(bundle)["training"]["model"]["plan"]["channels"] == 8


def test_monai_finds_nothing_wrong_with_it(bundle: Path, tmp_path: Path) -> None:
    verify(bundle, tmp_path)


def test_every_account_may_read_it(bundle: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in bundle.rglob("*") if path.is_file()} == {0o644}


def test_files_are_named_by_method_and_factor() -> None:
    assert stem(Plan()) == "model"
    assert stem(Plan("deepresolve", 3.0)) == "deepresolve_3"
