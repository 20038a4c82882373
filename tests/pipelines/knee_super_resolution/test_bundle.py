"""The shipped weights: small, as described, and worth having."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dicom_sr.phantoms import Person, study_header, write_knee_mr
from dicom_sr.series import read_studies
from dicom_sr.uids import result_key
from node.route.dispatch import model_digest
from pipelines.bundle import bundle_digest
from pipelines.knee_super_resolution import BUNDLE, KneeSuperResolution, KneeSuperResolutionSettings, codes, metrics
from pipelines.knee_super_resolution.evaluation.evaluate import EVALUATION_SEED
from pipelines.knee_super_resolution.evaluation.methods import ours
from pipelines.knee_super_resolution.evaluation.rivals import tci
from pipelines.knee_super_resolution.inference import load
from pipelines.knee_super_resolution.simulation import thin_volumes
from pipelines.knee_super_resolution.training.tasks import degraded
from pipelines.knee_super_resolution.training.volumes import ThinVolume

torch.set_num_threads(1)


@pytest.mark.parametrize("path", sorted(BUNDLE.glob("*.safetensors")), ids=lambda path: path.stem)
def test_weights_are_under_four_megabytes(path: Path) -> None:
    assert path.stat().st_size < 4_000_000


@pytest.mark.parametrize("path", sorted(BUNDLE.glob("*.json")), ids=lambda path: path.stem)
def test_weights_are_those_described(path: Path) -> None:
    described = json.loads(path.read_text())
    weights = path.with_suffix(".safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == described["weights_sha256"]
    assert "not for clinical use" in described["trained_on"]


@pytest.mark.parametrize("factor", [2, 4])
def test_the_network_beats_the_spline_on_a_knee_it_never_saw(factor: int) -> None:
    array = thin_volumes.simulate_knee(EVALUATION_SEED + 50, (48, 56, 52), 0.9).array
    task, truth = degraded(ThinVolume("k", "k", array / metrics.scale_of(array), (0.9, 0.9, 0.9)), 0, factor)
    mask = metrics.foreground(truth)
    thin, spread = ours(task)
    assert metrics.psnr_db(thin, truth, mask) > metrics.psnr_db(tci(task), truth, mask) + 0.5
    assert metrics.ssim(thin, truth, mask) > metrics.ssim(tci(task), truth, mask)
    assert 0.8 < float((np.abs(thin - truth) <= 1.6449 * spread)[mask].mean()) < 0.97


def test_the_learned_method_gives_slices_uncertainty_and_consistency(tmp_path: Path) -> None:
    paths = write_knee_mr(tmp_path, study_header(Person(), "knee", "Knee"), (10, 64, 60), (4.0, 1.0, 1.0))
    pipeline = KneeSuperResolution(KneeSuperResolutionSettings(method="learned"))
    pipeline.load()
    result = pipeline.run(read_studies(paths)[0])
    (derived,) = result.derived
    assert derived.uncertainty is not None
    assert derived.uncertainty.array.shape == derived.volume.array.shape == (37, 64, 60)
    assert float(derived.uncertainty.array.min()) > 0
    (finding,) = result.findings
    assert [(each.name, each.value) for each in finding.evaluations] == [(codes.CONSISTENT, codes.PASS)]
    assert result.model.weights_digest == bundle_digest(
        {name: BUNDLE / name for name in ("model.safetensors", "model.json")}
    )
    assert "simulated knees" in result.model.trained_on
    assert [len(page.panels) for page in result.pages] == [6, 6]


def test_another_calibration_is_another_model_with_another_job_and_other_uids(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    description = tmp_path / "bundle" / "model.json"
    described = json.loads(description.read_text())
    described["calibration"]["4"] *= 2
    description.write_text(json.dumps(described))
    shipped, changed = (
        KneeSuperResolution(KneeSuperResolutionSettings()),
        KneeSuperResolution(KneeSuperResolutionSettings(), tmp_path / "bundle"),
    )
    assert shipped.model.weights_digest != changed.model.weights_digest
    assert model_digest(shipped) != model_digest(changed)  # of which the job id is made
    assert result_key(shipped.model, ["1.2"]) != result_key(changed.model, ["1.2"])  # of which the UIDs are made
    assert load(tmp_path / "bundle").calibration_at(4) == pytest.approx(2 * load().calibration_at(4))


def test_weights_that_only_the_evaluation_reads_do_not_count(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    (tmp_path / "bundle" / "deepresolve_2.json").unlink()
    assert (
        KneeSuperResolution(KneeSuperResolutionSettings(), tmp_path / "bundle").model
        == KneeSuperResolution(KneeSuperResolutionSettings()).model
    )
