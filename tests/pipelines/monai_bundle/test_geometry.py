"""The geometry self-test finds what turns results wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.monai_bundle import phantom
from pipelines.monai_bundle.folder import BundleFolder
from pipelines.monai_bundle.geometry import LEAST_DICE, geometry_test, why_not_tested
from tests.pipelines.monai_bundle.made_bundles import (
    classification_bundle,
    composed,
    detection_bundle,
    threshold_bundle,
)

DISCRETE = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
INVERTED = {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"}


def chain(*more: dict[str, Any]) -> dict[str, Any]:
    softmax = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
    return composed(softmax, {**INVERTED, "nearest_interp": False}, DISCRETE, *more)


def test_results_of_a_sound_bundle_end_where_they_belong(tmp_path: Path) -> None:
    bundle = BundleFolder(threshold_bundle(tmp_path, save=False))  # weights have no part in it
    assert why_not_tested(bundle) is None
    found = geometry_test(bundle)
    assert found.right
    assert min(found.dice) >= LEAST_DICE
    assert found.sentence == "results end where they belong, also on oblique and reversed slices"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("$lambda x: torch.flip(x, [1])", "mirroring along the columns would put it right"),
        ("$lambda x: torch.flip(x, [2, 3])", "mirroring along the slices and rows would put it right"),
        ("$lambda x: torch.where(x > 2, x, 0)", None),
    ],
)
def test_a_result_that_is_turned_wrongly_is_said_to_be(tmp_path: Path, function: str, words: str | None) -> None:
    more = {"_target_": "Lambdad", "keys": "pred", "func": function}
    found = geometry_test(BundleFolder(threshold_bundle(tmp_path, save=False, postprocessing=chain(more))))
    assert not found.right
    if words is None:
        assert found.sentence.startswith("nothing comes back")
    else:
        assert found.sentence == f"the result is turned wrongly: {words}"


def test_a_result_that_is_turned_and_says_so_is_put_right(tmp_path: Path) -> None:
    flipped = {"_target_": "Flipd", "keys": "pred", "spatial_axis": 1}  # its affine is turned with it
    assert geometry_test(BundleFolder(threshold_bundle(tmp_path, save=False, postprocessing=chain(flipped)))).right


def test_what_it_says_nothing_of_is_named(tmp_path: Path) -> None:
    assert why_not_tested(BundleFolder(classification_bundle(tmp_path / "a"))) == "it works on single pictures"
    boxes = BundleFolder(detection_bundle(tmp_path / "b"))
    assert str(why_not_tested(boxes)).startswith("it marks boxes")
    unread = threshold_bundle(tmp_path / "c", inferer={"_target_": "scripts.mine.Inferer"})
    assert why_not_tested(BundleFolder(unread)) == "its transforms are not understood"


def test_the_body_is_like_none_of_its_mirror_images() -> None:
    volume, mask = phantom.body()
    assert volume.array.shape == mask.shape == phantom.SHAPE
    assert np.linalg.det(phantom.affine()[:3, :3]) * np.linalg.det(phantom.affine(reversed_slices=True)[:3, :3]) < 0
    for axis in range(3):
        mirrored = np.flip(mask, axis)
        assert 2 * (mirrored & mask).sum() / (2 * mask.sum()) < 0.93
    assert not mask[0].any()
    assert not mask[-1].any()
