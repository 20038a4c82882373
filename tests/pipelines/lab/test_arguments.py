"""An argument that names a file or folder is held against the disk before any work begins."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.lab.arguments import (
    count,
    existing_file,
    existing_folder,
    existing_path,
    output_file,
    output_folder,
    positive,
    share,
    whole_number,
)
from tests.privileges import held_to_permissions

Read = Callable[[str], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file in it."""
    (tmp_path / "file").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (existing_folder, "."),
        (existing_path, "."),
        (existing_path, "file"),
        (existing_file, "file"),
        (output_folder, "."),
        (output_folder, "new/er"),
        (output_file, "file"),
        (output_file, "new"),
    ],
)
def test_what_can_be_used_is_taken(folder: Path, read: Read, name: str) -> None:
    assert read(str(folder / name)) == folder / name


@pytest.mark.parametrize(
    ("read", "name", "why"),
    [
        (existing_folder, "none", "there is no such folder"),
        (existing_folder, "file", "is a file, should be a folder"),
        (existing_path, "none", "there is no such file or folder"),
        (existing_file, "none", "there is no such file"),
        (existing_file, ".", "is a folder, should be a file"),
        (output_folder, "file", "file: is a file, should be a folder"),
        (output_folder, "file/below", "file: is a file, should be a folder"),
        (output_file, ".", "is a folder, should be a file"),
        (output_file, "none/new", "there is no folder"),
        (output_file, "file/new", "there is no folder"),
    ],
)
def test_what_cannot_be_used_is_said(folder: Path, read: Read, name: str, why: str) -> None:
    with pytest.raises(ArgumentTypeError, match=why):
        read(str(folder / name))


@pytest.mark.parametrize(("read", "name"), [(output_folder, "."), (output_folder, "new/er"), (output_file, "new")])
def test_a_folder_that_may_not_be_written_to_is_said(folder: Path, read: Read, name: str) -> None:
    folder.chmod(0o500)
    with held_to_permissions(), pytest.raises(ArgumentTypeError, match="cannot be written to: Permission denied"):
        read(str(folder / name))
    folder.chmod(0o700)
    read(str(folder / name))
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [(whole_number, "0", 0), (count, "12", 12), (share, "0.25", 0.25), (share, "1", 1.0), (positive, "1e-3", 0.001)],
)
def test_a_number_is_read(read: Callable[[str], float], text: str, value: float) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "why"),
    [
        (whole_number, "-1", "a whole number, 0 or more"),
        (whole_number, "1.5", "a whole number, 0 or more"),
        (count, "0", "a whole number, 1 or more"),
        (count, "few", "a whole number, 1 or more"),
        (share, "1.5", "from 0 to 1"),
        (share, "half", "from 0 to 1"),
        (positive, "0", "above 0"),
        (positive, "inf", "above 0"),
    ],
)
def test_what_is_no_such_number_is_said(read: Callable[[str], float], text: str, why: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"'{text}': should be .*{why}"):
        read(text)


@pytest.mark.parametrize("read", [existing_folder, existing_path, existing_file, output_folder, output_file])
def test_an_empty_text_is_not_the_current_folder(read: Read) -> None:
    with pytest.raises(ArgumentTypeError, match="is empty"):
        read(" ")
