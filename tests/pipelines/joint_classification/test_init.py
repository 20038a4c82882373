"""What identifies the pipeline's model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from node.route.dispatch import model_digest
from pipelines.joint_classification import JointClassification, JointClassificationSettings
from pipelines.joint_classification.kinds import BUNDLE, KINDS, Dimensions


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("limit", ["foreign_p", "entropy_limit"])
def test_another_limit_of_the_gate_is_another_model_with_another_job(
    tmp_path: Path, dimensions: Dimensions, limit: str
) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    shipped = JointClassification(JointClassificationSettings())
    copied = JointClassification(JointClassificationSettings(), tmp_path / "bundle")
    assert copied.model.weights_digest == shipped.model.weights_digest
    path = tmp_path / "bundle" / KINDS[dimensions] / "configs" / "inference.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["judgement"][limit] /= 2
    path.write_text(json.dumps(config), encoding="utf-8")
    assert copied.model.weights_digest != shipped.model.weights_digest
    assert model_digest(copied) != model_digest(shipped)
