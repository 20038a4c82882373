"""The volumes of a training run."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest

from pipelines.knee_super_resolution.simulation import atlas_knees, thin_volumes
from pipelines.knee_super_resolution.training.corpus import Corpus, gather
from pipelines.knee_super_resolution.training.volumes import ThinVolume


def test_excluded_words_keep_volumes_out_and_every_tenth_simulation_is_held_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(thin_volumes.simulate_clutter, shape=(30, 32, 28), leaves=20)
    monkeypatch.setattr(thin_volumes, "simulate_clutter", small)
    for name in ("wanted", "unwanted"):
        image = nibabel.Nifti1Image(small(1), np.diag([1.0, 1.0, 1.0, 1.0]))
        nibabel.save(image, tmp_path / f"{name}.nii.gz")
    corpus = gather(0, knees=0, clutter=10, folders=[tmp_path], excluded=["unwanted"])
    assert [volume.name for volume in [*corpus.real, *corpus.validation] if "wanted" in volume.name] == ["wanted"]
    assert [volume.name for volume in corpus.validation if "clutter" in volume.name] == ["clutter 9"]
    assert len(corpus.simulated) == 9


def test_the_sentence_counts_volumes_and_subjects() -> None:
    def volume(name: str, subject: str) -> ThinVolume:
        return ThinVolume(name, subject, np.zeros((1, 1, 1), np.float32), (1.0, 1.0, 1.0))

    made = [volume("simulated knee 0", "knee 0"), volume("clutter 0", "clutter 0")]
    assert "1 simulated knees and 1 volumes of random shapes, no real images" in Corpus(made).sentence()
    assert "1 simulated knees of 48 samples a side and 1 volumes" in Corpus(made, knee_side=48).sentence()
    real = [volume("echo 1", "one"), volume("echo 2", "one"), volume("echo 1", "two")]
    assert "and on 3 real volumes of 2 subjects" in Corpus(made, real).sentence()
    assert "not for clinical use" in Corpus(made, real).sentence()


def test_knees_are_simulated_in_the_shape_of_a_label_map_unless_it_is_excluded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(atlas_knees.simulate_atlas_knee, shape=(26, 26, 26))
    monkeypatch.setattr(atlas_knees, "simulate_atlas_knee", small)
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[8:22, 8:22] = 1
    (tmp_path / "atlas").mkdir()
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "atlas" / "seg.nii.gz")
    (tmp_path / "atlas" / "names.ctbl").write_text("1 femur 0 0 0 255\n")
    nibabel.save(nibabel.Nifti1Image(labels.astype(np.float32), np.eye(4)), tmp_path / "image.nii.gz")
    corpus = gather(0, knees=0, clutter=0, folders=[tmp_path], excluded=[], atlas=10)
    assert len(corpus.simulated) == 9
    assert [volume.subject for volume in corpus.validation] == ["atlas 9"]
    assert "9 knees simulated in the shape of an atlas" in corpus.sentence()
    assert not gather(0, knees=0, clutter=0, folders=[tmp_path], excluded=["atlas"], atlas=10).simulated
