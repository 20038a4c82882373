"""`pipelines.lab.bundle_files`."""

from __future__ import annotations

import json
from pathlib import Path

import monai
import torch

from pipelines.lab.bundle_files import common_metadata, copy_configs, image_format, write_json


def test_the_metadata_name_the_versions_that_are_installed() -> None:
    found = common_metadata()
    assert found["monai_version"] == monai.__version__
    assert found["pytorch_version"] == torch.__version__.split("+")[0]
    assert "condyle" in found["required_packages_version"]


def test_a_format_has_as_many_channels_as_are_named() -> None:
    made = image_format({0: "a", 1: "b"}, ("*", 8), modality="MR", value_range=(0, 1))
    assert (made["num_channels"], made["channel_def"], made["spatial_shape"]) == (2, {"0": "a", "1": "b"}, ["*", 8])


def test_configs_are_copied_with_other_plain_values_and_without_the_metadata(tmp_path: Path) -> None:
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    write_json(shipped / "configs" / "metadata.json", {"version": "1"})
    write_json(shipped / "configs" / "inference.json", {"network_def": {"channels": 32}, "device": "cpu"})
    write_json(shipped / "configs" / "train.json", {"steps": 3})
    (shipped / "docs").mkdir()
    (shipped / "docs" / "README.md").write_text("words")
    copy_configs(shipped, own, {"network_def::channels": 8, "nowhere::else": 1})
    assert sorted(path.name for path in (own / "configs").iterdir()) == ["inference.json", "train.json"]
    assert json.loads((own / "configs" / "inference.json").read_text()) == {
        "network_def": {"channels": 8},
        "device": "cpu",
    }
    assert json.loads((own / "configs" / "train.json").read_text()) == {"steps": 3}
    assert (own / "docs" / "README.md").read_text() == "words"
