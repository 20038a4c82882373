"""Training and evaluation as programs, small enough for a test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring import BUNDLE, FILES, HandFootScoring, HandFootScoringSettings, weights
from pipelines.hand_foot_scoring.calibration import POOLINGS
from pipelines.hand_foot_scoring.evaluation import evaluate
from pipelines.hand_foot_scoring.heads import MAXIMUM
from pipelines.hand_foot_scoring.manifest import MANIFEST, OPEN, Source, read_manifest
from pipelines.hand_foot_scoring.network import Damage
from pipelines.hand_foot_scoring.simulation.crops import simulated
from pipelines.hand_foot_scoring.training import damage_heads, train
from pipelines.hand_foot_scoring.training.data import own_table
from pipelines.lab.checkpoint import Checkpoint
from tests.pipelines.hand_foot_scoring.graded_data import own_films
from tests.pipelines.hand_foot_scoring.ram_data import ram_set


def test_a_folder_with_the_state_of_another_training_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Checkpoint(tmp_path / "localiser.training", "localiser, seed 7, 500 steps")
    kept.save(50)
    assert train.main(["--output", str(tmp_path), "--threads", "1", "--only", "localiser", "--steps", "2"]) == 2
    assert "localiser.training" in capsys.readouterr().out.replace("\n", "")
    assert kept.resume() == 50


def test_the_command_writes_a_bundle_that_loads(tmp_path: Path) -> None:
    common = ["--output", str(tmp_path), "--threads", "1"]
    assert (
        train.main(
            [
                *common,
                "--only",
                "shape",
                "--only",
                "localiser",
                "--skeletons",
                "60",
                "--steps",
                "2",
                "--child-steps",
                "1",
            ]
        )
        == 0
    )
    small = ["--patients", "3", "--epochs", "1", "--calibration-patients", "2", "--gate-patients", "2"]
    assert train.main([*common, "--only", "damage", "--only", "calibration", *small]) == 0
    assert not list(tmp_path.glob("*.training"))  # a training that is over keeps no state
    loaded = weights.load(tmp_path)
    assert loaded.damage.loss == "local_smoothing"
    out = tmp_path / "figures.json"
    few = ["--patients", "2", "--limbs", "1", "--threads", "1"]
    assert evaluate.main(["--bundle", str(tmp_path), *few, "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert set(figures["calibration_error"]) == set(MAXIMUM)
    assert 0 <= figures["interval_coverage"] <= 1
    assert figures["surrogate"]["erosion_rmse"] > 0
    assert set(figures["pooling"]) == set(POOLINGS)
    for part in ("hand", "foot"):
        bands = ("0 to 2", "2 to 5", "5 to 9", "9 to 13", "13 to 15", "15 to 16.5", "grown")
        assert tuple(figures["open_plates"][part]) == bands


# ---- a site's own films
SMALL = [
    "--threads",
    "1",
    "--steps",
    "1",
    "--child-steps",
    "1",
    "--patients",
    "2",
    "--epochs",
    "1",
    "--calibration-patients",
    "2",
    "--gate-patients",
    "2",
]


def own_set(folder: Path) -> Path:
    """Three patients, one in each set."""
    films = own_films(folder, {"A": [("hand", "L"), ("foot", "R")], "B": [("hand", "R")], "C": [("hand", "L")]})
    asked = {"A": "training", "B": "calibration", "C": "test"}
    own_table.write(folder / "films.csv", [replace(film, asked_set=asked[film.patient]) for film in films])  # type: ignore[arg-type]
    return folder


def test_a_site_trains_on_its_own_films_and_the_bundle_says_so(networks: None, tmp_path: Path) -> None:
    data, output = own_set(tmp_path / "Site X"), tmp_path / "bundle"
    options = ["--data", str(data), "--layout", "own", "--licence", "in-house", "--start", str(BUNDLE)]
    assert train.main([*SMALL, *options, "--output", str(output), "--real-share", "0.4"]) == 0
    settings = HandFootScoringSettings(bundle=output)  # which checks it
    assert HandFootScoring(settings).model.trained_on == (
        "trained on simulated radiographs, Site X (1 patient) and openly licensed radiographs (18 films),"
        " not for clinical use"
    )
    manifest = read_manifest(output)
    assert manifest is not None
    simulated, own, earlier = manifest.parts["damage"].sources
    assert earlier.name == OPEN, "of the networks that the training started from"
    assert own == Source("Site X", "in-house", 1, 2, 0.4, "own", (0.7, 0.15, 0.15))
    assert simulated.share == 0.6
    assert manifest.parts["localiser"].sources[1].films == 2
    assert manifest.parts["damage"].seed == 0
    assert str(tmp_path) not in manifest.parts["damage"].command  # a manifest travels
    assert manifest.parts["calibration"].remarks[0].startswith("hand_erosion on simulated patients: fewer than 10")
    assert {path.name for path in output.iterdir()} == {*FILES, MANIFEST}  # nothing that names a patient
    table = (tmp_path / "bundle.patients.csv").read_text().splitlines()
    assert table == ["patient,set", "A,training", "B,calibration", "C,test"]


def test_an_interrupted_training_on_films_of_a_site_goes_on_and_one_on_other_films_does_not(
    networks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, output = own_set(tmp_path / "own"), tmp_path / "bundle"
    options = [*SMALL, "--data", str(data), "--layout", "own", "--output", str(output), "--only", "damage"]

    def killed(*_: object, checkpoint: Checkpoint, **parts: object) -> None:
        checkpoint.save(1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train, "train_damage", killed)
        with pytest.raises(KeyboardInterrupt):
            train.main(options)
    assert sorted(path.name for path in output.glob("*.training")) == ["damage.training", "training_crops.training"]
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.hand_foot_scoring.training.graded_crops._film_rows", None)  # they are cut already
        checkpoints: list[Checkpoint] = []

        def trained(*_: object, checkpoint: Checkpoint, **parts: object) -> Damage:
            checkpoints.append(checkpoint)
            return Damage()

        patched.setattr(train, "train_damage", trained)
        assert train.main(options) == 0
        assert checkpoints
    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(train, "train_damage", killed)
        with pytest.raises(KeyboardInterrupt):
            train.main(options)
    lines = (data / "films.csv").read_text().splitlines()
    (data / "films.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")  # one film fewer to learn from
    assert train.main(options) == 2
    assert "belongs to a training with other settings" in capsys.readouterr().out


def test_heads_are_calibrated_on_graded_patients_where_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage_heads, "ENOUGH_PATIENTS", 2)
    monkeypatch.setattr(damage_heads, "ENOUGH_JOINTS", 20)
    made = simulated(0, 2, even=1, children=0, sites_each=4)
    everything = simulated(1, 3, even=1, children=0)
    graded = everything.take(np.flatnonzero(~np.isin(everything.sites, damage_heads.FOOT_CLASSES)))
    found = damage_heads.calibrate(Damage(), made, graded)
    assert found.on_graded == {"hand_erosion": 3, "narrowing": 3}  # no feet among the graded


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "X"], "--data and --layout must be given together"),
        (["--data", "X", "--layout", "own"], "--data needs --output"),
        (["--sets", "0.5", "0.1", "0.1"], "--sets must add up to 1, not 0.7"),
        (["--data", "X", "--layout", "own", "--output", "Y"], "films.csv: there is no such table"),
    ],
)
def test_options_and_data_that_do_not_fit_are_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main(options) == 2
    assert said in capsys.readouterr().out.replace("\n", " ")


def test_a_share_is_a_number_from_0_to_1() -> None:
    with pytest.raises(SystemExit):
        train.main(["--real-share", "1.5"])


def test_ram_h1200_is_trained_on_as_published_and_measured_on_its_test_set(networks: None, tmp_path: Path) -> None:
    data, output = ram_set(tmp_path / "RAM-H1200-v1"), tmp_path / "bundle"
    options = ["--data", str(data), "--layout", "ram-h1200"]
    assert (
        train.main([*SMALL, *options, "--licence", "CC BY 4.0", "--output", str(output), "--start", str(BUNDLE)]) == 0
    )
    manifest = read_manifest(output)
    assert manifest is not None
    (own,) = [source for source in manifest.parts["damage"].sources if source.layout]
    assert (own.name, own.licence, own.patients, own.films) == ("RAM-H1200", "CC BY 4.0", 1, 2)
    assert manifest.trained_on.startswith("trained on simulated radiographs, RAM-H1200 (1 patient) and openly licensed")
    out = tmp_path / "figures.json"
    assert evaluate.main([*options, "--bundle", str(output), "--json", str(out), "--threads", "1"]) == 0
    figures = json.loads(out.read_text())
    assert (figures["films"], figures["patients"], figures["graded_cells"]) == (1, 1, 31)
