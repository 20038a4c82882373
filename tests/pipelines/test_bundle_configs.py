"""`pipelines.bundle_configs`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipelines.bundle_configs import (
    INFERENCE,
    METADATA,
    UnusableBundle,
    parser,
    read_config,
    read_metadata,
    trained_on,
)

CONFIG: Mapping[str, object] = {
    "bundle_root": ".",
    "device": "cpu",
    "network_def": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1, "bias": False},
    "network": {
        "_target_": "pipelines.bundle_configs.with_weights",
        "network": "@network_def",
        "path": "$@bundle_root + '/models/model.safetensors'",
    },
    "inferer": {"_target_": "monai.inferers.SimpleInferer"},
    "never": {"_target_": "os.abort"},
}


def bundle(folder: Path, config: Mapping[str, object] = CONFIG, weights: tuple[float, float] = (1.0, 2.0)) -> Path:
    """A bundle of one linear layer."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / INFERENCE).write_text(json.dumps(config))
    meta = {"data_source": "10 simulated lines", "intended_use": "research only, not for clinical use"}
    (folder / METADATA).write_text(json.dumps(meta))
    save_file({"weight": torch.tensor([weights])}, folder / "models" / "model.safetensors")
    return folder


def changed(place: str, value: object) -> dict[str, object]:
    """The config with one value replaced."""
    config: dict[str, object] = json.loads(json.dumps(CONFIG))
    *way, last = place.split("::")
    inner = config
    for key in way:
        inner = inner[key]  # type: ignore[assignment]
    inner[last] = value
    return config


def test_builds_the_network_with_its_weights_and_nothing_that_was_not_asked_for(tmp_path: Path) -> None:
    shipped = bundle(tmp_path / "shipped")
    network = parser(shipped, shipped).get_parsed_content("network")
    assert network(torch.tensor([3.0, 4.0])).item() == 11.0
    assert not network.training


def test_a_bundle_of_a_site_brings_its_own_weights_and_plain_values(tmp_path: Path) -> None:
    shipped = bundle(tmp_path / "shipped")
    own = bundle(tmp_path / "own", changed("note", "ours"), weights=(5.0, 6.0))
    found = parser(own, shipped, device="cuda:1")
    assert found.get_parsed_content("network")(torch.tensor([1.0, 1.0])).item() == 11.0
    assert (found["note"], found["device"]) == ("ours", "cuda:1")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("network_def::_target_", "os.abort"),
        ("network_def::in_features", "$__import__('os').abort()"),
        ("network_def::more", {"_target_": "os.abort"}),
        ("more", ["plain", "$__import__('os').abort()"]),
        ("device", "@never"),
        ("device", "%other.json::device"),
        ("$__import__('os').abort()", 1),
        ("inferer::_mode_", "debug"),
        ("network_def::_requires_", ["$1"]),
    ],
)
def test_a_config_that_calls_what_the_shipped_one_does_not_is_refused(
    tmp_path: Path, place: str, value: object
) -> None:
    shipped = bundle(tmp_path / "shipped")
    own = bundle(tmp_path / "own", changed(place, value))
    with pytest.raises(UnusableBundle, match="which the shipped bundle does not call"):
        parser(own, shipped)


def test_a_config_that_calls_less_than_the_shipped_one_is_refused(tmp_path: Path) -> None:
    shipped = bundle(tmp_path / "shipped")
    own = bundle(tmp_path / "own", {key: value for key, value in CONFIG.items() if key != "inferer"})
    with pytest.raises(UnusableBundle, match="lacks inferer::_target_"):
        read_config(own, shipped)


def test_a_bundle_says_what_it_was_trained_on_and_may_be_used_for(tmp_path: Path) -> None:
    shipped = bundle(tmp_path / "shipped")
    assert trained_on(shipped) == "trained on 10 simulated lines; research only, not for clinical use"
    (shipped / METADATA).write_text('{"data_source": "x"}')
    with pytest.raises(UnusableBundle, match="lacks intended_use"):
        trained_on(shipped)


def test_metadata_are_read_again_after_they_have_changed(tmp_path: Path) -> None:
    shipped = bundle(tmp_path / "shipped")
    read_metadata(shipped)
    (shipped / METADATA).write_text('{"version": "0.2.0"}')
    assert read_metadata(shipped) == {"version": "0.2.0"}


@pytest.mark.parametrize(("text", "says"), [("{", "is no JSON"), ("[]", "should hold an object")])
def test_a_file_that_is_no_object_is_named(tmp_path: Path, text: str, says: str) -> None:
    shipped = bundle(tmp_path / "shipped")
    (shipped / METADATA).write_text(text)
    with pytest.raises(UnusableBundle, match=rf"metadata\.json: {says}"):
        read_metadata(shipped)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableBundle, match=r"inference\.json: cannot be read"):
        read_config(tmp_path, tmp_path)
