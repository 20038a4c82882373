"""The entry that `condyle bundle add` prints."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipelines.monai_bundle.block import FILL_IN, block
from pipelines.monai_bundle.folder import BundleFolder
from pipelines.monai_bundle.pipeline_settings import MonaiBundleSettings
from tests.pipelines.monai_bundle.made_bundles import (
    classification_bundle,
    detection_bundle,
    metadata,
    threshold_bundle,
    write,
)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(threshold_bundle, "segmentation"), (classification_bundle, "classes"), (detection_bundle, "boxes")],
)
def test_the_entry_is_valid_as_it_is_printed(tmp_path: Path, make: object, kind: str) -> None:
    assert callable(make)
    folder = BundleFolder(make(tmp_path / "my bundle"))
    text = block(folder, "mine", tmp_path / "my bundle")
    values = yaml.safe_load(text)
    found = MonaiBundleSettings(**values["bundles"]["mine"])
    assert (found.output.kind, found.trust, found.sha256) == (kind, "declarative", folder.digest)
    assert found.path == tmp_path / "my bundle"
    assert values["routes"]["mine"] == {
        "when": {"Modality": "CT"},
        "level": "series",
        "pipeline": "bundle:mine",
        "destinations": ["results"],
    }
    assert text.count(FILL_IN) >= 3


def test_segments_and_inputs_are_those_that_the_metadata_name(tmp_path: Path) -> None:
    made = threshold_bundle(tmp_path)
    outputs = {"type": "image", "channel_def": {"0": "background", "1": "core", "4": "enhancing tumor"}}
    described = metadata("Brain", outputs, channels=2)
    described["network_data_format"]["inputs"]["image"] |= {
        "modality": "MR",
        "channel_def": {"0": "T1", "1": "T2 FLAIR"},
    }
    folder = BundleFolder(write(made, BundleFolder(made).values, described))
    found = MonaiBundleSettings(**yaml.safe_load(block(folder, "brain", made))["bundles"]["brain"])
    assert [(name, one.value) for name, one in found.named()] == [("core", 1), ("enhancing tumor", 4)]
    assert list(found.inputs) == ["T1", "T2 FLAIR"]
    assert found.inputs["T1"]["Modality"] == "MR"


def test_names_of_the_metadata_are_made_fit_for_the_entry(tmp_path: Path) -> None:
    made = threshold_bundle(tmp_path)
    outputs = {"type": "image", "channel_def": {"1": "upper\n lobe: 'a'", "2": "long " * 20, "3": " "}}
    folder = BundleFolder(write(made, BundleFolder(made).values, metadata("Lung", outputs)))
    found = MonaiBundleSettings(**yaml.safe_load(block(folder, "lung", made))["bundles"]["lung"])
    long = ("long " * 13)[:64]
    assert [(name, one.value) for name, one in found.named()] == [("upper lobe: 'a'", 1), (long, 2), ("value 3", 3)]


def test_a_bundle_that_is_not_understood_is_one_of_trust_code(tmp_path: Path) -> None:
    folder = BundleFolder(threshold_bundle(tmp_path, inferer={"_target_": "scripts.mine.Inferer"}))
    assert "trust: code" in block(folder, "mine", tmp_path)
