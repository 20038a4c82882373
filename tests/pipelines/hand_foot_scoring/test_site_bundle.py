"""Whether a folder is a bundle that this version can run."""

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
from pipelines.bundle_configs import INFERENCE, METADATA
from pipelines.hand_foot_scoring import BUNDLE, DAMAGE, FILES, SHAPE, HandFootScoringSettings
from pipelines.hand_foot_scoring.site_bundle import problem


def changed(bundle: Path, file: str, **values: object) -> None:
    """Replace values at the top of a JSON file."""
    path = bundle / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.fixture
def own(networks: None, tmp_path: Path) -> Path:
    """A copy of the shipped bundle."""
    return Path(shutil.copytree(BUNDLE, tmp_path / "own"))


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
    with np.load(own / SHAPE) as stored:
        arrays = dict(stored)
    arrays["hand.modes"], arrays["hand.spread"] = arrays["hand.modes"][:5], arrays["hand.spread"][:5]
    np.savez(own / SHAPE, **arrays)
    assert problem(own, BUNDLE, FILES) is None


def test_files_that_would_run_code_are_refused_and_do_not_run_it(own: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Touch:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (ran,)

    (own / SHAPE).write_bytes(pickle.dumps(Touch()))
    with pytest.raises(ValidationError, match=r"shape\.npz cannot be read"):
        HandFootScoringSettings(bundle=own)
    assert not ran.exists()


def test_a_bundle_of_another_pipeline_or_that_does_not_say_what_it_learned_from_is_refused(
    own: Path,
) -> None:
    whole = (own / METADATA).read_text()
    changed(own, METADATA, pipeline="joint_classification")
    with pytest.raises(ValidationError, match="one of joint_classification, not of hand_foot_scoring"):
        HandFootScoringSettings(bundle=own)
    source = {"name": "X", "patients": "many"}
    edited = {"localiser": {"command": "", "seed": 0, "sources": [source], "remarks": []}}
    wrong: tuple[dict[str, object], ...] = ({"training": edited}, {"training": {"localiser": {}}}, {"training": []})
    for values in wrong:
        (own / METADATA).write_text(whole)
        changed(own, METADATA, **values)
        with pytest.raises(ValidationError, match=r"metadata\.json: does not say what its parts were trained on"):
            HandFootScoringSettings(bundle=own)
    for text in ("[]", "{"):
        (own / METADATA).write_text(text)
        with pytest.raises(ValidationError, match=r"metadata\.json: (is no JSON|should hold an object)"):
            HandFootScoringSettings(bundle=own)


def test_a_bundle_whose_sentence_and_parts_name_other_sources_is_refused(own: Path) -> None:
    changed(own, METADATA, data_source="the films of our clinic")
    with pytest.raises(ValidationError, match=r"data_source is .*, but its parts were trained on"):
        HandFootScoringSettings(bundle=own)


def test_configs_that_call_something_else_are_refused_and_do_not_run_it(own: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    changed(own, INFERENCE, device=f"$__import__('pathlib').Path({str(ran)!r}).touch()")
    with pytest.raises(ValidationError, match="which the shipped bundle does not call"):
        HandFootScoringSettings(bundle=own)
    assert not ran.exists()


def test_a_config_that_describes_another_network_or_loss_than_the_weights_is_refused(own: Path) -> None:
    damage = json.loads((own / INFERENCE).read_text())["damage_def"]
    changed(own, INFERENCE, damage_def={**damage, "channels": [8, 8, 8, 8]})
    with pytest.raises(ValidationError, match="damage_def is not the network of this version"):
        HandFootScoringSettings(bundle=own)
    changed(own, INFERENCE, damage_def={**damage, "loss": "coral"})
    with pytest.raises(ValidationError, match=r"names the loss coral, but .* was trained with local_smoothing"):
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
    assert "holds no models/damage.safetensors" in wrong.sentence
