"""Objects are built from what was read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.monai_bundle.building import Builder, CannotBeBuilt
from pipelines.monai_bundle.folder import BundleFolder
from pipelines.monai_bundle.parts import Build
from tests.pipelines.monai_bundle.made_bundles import UNET, detection_bundle, threshold_bundle


def build(target: str, *positional: Any, **arguments: Any) -> Any:
    return Builder().built(Build(target, "here", arguments, positional))


def test_a_bundle_is_built_with_the_same_preprocessing_in_its_inverse(tmp_path: Path) -> None:
    parts, builder = BundleFolder(threshold_bundle(tmp_path)).parts(), Builder()
    before, after = builder.built(parts.preprocessing), builder.built(parts.postprocessing)
    assert after.transforms[1].transform is before
    assert type(before.transforms[0]).__name__ == "EnsureChannelFirstd"
    assert type(builder.built(parts.network)).__name__ == "UNet"


def test_a_detector_is_set_up_as_its_calls_say(tmp_path: Path) -> None:
    parts, builder = BundleFolder(detection_bundle(tmp_path)).parts(), Builder()
    detector = builder.built(parts.detector)
    assert not parts.unread
    assert (detector.target_box_key, detector.box_selector.detections_per_img) == ("box", 5)
    assert tuple(detector.inferer.roi_size) == (64, 64, 32)
    assert builder.built(parts.inferer) is detector
    assert builder.built(parts.network) is detector.network


def test_no_network_fetches_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it fetches")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    build("EfficientNetBN", "efficientnet-b0", pretrained=True, spatial_dims=2)
    build("DenseNet121", spatial_dims=2, in_channels=3, out_channels=2, pretrained=True)
    build("resnet10", True, spatial_dims=3, n_input_channels=1)


def test_an_argument_that_monai_has_no_more_is_left_out() -> None:
    sizes = {"in_channels": 1, "out_channels": 2, "feature_size": 12}
    assert type(build("SwinUNETR", img_size=[96, 96, 96], **sizes)).__name__ == "SwinUNETR"


def test_arguments_that_do_not_fit_are_told_with_their_place() -> None:
    wrong = {name: value for name, value in UNET.items() if name != "_target_"} | {"strides": [1, 2, 3, 4], "colour": 1}
    with pytest.raises(CannotBeBuilt, match=r"here: UNet: .*colour"):
        build("UNet", **wrong)


def test_what_is_not_on_the_list_is_not_built_however_it_was_described() -> None:
    with pytest.raises(CannotBeBuilt, match="not on the list"):
        build("os.system", "true")
