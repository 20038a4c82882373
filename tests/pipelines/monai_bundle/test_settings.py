"""What the configuration may say of a bundle."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.monai_bundle.pipeline_settings import MonaiBundleSettings

ENTRY: dict[str, Any] = {
    "path": "/bundles/spleen",
    "sha256": "0" * 64,
    "inputs": {"image": {"Modality": "CT"}},
    "output": {"kind": "segmentation", "segments": {"spleen": {"type": ["SCT", "78961009", "Spleen"]}}},
}


def test_settings_survive_being_sent_as_plain_values() -> None:
    found = MonaiBundleSettings(**ENTRY)
    assert MonaiBundleSettings(**json.loads(found.model_dump_json())) == found
    assert (found.trust, found.reference_input) == ("declarative", "image")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sha256": "abc"}, "should be the digest that"),
        ({"trust": "yes"}, "'declarative' or 'code'"),
        ({"reference": "t2"}, "reference: should be one of the inputs: image"),
        ({"inputs": {}}, "should have at least one entry"),
        ({"inputs": {"image": {"Modalty": "CT"}}}, "Modalty: is not a DICOM keyword; did you mean 'Modality'"),
        ({"inputs": {"image": {"EchoTime": {"min": 5, "max": 1}}}}, "EchoTime: min 5 is greater than max 1"),
        ({"inputs": {"image": "CT"}}, "should hold conditions such as Modality: CT"),
        ({"output": {"kind": "picture"}}, "does not match any of the expected tags"),
        ({"output": {"kind": "segmentation", "segments": {}}}, "should have at least one entry"),
        ({"output": {"kind": "classes", "classes": {"one": {}}}}, "at least two entries"),
        ({"output": {"kind": "segmentation", "segments": {"a": {"type": ["SCT", "1"]}}}}, "scheme, code and meaning"),
        (
            {"output": {"kind": "segmentation", "segments": {"a": {"type": ["99MINE", "1", "Mine"]}}}},
            "99MINE is a private scheme; leave the code out",
        ),
        (
            {"output": {"kind": "segmentation", "segments": {"a": {"type": ["SCT", "1" * 17, "Long"]}}}},
            "has 17 characters; should have 1 to 16",
        ),
        (
            {"output": {"kind": "segmentation", "segments": {"a": {"value": 1}, "b": {"value": 1}}}},
            "output: two entries have the same value",
        ),
        ({"output": {"kind": "segmentation", "segments": {"": {}}}}, "'': a name should have 1 to 64 characters"),
        ({"output": {"kind": "points", "points": {"a\nb": {}}}}, "a name should have .* on one line"),
        ({"output": {"kind": "classes", "classes": {"a" * 65: {}, "b": {}}}}, "a name should have 1 to 64 characters"),
        ({"output": {"kind": "number", "name": " "}}, "a name should have 1 to 64 characters"),
        ({"series_base": 3}, "greater than or equal to 10000"),
        ({"device": "gpu"}, "should be auto, cpu, cuda or cuda:N"),
        ({"colour": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_meant_so_is_told(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        MonaiBundleSettings(**{**ENTRY, **change})


def test_where_the_files_lie_does_not_name_a_result() -> None:
    one, other = (MonaiBundleSettings(**{**ENTRY, "path": path}) for path in ("/a", "/b"))
    assert one.digest() == other.digest()
    assert one.digest() != MonaiBundleSettings(**ENTRY, title="Spleen").digest()
