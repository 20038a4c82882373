"""Volumes as NIfTI: nibabel, which has no line in common with what writes them, finds each voxel where DICOM has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from dicom_sr.findings import ImageReference, Result, Segment, Volume
from node.local.volumes import LocalVolume, volumes
from tests.factories import knee_result, knee_study

# axes of the array as unit vectors in patient LPS, oblique to all of the patient's axes, slices against the normal
TURN, _ = np.linalg.qr(np.array([[2.0, -1.0, 0.3], [0.4, 1.5, 1.0], [-0.7, 0.2, 1.9]]))
SPACING_MM = np.array([4.0, 0.7, 0.45])
ORIGIN_MM = np.array([-31.0, 12.5, 140.25])


def oblique(array: NDArray[np.generic]) -> LocalVolume:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = TURN * SPACING_MM, ORIGIN_MM
    return LocalVolume("oblique", array, affine)


@pytest.mark.parametrize("turned", [1.0, -1.0])  # a right-handed and a left-handed grid
@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.bool_])
def test_each_voxel_lies_where_it_lay_in_the_patient(tmp_path: Path, dtype: Any, turned: float) -> None:
    array: NDArray[Any] = (np.arange(3 * 4 * 5).reshape(3, 4, 5) % 7).astype(dtype)
    volume = oblique(array)
    volume.affine[:3, 0] *= turned
    image: Any = nibabel.load(volume.write_nifti(tmp_path / "a.nii.gz"))
    values = np.asarray(image.dataobj)
    assert values.shape == (5, 4, 3)
    for d, h, w in np.ndindex(array.shape):
        lps = ORIGIN_MM + TURN @ (SPACING_MM * [d * turned, h, w])
        assert np.allclose((image.affine @ [w, h, d, 1])[:3], lps * [-1, -1, 1], atol=1e-3)  # the file holds float32
        assert values[w, h, d] == array[d, h, w]
    assert np.allclose(volume.affine_ras, image.affine, atol=1e-4)


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="could not be written"):
        oblique(np.zeros((2, 2, 2), np.float32)).write_nifti(tmp_path / "none" / "a.nii.gz")


def test_derived_volumes_and_segments_have_names_of_their_own_fit_for_files(tmp_path: Path) -> None:
    result = knee_result(knee_study(tmp_path))
    (derived,) = result.derived
    mask = Volume(np.asarray(derived.volume.array, np.float32) > 0, derived.volume.affine)
    on_image = np.zeros((3, 3), np.bool_)
    segments = (
        Segment("Femur/Knorpel ä", codes.SCT.Tissue, codes.SCT.Tissue, mask),
        Segment("Femur Knorpel", codes.SCT.Tissue, codes.SCT.Tissue, mask),
        Segment("flat", codes.SCT.Tissue, codes.SCT.Tissue, image=ImageReference("1.2"), mask=on_image),
    )
    more = Result(result.model, result.title, result.evidence, derived=(derived,), segments=segments)
    found = volumes(more)
    names = [volume.name for volume in found]
    assert names[-2:] == ["segment_femur_knorpel", "segment_femur_knorpel_2"]
    assert len(names) == len(set(names)) == 3 + (derived.uncertainty is not None)
    assert all(name.replace("_", "").isalnum() and name.isascii() for name in names)


def test_segments_of_a_label_map_are_masks_each_and_share_its_array(tmp_path: Path) -> None:
    result = knee_result(knee_study(tmp_path))
    (derived,) = result.derived
    labels = np.zeros(derived.volume.array.shape, np.uint8)
    labels[0, 0, 0], labels[1, 2, 3] = 5, 6
    shared = Volume(labels, derived.volume.affine)
    what = (codes.SCT.Tissue, codes.SCT.Tissue)
    segments = tuple(Segment(f"Part {n}", *what, shared, label_value=n) for n in (5, 6))
    *_, five, six = volumes(replace(result, segments=segments))
    assert five.stored is six.stored
    np.testing.assert_array_equal(five.array, labels == 5)
    image: Any = nibabel.load(six.write_nifti(tmp_path / "six.nii.gz"))
    np.testing.assert_array_equal(np.asarray(image.dataobj), (labels == 6).T)
