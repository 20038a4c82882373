"""What a bundle was trained on, and whether a folder is a bundle that this version can run."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from node.config.route_settings import paths_in_settings, read_with_settings
from node.route.checks import routes
from pipelines.hand_foot_scoring import BUNDLE, DAMAGE, FILES, HandFootScoring, HandFootScoringSettings
from pipelines.hand_foot_scoring.manifest import (
    MANIFEST,
    OPEN,
    SIMULATED,
    Manifest,
    PartRecord,
    Source,
    add_to_manifest,
    problem,
    read_manifest,
)

RAM = Source("RAM-H1200", "CC BY 4.0", patients=80, films=160, share=0.5)


@pytest.fixture
def own(networks: None, tmp_path: Path) -> Path:
    """A copy of the shipped bundle."""
    return Path(shutil.copytree(BUNDLE, tmp_path / "own"))


def test_a_bundle_says_what_its_parts_were_trained_on(tmp_path: Path) -> None:
    add_to_manifest(tmp_path, "localiser", PartRecord("condyle train hand_foot_scoring", 3))
    assert read_manifest(tmp_path) == Manifest({"localiser": PartRecord("condyle train hand_foot_scoring", 3)})
    only = read_manifest(tmp_path)
    assert only is not None
    assert only.trained_on == "trained on simulated radiographs only, not for clinical use"
    add_to_manifest(tmp_path, "damage", PartRecord("condyle train", 4, (RAM, Source("simulated radiographs"))))
    both = read_manifest(tmp_path)
    assert both is not None
    assert both.parts["localiser"].seed == 3
    assert both.parts["damage"].sources[0].licence == "CC BY 4.0"
    assert both.trained_on == ("trained on simulated radiographs and RAM-H1200 (80 patients), not for clinical use")


def test_the_largest_number_of_real_films_is_named(tmp_path: Path) -> None:
    for part, films in (("localiser", 9), ("damage", 6)):
        sources = (Source(SIMULATED), Source(OPEN, "CC0 1.0, CC BY 4.0", films=films))
        add_to_manifest(tmp_path, part, PartRecord("condyle train", 0, sources))
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert manifest.trained_on == (
        "trained on simulated radiographs and openly licensed radiographs (9 films), not for clinical use"
    )


def test_results_of_a_bundle_of_ones_own_say_what_it_was_trained_on(own: Path) -> None:
    (own / MANIFEST).unlink()
    add_to_manifest(own, "damage", PartRecord("condyle train", 0, (RAM,)))
    model = HandFootScoring(HandFootScoringSettings(bundle=own)).model
    assert model.trained_on == "trained on RAM-H1200 (80 patients), not for clinical use"
    shipped = HandFootScoring(HandFootScoringSettings()).model
    assert model.weights_digest != shipped.weights_digest


def test_the_settings_take_a_whole_bundle_and_import_no_torch(own: Path) -> None:
    assert HandFootScoringSettings(bundle=own).bundle == own
    program = (
        "import sys; from pathlib import Path; from pipelines.hand_foot_scoring import HandFootScoringSettings;"
        f"HandFootScoringSettings(bundle=Path({str(own)!r})); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", FILES)
def test_a_bundle_without_one_of_its_files_is_refused(own: Path, name: str) -> None:
    (own / name).unlink()
    with pytest.raises(ValidationError, match=f"holds no {name}; should be a folder that condyle train"):
        HandFootScoringSettings(bundle=own)


def test_weights_of_other_shapes_are_refused_with_the_array_that_differs(own: Path) -> None:
    arrays = load_file(own / DAMAGE)
    arrays["squeeze.bias"] = np.zeros(7, np.float32)
    save_file(arrays, own / DAMAGE, {"loss": "local_smoothing"})
    with pytest.raises(ValidationError, match=r"damage.safetensors does not fit .* squeeze.bias is 7, expected 96"):
        HandFootScoringSettings(bundle=own)
    del arrays["squeeze.bias"]
    save_file(arrays, own / DAMAGE, {"loss": "local_smoothing"})
    with pytest.raises(ValidationError, match=r"it lacks squeeze\.bias"):
        HandFootScoringSettings(bundle=own)


def test_an_arrangement_of_joints_may_have_more_or_fewer_modes(own: Path) -> None:
    with np.load(own / "shape.npz") as stored:
        arrays = dict(stored)
    arrays["hand.modes"], arrays["hand.spread"] = arrays["hand.modes"][:5], arrays["hand.spread"][:5]
    np.savez(own / "shape.npz", **arrays)
    assert problem(own, BUNDLE, FILES) is None


def test_files_that_would_run_code_are_refused_and_do_not_run_it(own: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Touch:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (ran,)

    (own / "shape.npz").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(ValidationError, match=r"shape\.npz cannot be read"):
        HandFootScoringSettings(bundle=own)
    assert not ran.exists()


def test_a_bundle_of_another_pipeline_is_refused(own: Path) -> None:
    (own / MANIFEST).write_text(json.dumps({"pipeline": "joint_classification", "parts": {}}))
    with pytest.raises(ValidationError, match="one of joint_classification, not of hand_foot_scoring"):
        HandFootScoringSettings(bundle=own)
    source = {"name": "X", "patients": "many"}
    edited = {"localiser": {"command": "", "seed": 0, "sources": [source], "remarks": []}}
    for text in ("[]", "{", json.dumps({"pipeline": "hand_foot_scoring", "parts": edited})):
        (own / MANIFEST).write_text(text)
        with pytest.raises(ValidationError, match=r"manifest\.json: is not a manifest that condyle train wrote"):
            HandFootScoringSettings(bundle=own)


def test_a_relative_path_or_a_file_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="not an absolute path"):
        HandFootScoringSettings(bundle=Path("own"))
    (tmp_path / "file").touch()
    with pytest.raises(ValidationError, match="not a folder"):
        HandFootScoringSettings(bundle=tmp_path / "file")


def test_the_configuration_names_the_setting_that_is_wrong_and_gives_the_workers_the_folder_to_read(
    own: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "routes:\n  hands: {when: {Modality: DX}, level: study, pipeline: hand_foot_scoring, destinations: [],"
        " settings: {bundle: own}}\n",
        encoding="utf-8",
    )
    configuration = read_with_settings(path)
    assert paths_in_settings(configuration) == (own,)
    assert not [result for result in routes(configuration) if result.state == "bad"]
    (own / DAMAGE).unlink()
    (wrong,) = [result for result in routes(configuration) if result.state == "bad"]
    assert wrong.key == "routes.hands.settings.bundle"
    assert "holds no damage.safetensors" in wrong.sentence
