"""The pipeline's settings and what identifies its model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import pipelines.knee_oa_risk as package
from node.route.dispatch import model_digest
from pipelines.knee_oa_risk import BUNDLE, DESCRIPTION, KneeOaRisk, KneeOaRiskSettings


def test_another_calibration_is_another_model_with_another_job(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    same = KneeOaRisk(KneeOaRiskSettings(bundle=tmp_path / "bundle")).model
    assert same.weights_digest == KneeOaRisk(KneeOaRiskSettings()).model.weights_digest
    card = json.loads((tmp_path / "bundle" / DESCRIPTION).read_text())
    card["calibration"]["slope"][0] *= 2
    (tmp_path / "bundle" / DESCRIPTION).write_text(json.dumps(card))
    changed = KneeOaRisk(KneeOaRiskSettings(bundle=tmp_path / "bundle"))
    assert changed.model.weights_digest != same.weights_digest
    assert model_digest(changed) != model_digest(KneeOaRisk(KneeOaRiskSettings()))


@pytest.mark.parametrize("table", ["vocabulary", "icd10", "ingredients"])
def test_another_mapping_table_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    before = KneeOaRisk(KneeOaRiskSettings()).model.weights_digest
    shutil.copytree(package.PACKAGE / "tables", tmp_path / "tables")
    monkeypatch.setattr(package, "PACKAGE", tmp_path)
    assert KneeOaRisk(KneeOaRiskSettings()).model.weights_digest == before  # the same tables elsewhere
    path = tmp_path / "tables" / f"{table}.csv"
    path.write_text(path.read_text(encoding="utf-8").rsplit("\n", 2)[0] + "\n", encoding="utf-8")
    assert KneeOaRisk(KneeOaRiskSettings()).model.weights_digest != before


def test_a_bundle_without_weights_is_refused_by_the_settings(tmp_path: Path) -> None:
    (tmp_path / DESCRIPTION).write_text("{}")
    with pytest.raises(ValidationError, match=r"holds no weights\.safetensors"):
        KneeOaRiskSettings(bundle=tmp_path)


def test_a_recalibration_that_is_no_file_is_refused_by_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"nowhere\.json"):
        KneeOaRiskSettings(recalibration=tmp_path / "nowhere.json")


def test_listing_pipelines_does_not_import_torch() -> None:
    code = (
        "import sys, pipelines.knee_oa_risk as p; p.KneeOaRisk(p.KneeOaRiskSettings()).model; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
