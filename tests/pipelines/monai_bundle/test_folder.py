"""Bundles as they lie on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.monai_bundle.folder import BundleFolder, targets_in
from pipelines.monai_bundle.reading import UnreadableBundle
from tests.pipelines.monai_bundle.made_bundles import THRESHOLD, threshold_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> BundleFolder:
    return BundleFolder(threshold_bundle(tmp_path))


def test_the_digest_covers_configurations_weights_and_scripts_and_nothing_else(bundle: BundleFolder) -> None:
    digests = {bundle.digest}
    (bundle.path / "docs").mkdir()
    (bundle.path / "docs" / "README.md").write_text("about it")
    assert {bundle.digest} == digests
    (bundle.path / "scripts").mkdir()
    for name in ("configs/inference.json", "configs/more.yaml", "models/model.pt", "scripts/mine.py"):
        path = bundle.path / name
        path.write_bytes((path.read_bytes() if path.exists() else b"") + b" ")
        digests.add(bundle.digest)
    assert len(digests) == 5


def test_what_it_says_of_itself_is_read(bundle: BundleFolder) -> None:
    assert bundle.said("name") == "Spleen CT segmentation"
    assert bundle.said("nothing", "of", "this") == ""
    assert bundle.channels == {0: "background", 1: "spleen"}
    assert set(bundle.inputs) == {"image"}


def test_its_parts_are_found_and_what_reads_and_writes_files_is_left_out(bundle: BundleFolder) -> None:
    parts = bundle.parts()
    assert parts.unread == ()
    assert parts.left_out == (
        "preprocessing::transforms::0: LoadImaged",
        "postprocessing::transforms::3: SaveImaged",
    )
    assert parts.network is not None
    assert parts.network.arguments["channels"] == [2, 2]
    assert [one.target for one in targets_in(parts.inferer)] == ["SlidingWindowInferer"]
    assert len(list(targets_in([parts.preprocessing, parts.postprocessing]))) == 10
    assert THRESHOLD == 0.5


def test_parts_are_those_that_the_evaluator_names(tmp_path: Path) -> None:
    other = {"_target_": "SimpleInferer"}
    evaluator = {"_target_": "SupervisedEvaluator", "inferer": "@mine", "network": "@network"}
    parts = BundleFolder(threshold_bundle(tmp_path, mine=other, evaluator=evaluator)).parts()
    assert parts.inferer is not None
    assert parts.inferer.target == "SimpleInferer"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableBundle, match="no folder configs"):
        BundleFolder(tmp_path)
    bundle = BundleFolder(threshold_bundle(tmp_path, save=False))
    with pytest.raises(UnreadableBundle, match=r"has no weights \(models/model.pt\)$"):
        assert bundle.weights_file
    (tmp_path / "large_files.yml").write_text("large_files: []")
    with pytest.raises(UnreadableBundle, match=r"large_files.yml says where they are"):
        assert bundle.weights_file
    values = json.loads((tmp_path / "configs" / "inference.json").read_text())
    del values["preprocessing"], values["dataset"]
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(values))
    found = [one.sentence for one in BundleFolder(tmp_path).parts().unread]
    assert found[0].startswith("postprocessing::transforms::1::transform: @preprocessing: refers to preprocessing")
    assert found[1].startswith("preprocessing: missing: the configuration has none of")
    (tmp_path / "configs" / "inference.json").unlink()
    with pytest.raises(UnreadableBundle, match=r"has none of configs/inference.json"):
        BundleFolder(tmp_path).parts()


def test_weights_are_those_that_the_configuration_loads_in_safetensors_where_they_are_there(tmp_path: Path) -> None:
    loader = {"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/' + @which"}
    bundle = BundleFolder(threshold_bundle(tmp_path, checkpointloader=loader, which="fine.pt"))
    assert bundle.weights_file.name == "model.pt"
    for name in ("fine.pt", "fine.safetensors"):
        (tmp_path / "models" / name).touch()
        assert bundle.weights_file.name == name


@pytest.mark.parametrize("place", ["elsewhere.pt", "it/elsewhere.pt", "it/weights/elsewhere.pt", "it/models/\0.pt"])
def test_weights_that_the_digest_does_not_cover_are_not_taken(tmp_path: Path, place: str) -> None:
    (tmp_path / "it" / "weights").mkdir(parents=True)
    if "\0" not in place:
        (tmp_path / place).touch()
    loader = {"_target_": "CheckpointLoader", "load_path": f"{tmp_path}/{place}"}
    assert BundleFolder(threshold_bundle(tmp_path / "it", checkpointloader=loader)).weights_file.name == "model.pt"


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").touch()
    with pytest.raises(UnreadableBundle, match="is a file, and a bundle is a folder; an archive has to be unpacked"):
        BundleFolder(tmp_path / "bundle.zip")


def test_what_this_account_may_not_read_is_said_to_be(bundle: BundleFolder) -> None:
    root = os.geteuid() == 0
    (bundle.path / "configs").chmod(0)
    try:
        if root:
            os.seteuid(65534)
        for ask in (
            lambda: BundleFolder(bundle.path / "configs"),
            lambda: bundle.digest,
            lambda: bundle.configuration_file,
        ):
            with pytest.raises(UnreadableBundle, match="cannot be read by this account: Permission denied"):
                ask()
    finally:
        if root:
            os.seteuid(0)
        (bundle.path / "configs").chmod(0o700)


@pytest.mark.parametrize("odd", [5, "x", {"a": 1}, [5], None, True])
def test_parts_that_are_not_what_they_should_be_break_nothing(tmp_path: Path, odd: object) -> None:
    for part in ("handlers", "evaluator", "network_def", "preprocessing", "inferer", "device", "checkpointloader"):
        changed: dict[str, Any] = {part: odd}
        bundle = BundleFolder(threshold_bundle(tmp_path, **changed))
        assert bundle.weights_file.name == "model.pt"
        assert bundle.parts().unread or part in ("handlers", "evaluator", "device", "checkpointloader", "inferer")
    load = {"_target_": "LoadImaged", "keys": odd}
    before = {"_target_": "Compose", "transforms": [load]}
    assert set(BundleFolder(threshold_bundle(tmp_path, preprocessing=before)).parts().loaded) <= {"x", "5"}
