"""`condyle bundle add` and `condyle bundle check`."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import yaml

from node.commands.bundle import add, check, fit_name
from tests.pipelines.monai_bundle.configured import settings
from tests.pipelines.monai_bundle.made_bundles import composed, threshold_bundle


def test_a_bundle_is_added_with_its_weights_in_safetensors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = threshold_bundle(tmp_path / "bundles" / "spleen_ct 1")
    assert add(bundle, None, tmp_path / "config.yaml") == 0
    said = capsys.readouterr()
    assert (bundle / "models" / "model.safetensors").is_file()
    assert "converted to model.safetensors" in said.err
    entry = yaml.safe_load(said.out)["bundles"]["spleen_ct_1"]
    assert entry["path"] == "bundles/spleen_ct 1"
    assert entry["sha256"] == settings(bundle)["sha256"]
    assert add(bundle, "mine", tmp_path / "elsewhere" / "config.yaml") == 0
    assert yaml.safe_load(capsys.readouterr().out)["bundles"]["mine"]["path"] == str(bundle)


def test_what_is_not_understood_is_named_and_weights_that_would_run_something_are_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = threshold_bundle(tmp_path / "a", inferer="$__import__('os').system('touch was_here')")
    assert add(bundle, None, tmp_path / "config.yaml") == 0
    assert "inferer: $__import__('os').system('touch was_here'): the call of __import__" in capsys.readouterr().err

    class Malicious:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/was_here",)

    (bundle / "models" / "model.safetensors").unlink()
    (bundle / "models" / "model.pt").write_bytes(pickle.dumps(Malicious()))
    assert add(bundle, None, tmp_path / "config.yaml") == 1
    assert "holds more than tensors" in capsys.readouterr().err
    assert add(tmp_path, None, tmp_path / "config.yaml") == 1
    assert not (tmp_path / "was_here").exists()


def test_a_folder_is_checked_with_its_classes_and_its_geometry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = threshold_bundle(tmp_path)
    assert check(str(bundle), tmp_path / "config.yaml") == 0
    said = capsys.readouterr().out
    assert "good      sha256: " in said
    assert "good      UNet: in MONAI's list" in said
    assert "good      LoadImaged: left out at preprocessing::transforms::0" in said
    assert "model.pt holds" in said
    assert "good      geometry: results end where they belong, also on oblique and reversed slices (Dice 0.99" in said
    assert check(str(bundle), tmp_path / "config.yaml", json_output=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert [f"{one['state']:<9} {one['key']}: {one['sentence']}" for one in told] == said.splitlines()


def test_what_turns_results_wrongly_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flipped = composed(
        {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"},
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: torch.flip(x, [2])"},
    )
    assert check(str(threshold_bundle(tmp_path, postprocessing=flipped)), tmp_path / "config.yaml") == 1
    assert "bad       geometry: the result is turned wrongly: mirroring along the rows" in capsys.readouterr().out


def test_an_entry_of_the_configuration_is_checked_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = settings(threshold_bundle(tmp_path / "bundle"))
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"bundles": {"spleen": {**entry, "path": "bundle"}}}))
    assert check("spleen", config) == 0
    assert "inputs and output: image to segmentation" in capsys.readouterr().out
    (tmp_path / "bundle" / "configs" / "more.json").write_text("{}")
    assert check("spleen", config) == 1
    assert f"and the configuration asks for {entry['sha256']}" in capsys.readouterr().out
    assert check("liver", config) == 2
    assert "there are: spleen" in capsys.readouterr().err


def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundle.zip").touch()
    (tmp_path / "empty").mkdir()
    written = tmp_path / "config.yaml"
    written.write_text("bundles: {}\n")
    for config in (written, tmp_path / "none.yaml"):
        for name, why in (("bundle.zip", "an archive has to be unpacked first"), ("empty", "it has no folder configs")):
            assert check(str(tmp_path / name), config) == 1
            assert why in capsys.readouterr().out
            assert add(tmp_path / name, None, config) == 1
            assert why in capsys.readouterr().err


def test_a_name_is_one_that_the_configuration_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = threshold_bundle(tmp_path / "bundle")
    assert add(bundle, "my spleen", tmp_path / "config.yaml") == 2
    assert "--name: my spleen: should be letters, digits, - and _, such as my_spleen" in capsys.readouterr().err


def test_a_folder_gives_a_fit_name() -> None:
    assert [fit_name(name) for name in ("spleen ct", "ö", "-a.b-")] == ["spleen_ct", "bundle", "a_b"]
