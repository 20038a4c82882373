"""What identifies the pipeline's model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from node.route.dispatch import model_digest
from pipelines.hand_foot_scoring import BUNDLE, FILES, HandFootScoring, HandFootScoringSettings
from pipelines.hand_foot_scoring.calibration import DEFAULT_POOLING


@pytest.mark.parametrize("name", FILES)
def test_another_file_of_the_bundle_is_another_model_with_another_job(tmp_path: Path, name: str) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    shipped = HandFootScoring(HandFootScoringSettings())
    copied = HandFootScoring(HandFootScoringSettings(), tmp_path / "bundle")
    assert copied.model.weights_digest == shipped.model.weights_digest
    path = tmp_path / "bundle" / name
    path.write_bytes(path.read_bytes() + b" ")
    assert copied.model.weights_digest != shipped.model.weights_digest
    assert model_digest(copied) != model_digest(shipped)


def test_evaluation_pools_as_the_pipeline_does() -> None:
    assert HandFootScoringSettings().pooling == DEFAULT_POOLING
