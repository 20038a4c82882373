"""The shipped weights: small, as described, and worth having."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from dicom_sr.phantoms import Person, study_header, write_knee_mr
from dicom_sr.series import read_studies
from dicom_sr.uids import result_key
from node.route.dispatch import model_digest
from pipelines.bundle import bundle_digest
from pipelines.bundle_configs import UnusableBundle, read_metadata, trained_on
from pipelines.device import described, resolved
from pipelines.knee_super_resolution import (
    BUNDLE,
    DEEPRESOLVE_BUNDLE,
    KneeSuperResolution,
    KneeSuperResolutionSettings,
    codes,
    metrics,
)
from pipelines.knee_super_resolution.degradation import SliceProfile
from pipelines.knee_super_resolution.evaluation.evaluate import EVALUATION_SEED
from pipelines.knee_super_resolution.evaluation.methods import ours
from pipelines.knee_super_resolution.evaluation.rivals import tci
from pipelines.knee_super_resolution.model import load
from pipelines.knee_super_resolution.simulation import thin_volumes
from pipelines.knee_super_resolution.training.tasks import degraded
from pipelines.knee_super_resolution.training.volumes import ThinVolume
from tests.pipelines.bundle_checks import verify

torch.set_num_threads(1)


BUNDLES = (BUNDLE, DEEPRESOLVE_BUNDLE)


@pytest.mark.parametrize("path", [each for folder in BUNDLES for each in sorted(folder.glob("models/*"))], ids=str)
def test_weights_are_under_four_megabytes(path: Path) -> None:
    assert path.stat().st_size < 4_000_000


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_weights_are_those_described(bundle: Path) -> None:
    described = read_metadata(bundle)["weights_sha256"]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (bundle / "models").iterdir()}
    assert found == described
    assert "not for clinical use" in trained_on(bundle)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_monai_finds_nothing_wrong_with_a_bundle(bundle: Path, tmp_path: Path) -> None:
    verify(bundle, tmp_path)


def test_weights_of_another_training_than_the_metadata_are_refused(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    (tmp_path / "bundle" / "models" / "calibration.json").write_text('{"4": 2.0}')
    with pytest.raises(UnusableBundle, match=r"calibration\.json: has digest .*copy the whole folder"):
        load(tmp_path / "bundle")


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
    read = ("configs/metadata.json", "configs/inference.json", "models/model.safetensors", "models/calibration.json")
    assert result.model.weights_digest == bundle_digest({name: BUNDLE / name for name in read})
    assert ("device", described(resolved("auto"))) in result.parameters
    assert "simulated knees" in result.model.trained_on
    assert [len(page.panels) for page in result.pages] == [6, 6]


def with_calibration(bundle: Path, ratio: str, times: float) -> Path:
    """The shipped bundle with one factor of its calibration changed, in every file that tells of it."""
    shutil.copytree(BUNDLE, bundle)
    calibration, metadata = bundle / "models" / "calibration.json", bundle / "configs" / "metadata.json"
    factors, described = json.loads(calibration.read_text()), json.loads(metadata.read_text())
    factors[ratio] *= times
    calibration.write_text(json.dumps(factors))
    described["weights_sha256"]["calibration.json"] = hashlib.sha256(calibration.read_bytes()).hexdigest()
    metadata.write_text(json.dumps(described))
    return bundle


def test_another_calibration_is_another_model_with_another_job_and_other_uids(tmp_path: Path) -> None:
    own = with_calibration(tmp_path / "bundle", "4", 2)
    shipped, changed = (
        KneeSuperResolution(KneeSuperResolutionSettings()),
        KneeSuperResolution(KneeSuperResolutionSettings(bundle=own)),
    )
    assert shipped.model.weights_digest != changed.model.weights_digest
    assert model_digest(shipped) != model_digest(changed)  # of which the job id is made
    assert result_key(shipped.model, ["1.2"]) != result_key(changed.model, ["1.2"])  # of which the UIDs are made
    assert load(own).calibration_at(4) == pytest.approx(2 * load().calibration_at(4))


def test_configs_that_only_training_and_evaluation_read_do_not_count(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    (tmp_path / "bundle" / "configs" / "evaluate.json").write_text("{}")
    assert (
        KneeSuperResolution(KneeSuperResolutionSettings(bundle=tmp_path / "bundle")).model
        == KneeSuperResolution(KneeSuperResolutionSettings()).model
    )


def test_monai_runs_the_bundle_on_a_file(tmp_path: Path) -> None:
    array = thin_volumes.simulate_knee(3, (32, 40, 36), 1.0, "pd").array[::4]  # slices 4 mm apart
    affine = np.diag([0.0, 0.0, 0.0, 1.0])
    affine[:3, :3] = [[1.0, 0, 0], [0, 0, -4.0], [0, 1.0, 0]]  # NIfTI is (x, y, z): columns, rows, slices
    affine[:3, 3] = 5.0, -7.0, 9.0
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.transpose(array, (2, 1, 0)), affine), tmp_path / "in" / "knee.nii.gz")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(BUNDLE / "configs/inference.json")]
    command += ["--meta_file", str(BUNDLE / "configs/metadata.json"), "--bundle_root", str(BUNDLE)]
    command += ["--dataset_dir", str(tmp_path / "in"), "--output_dir", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True, text=True)
    thin, sd = (nibabel.Nifti1Image.from_filename(tmp_path / "out" / f"knee_{name}.nii.gz") for name in ("thin", "sd"))
    assert sorted(thin.shape) == [29, 36, 40] == sorted(sd.shape)
    scale = metrics.scale_of(array)
    coarse, fine = 4.0 * np.arange(8), np.arange(29.0)
    expected, _ = load().restore(array / np.float32(scale), coarse, fine, SliceProfile("gaussian"), 4.0)
    slices = np.argmax(np.isclose(thin.shape, 29))
    found = np.moveaxis(np.asarray(thin.dataobj), slices, 0)
    found = found if found.shape[1:] == (40, 36) else found.transpose(0, 2, 1)
    # where a voxel lies in the patient, not how the file is turned
    assert np.allclose(nibabel.affines.apply_affine(thin.affine, [0, 0, 0]), [5.0, -7.0, 9.0])
    assert np.abs(found / scale - expected).max() < 1e-4
