"""Which bundles of MONAI's model zoo can be built declaratively.

``model_zoo.json`` holds, for each bundle of the model zoo (commit dfae206d of Project-MONAI/model-zoo), the targets and
expressions of its network, inferer, pre- and postprocessing, and the values that these refer to. With
``CONDYLE_MODEL_ZOO`` naming a checkout of it, the bundles themselves are read and built.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.monai_bundle.building import Builder
from pipelines.monai_bundle.folder import BundleFolder
from pipelines.monai_bundle.reading import Reader
from pipelines.monai_bundle.targets import DETECTOR_CALLER, known_name

FACTS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("model_zoo.json").read_text())
DECLARATIVE = {
    "brats_mri_segmentation",
    "breast_density_classification",
    "classification_template",
    "endoscopic_inbody_classification",
    "endoscopic_tool_segmentation",
    "lung_nodule_ct_detection",
    "pathology_tumor_detection",
    "pediatric_abdominal_ct_segmentation",
    "prostate_mri_anatomy",
    "segmentation_template",
    "spleen_ct_segmentation",
    "swin_unetr_btcv_segmentation",
    "ventricular_short_axis_3label",
    "wholeBody_ct_segmentation",
}
WITH_TORCHVISION = {"breast_density_classification", "pathology_tumor_detection"}
WHOLE = os.environ.get("CONDYLE_MODEL_ZOO")
NO_ZOO = pytest.param(
    "none", marks=pytest.mark.skip("CONDYLE_MODEL_ZOO names no checkout of https://github.com/Project-MONAI/model-zoo")
)


def understood(facts: dict[str, Any]) -> bool:
    """Whether nothing is missing, every target is on the list and every expression is read."""
    if facts["lacks"] or not all(known_name(one) or one == DETECTOR_CALLER for one in facts["targets"]):
        return False
    places = {f"expression_{i}": text for i, text in enumerate(facts["expressions"])}
    reader = Reader({**facts["values"], **places}, Path("/bundle"))
    for name in places:
        reader.part(name)
    return not reader.unread


@pytest.mark.parametrize("bundle", sorted(FACTS))
def test_what_can_be_built_declaratively_is_named(bundle: str) -> None:
    assert understood(FACTS[bundle]) is (bundle in DECLARATIVE)


def test_the_guide_names_them() -> None:
    guide = (Path(__file__).resolve().parents[3] / "docs" / "bundles.md").read_text(encoding="utf-8")
    assert [bundle for bundle in sorted(DECLARATIVE) if f"`{bundle}`" not in guide] == []


@pytest.mark.parametrize("bundle", sorted(FACTS) if WHOLE else [NO_ZOO])
def test_the_bundles_themselves_are_read_and_built(bundle: str) -> None:
    parts, builder = BundleFolder(Path(str(WHOLE)) / "models" / bundle).parts(), Builder()
    assert (not parts.unread) is (bundle in DECLARATIVE)
    if parts.unread:
        return
    for part in (parts.preprocessing, parts.inferer, parts.postprocessing):
        assert part is None or builder.built(part) is not None
    if bundle not in WITH_TORCHVISION:
        assert builder.built(parts.network) is not None
