"""A result's folder is whole or not there, and nothing that lay there before is lost without being asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from node.local.saving import Content, read_summary, require_free, save
from node.local.volumes import LocalVolume
from tests.privileges import held_to_permissions

SUMMARY = {"state": "done", "pipeline": "p", "folder": "p-1"}


def content(**changes: object) -> Content:
    return Content(**{"name": "p-1", "summary": SUMMARY, "captures": (b"png",), **changes})  # type: ignore[arg-type]


def test_the_folder_has_what_the_summary_says(tmp_path: Path) -> None:
    volume = LocalVolume("derived", np.zeros((2, 2, 2), np.float32), np.eye(4))
    made = save(content(volumes=(volume,), traceback="where"), tmp_path / "new" / "out")
    summary = json.loads((made / "summary.json").read_text())
    files = {"objects": [], "captures": ["captures/capture-1.png"], "nifti": ["nifti/derived.nii.gz"]}
    assert summary == SUMMARY | files
    assert all((made / name).is_file() for name in (*summary["captures"], *summary["nifti"], "traceback.txt"))
    assert read_summary(made) == summary
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == ["p-1"]


def test_an_earlier_result_is_replaced_whole_and_only_if_that_is_wanted(tmp_path: Path) -> None:
    made = save(content(traceback="earlier"), tmp_path)
    before = (made / "summary.json").read_bytes()
    with pytest.raises(FileExistsError) as refused:
        save(content(captures=()), tmp_path)
    assert refused.value.strerror == "holds earlier results of these images: p-1"
    assert (made / "summary.json").read_bytes() == before
    save(content(captures=()), tmp_path, overwrite=True)
    assert [path.name for path in made.iterdir()] == ["summary.json"]


def test_a_folder_that_is_no_result_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "p-1").mkdir()
    (tmp_path / "p-1" / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError) as refused:
            save(content(), tmp_path, overwrite=overwrite)
        assert refused.value.strerror == "holds p-1, which is no result and is not replaced"
    assert (tmp_path / "p-1" / "thesis.txt").exists()


def test_what_breaks_off_leaves_nothing_behind_and_the_earlier_result_as_it_was(tmp_path: Path) -> None:
    made = save(content(), tmp_path)
    broken = LocalVolume("broken", np.zeros((2, 2, 2), np.float32), np.zeros((4, 4)))  # no direction
    with pytest.raises(RuntimeError):
        save(content(volumes=(broken,)), tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [made.name]
    assert read_summary(made) is not None
    assert not (made / "nifti").exists()


def test_a_folder_that_cannot_be_written_is_found_out_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(FileExistsError):
        require_free(tmp_path / "file", ["p-1"])
    with pytest.raises(NotADirectoryError):
        require_free(tmp_path / "file" / "out", ["p-1"])
    (tmp_path / "shut").mkdir(mode=0o500)
    with held_to_permissions(), pytest.raises(PermissionError):
        require_free(tmp_path / "shut", ["p-1"])
    require_free(tmp_path / "open", ["p-1"])
    assert list((tmp_path / "open").iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", '{"state": "done"}', "\xff"])
def test_a_summary_of_somebody_else_is_none_of_ours(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text, encoding="latin-1")
    assert read_summary(tmp_path) is None
