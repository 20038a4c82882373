import json
from pathlib import Path

import pytest

from pipelines.lab.workflow import run_workflow

CONFIG = {
    "imports": ["$import pathlib"],
    "seed": 1,
    "run": ["$pathlib.Path(@bundle_root, 'seed.txt').write_text(str(@seed))"],
}


def bundle(folder: Path, config: object) -> Path:
    (folder / "configs").mkdir()
    (folder / "configs" / "train.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text("{}")
    return folder


def refused() -> None:
    """An error of ours with a cause."""
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        raise LookupError("the table is no table") from error


def test_a_value_of_the_command_takes_the_place_of_that_of_the_config(tmp_path: Path) -> None:
    run_workflow(bundle(tmp_path, CONFIG), "train")
    assert (tmp_path / "seed.txt").read_text() == "1"
    run_workflow(tmp_path, "train", seed=7)
    assert (tmp_path / "seed.txt").read_text() == "7"


def test_an_error_that_names_a_cause_of_its_own_comes_out_with_it(tmp_path: Path) -> None:
    failing = {"imports": ["$import tests.pipelines.lab.test_workflow as here"], "run": ["$here.refused()"]}
    with pytest.raises(LookupError, match="the table is no table") as found:
        run_workflow(bundle(tmp_path, failing), "train")
    assert isinstance(found.value.__cause__, ZeroDivisionError)


def test_an_error_of_ours_comes_out_as_it_was_raised(tmp_path: Path) -> None:
    failing = {
        "folder": {"_target_": "pipelines.lab.arguments.existing_folder", "text": "nowhere"},
        "run": ["$str(@folder)"],
    }
    from argparse import ArgumentTypeError

    with pytest.raises(ArgumentTypeError, match="nowhere: there is no such folder"):
        run_workflow(bundle(tmp_path, failing), "train")
