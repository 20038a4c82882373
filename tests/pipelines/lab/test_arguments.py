"""An argument that names a file or folder is held against the disk before any work begins."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.lab.arguments import existing_file, existing_folder, existing_path, output_file, output_folder

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


@pytest.mark.parametrize("read", [existing_folder, existing_path, existing_file, output_folder, output_file])
def test_an_empty_text_is_not_the_current_folder(read: Read) -> None:
    with pytest.raises(ArgumentTypeError, match="is empty"):
        read(" ")
