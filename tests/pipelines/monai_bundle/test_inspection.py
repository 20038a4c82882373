"""What is wrong with a bundle is told before it runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.monai_bundle.inspection import problems
from pipelines.monai_bundle.pipeline_settings import MonaiBundleSettings
from tests.pipelines.monai_bundle.configured import settings
from tests.pipelines.monai_bundle.made_bundles import UNET, threshold_bundle


def told(entry: dict[str, Any]) -> dict[str, str]:
    return dict(problems(MonaiBundleSettings(**entry), build=True))


def test_nothing_is_wrong_with_a_sound_one(tmp_path: Path) -> None:
    assert told(settings(threshold_bundle(tmp_path))) == {}


def segments(**named: Any) -> dict[str, Any]:
    return {"kind": "segmentation", "segments": named}


@pytest.mark.parametrize(
    ("change", "key", "sentence"),
    [
        ({"sha256": "0" * 64}, "sha256", "the bundle has the digest"),
        ({"path": "/nowhere"}, "path", "/nowhere: is no bundle: it has no folder configs"),
        ({"inputs": {"a": {"Modality": "CT"}, "b": {"Modality": "MR"}}}, "inputs", "has 2 inputs; the network takes 1"),
        (
            {"output": segments(a={"value": 7})},
            "output.segments.a",
            "has no label .* which has: 0 background, 1 spleen",
        ),
        ({"device": "cuda:99"}, "device", "cuda:99: is not on this machine"),
        ({"output": segments(spleen={}, other={"value": 1})}, "output.segments", "two of spleen, other have the same"),
        ({"output": {"kind": "boxes", "findings": {"a": {}}}}, "trust", "has no detector"),
    ],
)
def test_what_does_not_fit_is_told_with_its_key(
    tmp_path: Path, change: dict[str, Any], key: str, sentence: str
) -> None:
    found = told({**settings(threshold_bundle(tmp_path)), **change})
    assert list(found)[:1] == [key]
    assert re.search(sentence, found[key])


def test_what_is_not_understood_or_cannot_be_built_is_told(tmp_path: Path) -> None:
    unread = threshold_bundle(tmp_path / "a", inferer={"_target_": "scripts.mine.Inferer"})
    assert "inferer: _target_ scripts.mine.Inferer" in told(settings(unread))["trust"]
    assert told(settings(unread, trust="code")) == {}
    unfit = threshold_bundle(tmp_path / "b", network_def={**UNET, "channels": [2]})
    assert "network_def: UNet" in told(settings(unfit))["path"]
    other = threshold_bundle(tmp_path / "c", network_def={**UNET, "channels": [4, 4]})
    assert "are not the weights of this network" in told(settings(other))["path"]
    without = threshold_bundle(tmp_path / "d", save=False)
    assert "has no weights" in told(settings(without))["path"]
