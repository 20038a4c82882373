"""Which networks a folder has, their digest and what they were trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipelines.bundle_configs import UnusableBundle
from pipelines.joint_classification.kinds import BUNDLE, KINDS, READ, Dimensions, digest, kinds_in, trained_on
from tests.pipelines.bundle_checks import verify


@pytest.mark.parametrize("dimensions", [2, 3])
def test_each_network_is_a_bundle_by_the_rules_of_monai(tmp_path: Path, dimensions: Dimensions) -> None:
    verify(BUNDLE / KINDS[dimensions], tmp_path)


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("kind", KINDS.values())
def test_every_file_that_inference_reads_is_in_the_digest(tmp_path: Path, kind: str, name: str) -> None:
    shutil.copytree(BUNDLE, tmp_path / "b")
    assert digest(tmp_path / "b") == digest()
    path = tmp_path / "b" / kind / name
    path.write_bytes(path.read_bytes() + b" ")
    assert digest(tmp_path / "b") != digest()
    path.unlink()
    with pytest.raises(UnusableBundle, match=Path(name).name):
        digest(tmp_path / "b")


def test_what_inference_does_not_read_is_not_in_the_digest(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "b")
    (tmp_path / "b" / "ultrasound" / "docs" / "README.md").write_text("another text")
    (tmp_path / "b" / "ultrasound" / "training").mkdir()
    (tmp_path / "b" / "ultrasound" / "training" / "log.csv").write_text("step\n")
    assert digest(tmp_path / "b") == digest()


def test_a_folder_with_one_network_is_that_network(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE / "hr_pqct", tmp_path / "hr_pqct")
    assert kinds_in(tmp_path) == [3]
    assert "ultrasound" not in trained_on(tmp_path)
    assert digest(tmp_path) != digest()


def test_a_folder_with_none_is_told_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(UnusableBundle, match="neither a folder ultrasound nor a folder hr_pqct; name the folder"):
        digest(tmp_path)


def test_both_networks_say_what_they_were_trained_on_and_once_what_for(tmp_path: Path) -> None:
    assert trained_on() == (
        "trained on 4031 simulated ultrasound images of finger joints of 2000 simulated patients and on 2257 simulated"
        " HR-pQCT scans of second metacarpal heads of 1500 simulated patients; not for clinical use"
    )
    shutil.copytree(BUNDLE / "ultrasound", tmp_path / "ultrasound")
    path = tmp_path / "ultrasound" / "configs" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_source": "a site's own"}))
    assert trained_on(tmp_path) == "trained on a site's own; not for clinical use"
