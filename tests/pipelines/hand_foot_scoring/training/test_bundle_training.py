"""The parts of a bundle, made as small as a test allows."""

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
from pipelines.hand_foot_scoring.network import Damage
from pipelines.hand_foot_scoring.provenance import OPEN, Source, read_provenance
from pipelines.hand_foot_scoring.simulation.crops import simulated
from pipelines.hand_foot_scoring.training import bundle_training, damage_heads, train
from pipelines.hand_foot_scoring.training.data import own_table
from pipelines.hand_foot_scoring.training.data.digests import films_digest
from pipelines.lab.checkpoint import Checkpoint
from tests.pipelines.hand_foot_scoring.graded_data import own_films
from tests.pipelines.hand_foot_scoring.ram_data import ram_set


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
        "trained on simulated radiographs, Site X (1 patient) and openly licensed radiographs (18 films);"
        " research only, not for clinical use"
    )
    parts = read_provenance(output).parts
    simulated, own, earlier = parts["damage"].sources
    assert earlier.name == OPEN, "of the networks that the training started from"
    digest = films_digest(own_table.read(data).films)
    assert own == Source("Site X", "in-house", 1, 2, 0.4, "own", (0.7, 0.15, 0.15), digest)
    assert simulated.share == 0.6
    assert parts["localiser"].sources[1].films == 2
    assert parts["damage"].seed == 0
    assert str(tmp_path) not in parts["damage"].command  # metadata travel
    assert parts["calibration"].remarks[0].startswith("hand_erosion on simulated patients: fewer than 10")
    assert {path.name for path in output.iterdir()} == {"configs", "docs", "logs", "models"}
    written = {path.relative_to(output).as_posix(): path for path in output.rglob("*") if path.is_file()}
    assert set(FILES) < set(written)
    assert not [name for name, path in written.items() if b"patient A" in path.read_bytes()]  # nothing names a patient
    page = written["logs/report.html"].read_text()
    assert page.count("data:image/png") == 3  # localiser, its sign of growth plates, damage heads
    assert "logs/damage.csv" in written
    assert any("tensorboard/damage" in name for name in written)
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in written.values())
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
        patched.setattr(bundle_training, "train_damage", killed)
        with pytest.raises(KeyboardInterrupt):
            train.main(options)
    assert sorted(path.name for path in output.glob("*.training")) == ["damage.training", "training_crops.training"]
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.hand_foot_scoring.training.graded_crops._film_rows", None)  # they are cut already
        checkpoints: list[Checkpoint] = []

        def trained(*_: object, checkpoint: Checkpoint, **parts: object) -> Damage:
            checkpoints.append(checkpoint)
            return Damage()

        patched.setattr(bundle_training, "train_damage", trained)
        assert train.main(options) == 0
        assert checkpoints
    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(bundle_training, "train_damage", killed)
        with pytest.raises(KeyboardInterrupt):
            train.main(options)
    lines = (data / "films.csv").read_text().splitlines()
    (data / "films.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")  # one film fewer to learn from
    assert train.main(options) == 1
    assert "on other data" in capsys.readouterr().out.replace("\n", " ")


def test_films_from_which_no_joint_can_be_cut_train_nothing(
    networks: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for film in own_films(tmp_path / "own", {"A": [("foot", "R")]}):
        film.picture.write_bytes(b"no picture")
    options = ["--data", str(tmp_path / "own"), "--layout", "own", "--output", str(tmp_path / "bundle")]
    assert train.main([*SMALL, *options, "--only", "damage", "--sets", "1", "0", "0"]) == 1
    said = capsys.readouterr().out.replace("\n", " ")
    assert "no graded joint could be cut from any film: 1 x the picture cannot be read" in said
    assert not (tmp_path / "bundle" / "models" / "damage.safetensors").exists()


def test_heads_are_calibrated_on_graded_patients_where_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage_heads, "ENOUGH_PATIENTS", 2)
    monkeypatch.setattr(damage_heads, "ENOUGH_JOINTS", 20)
    made = simulated(0, 2, even=1, children=0, sites_each=4)
    everything = simulated(1, 3, even=1, children=0)
    graded = everything.take(np.flatnonzero(~np.isin(everything.sites, damage_heads.FOOT_CLASSES)))
    found = damage_heads.calibrate(Damage(), made, graded)
    assert found.on_graded == {"hand_erosion": 3, "narrowing": 3}  # no feet among the graded


def test_ram_h1200_is_trained_on_as_published_and_measured_on_its_test_set(networks: None, tmp_path: Path) -> None:
    data, output = ram_set(tmp_path / "RAM-H1200-v1"), tmp_path / "bundle"
    options = ["--data", str(data), "--layout", "ram-h1200"]
    assert (
        train.main([*SMALL, *options, "--licence", "CC BY 4.0", "--output", str(output), "--start", str(BUNDLE)]) == 0
    )
    provenance = read_provenance(output)
    (own,) = [source for source in provenance.parts["damage"].sources if source.layout]
    assert (own.name, own.licence, own.patients, own.films) == ("RAM-H1200", "CC BY 4.0", 1, 2)
    assert provenance.data_source.startswith("simulated radiographs, RAM-H1200 (1 patient) and openly licensed")
    out = tmp_path / "figures.json"
    assert evaluate.main([*options, "--bundle", str(output), "--json", str(out), "--threads", "1"]) == 0
    figures = json.loads(out.read_text())
    assert (figures["films"], figures["patients"], figures["graded_cells"]) == (1, 1, 31)
