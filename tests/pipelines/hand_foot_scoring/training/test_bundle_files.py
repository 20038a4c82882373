"""The files of a bundle beside what was learned."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.bundle_configs import INFERENCE, read_metadata
from pipelines.hand_foot_scoring.provenance import PartRecord, read_provenance
from pipelines.hand_foot_scoring.training.bundle_files import add_part, begin


def test_a_bundle_begins_with_the_shipped_configs_and_the_loss_that_its_heads_learn_with(tmp_path: Path) -> None:
    begin(tmp_path, "coral")
    assert json.loads((tmp_path / INFERENCE).read_text())["damage_def"]["loss"] == "coral"
    assert {path.name for path in (tmp_path / "configs").iterdir()} == {
        "metadata.json",
        "inference.json",
        "train.json",
        "evaluate.json",
    }
    assert (tmp_path / "docs" / "README.md").is_file()


def test_what_was_said_of_other_parts_stays(tmp_path: Path) -> None:
    begin(tmp_path, "local_smoothing")
    add_part(tmp_path, "shape", PartRecord("first", 1))
    begin(tmp_path, "local_smoothing")
    add_part(tmp_path, "damage", PartRecord("second", 2))
    assert {part: record.seed for part, record in read_provenance(tmp_path).parts.items()} == {"shape": 1, "damage": 2}
    assert read_metadata(tmp_path)["data_source"] == "simulated radiographs only"


def test_every_account_may_read_a_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir(mode=0o700)
    begin(folder, "local_smoothing")
    add_part(folder, "shape", PartRecord("first", 1))
    assert folder.stat().st_mode & 0o777 == 0o755
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in folder.rglob("*"))
