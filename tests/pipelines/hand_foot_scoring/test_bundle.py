"""The shipped bundle as MONAI sees it."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import monai.bundle
import pytest
import torch

from pipelines.bundle_configs import METADATA, parser, read_metadata
from pipelines.hand_foot_scoring import BUNDLE, HandFootScoringSettings
from pipelines.hand_foot_scoring.evaluation.film_scores import HEADING
from pipelines.hand_foot_scoring.provenance import read_provenance
from pipelines.hand_foot_scoring.training.bundle_files import write_metadata
from pipelines.hand_foot_scoring.training.plan import Plan
from tests.pipelines.bundle_checks import verify
from tests.pipelines.hand_foot_scoring.graded_data import own_films


def run(*words: str, cwd: Path) -> str:
    """What `python -m monai.bundle` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def run_here(config: str, **values: str) -> None:
    """What `python -m monai.bundle run` does with a config, in this process: that MONAI starts is shown once, below."""
    path = BUNDLE / "configs" / f"{config}.json"
    monai.bundle.run(config_file=str(path), bundle_root=str(BUNDLE), logging_file=False, **values)


def test_the_metadata_keep_to_the_specification_and_say_what_the_class_map_takes_and_gives(
    networks: None, tmp_path: Path
) -> None:
    verify(BUNDLE, tmp_path, "class_map_def")


def test_the_damage_heads_take_and_give_what_the_metadata_say(networks: None) -> None:
    form = read_metadata(BUNDLE)["damage_data_format"]
    image = form["inputs"]["image"]
    network = parser(BUNDLE, BUNDLE).get_parsed_content("damage")
    raw = network(torch.rand(3, image["num_channels"], *image["spatial_shape"]), torch.tensor([1, 5, 28]))
    assert {name: value.shape[1] for name, value in raw.items()} == {
        name: one["num_channels"] for name, one in form["outputs"].items()
    }


def test_training_would_write_the_metadata_that_are_shipped(tmp_path: Path) -> None:
    write_metadata(tmp_path, read_provenance(BUNDLE))
    ours, shipped = dict(read_metadata(tmp_path)), dict(read_metadata(BUNDLE))
    for name in ("monai_version", "pytorch_version", "numpy_version"):  # of the machine that it is trained on
        assert ours.pop(name).split(".")[0] == shipped.pop(name).split(".")[0]
    assert ours.pop("required_packages_version").keys() == shipped.pop("required_packages_version").keys()
    assert ours == shipped


def test_the_config_of_the_training_has_the_values_of_its_plan() -> None:
    config = json.loads((BUNDLE / "configs" / "train.json").read_text())
    stated = {name: config[name] for name in Plan.model_fields if name != "output"}
    assert stated == Plan(output=Path("x")).model_dump(mode="json", exclude={"output"})
    assert set(config["plan"]) == {"_target_", *Plan.model_fields}


@pytest.mark.filterwarnings("ignore:parsing config_file")  # that a config is code
def test_monai_scores_the_films_of_a_folder(networks: None, tmp_path: Path) -> None:
    own_films(tmp_path / "films", {"A": [("foot", "R")]})
    places = {"dataset_dir": str(tmp_path / "films"), "output_dir": str(tmp_path / "out")}
    run_here("inference", **places)
    with (tmp_path / "out" / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == HEADING
    assert {(row["side"], row["limb"]) for row in rows} == {("R", "foot")}
    assert len(rows) == 12
    assert sum(bool(row["score"]) for row in rows) > 6


@pytest.mark.filterwarnings("ignore:parsing config_file")  # that a config is code
def test_monai_evaluates_the_bundle_on_graded_films(networks: None, tmp_path: Path) -> None:
    (film,) = own_films(tmp_path / "films", {"A": [("foot", "R")]})
    figures = tmp_path / "figures.json"
    places = {"dataset_dir": str(tmp_path / "films"), "output_dir": str(tmp_path / "report"), "json": str(figures)}
    run_here("evaluate", layout="own", **places)
    found = json.loads(figures.read_text())
    assert (found["films"], found["set"], found["graded_cells"]) == (1, "all films", len(film.grades))
    assert (tmp_path / "report" / "report.html").is_file()
    assert (tmp_path / "report" / "bland_altman.png").is_file()


def test_monai_trains_a_part_of_a_bundle_as_the_command_does(networks: None, tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    run(
        "run",
        *("--config_file", str(BUNDLE / "configs" / "train.json"), "--output", str(output)),
        *("--only", "['shape']", "--skeletons", "40", "--seed", "7"),
        cwd=tmp_path,
    )
    (record,) = read_provenance(output).parts.values()
    assert (record.seed, record.command) == (7, "condyle train hand_foot_scoring --seed 7 --only shape --skeletons 40")
    assert (output / "models" / "shape.npz").is_file()


def test_a_bundle_stays_whole_and_small_when_it_is_copied(networks: None, tmp_path: Path) -> None:
    own = Path(shutil.copytree(BUNDLE, tmp_path / "own"))
    assert HandFootScoringSettings(bundle=own).bundle == own
    assert (own / METADATA).stat().st_size < 40_000


@pytest.mark.parametrize("name", ["inference", "train", "evaluate"])
def test_no_config_names_a_place_on_a_machine(name: str) -> None:
    assert str(Path.home()) not in (BUNDLE / "configs" / f"{name}.json").read_text()
