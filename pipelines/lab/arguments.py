"""Types of command-line arguments that name files and folders: what cannot be used is said before work begins."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path


def existing_folder(text: str) -> Path:
    """A folder to read from.

    Raises
    ------
    ArgumentTypeError
        If there is no such folder.
    """
    path = _path(text)
    if not path.exists():
        raise ArgumentTypeError(f"{text}: there is no such folder")
    if not path.is_dir():
        raise ArgumentTypeError(f"{text}: is a file, should be a folder")
    return path


def existing_path(text: str) -> Path:
    """A file or a folder to read from.

    Raises
    ------
    ArgumentTypeError
        If there is neither.
    """
    path = _path(text)
    if not path.exists():
        raise ArgumentTypeError(f"{text}: there is no such file or folder")
    return path


def existing_file(text: str) -> Path:
    """A file to read.

    Raises
    ------
    ArgumentTypeError
        If there is no such file.
    """
    path = _path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{text}: is a folder, should be a file")
    if not path.is_file():
        raise ArgumentTypeError(f"{text}: there is no such file")
    return path


def output_folder(text: str) -> Path:
    """A folder to write to; it need not exist yet.

    Raises
    ------
    ArgumentTypeError
        If a file is in its way.
    """
    path = _path(text)
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not there.is_dir():
        raise ArgumentTypeError(f"{there}: is a file, should be a folder")
    return path


def output_file(text: str) -> Path:
    """A file to write, in a folder that exists.

    Raises
    ------
    ArgumentTypeError
        If it cannot be one.
    """
    path = _path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{text}: is a folder, should be a file")
    if not path.absolute().parent.is_dir():
        raise ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    return path


def _path(text: str) -> Path:
    """The path that a text names; an empty one, such as a variable that is not set, is not the current folder."""
    if not text.strip():
        raise ArgumentTypeError("is empty, should be a path")
    return Path(text)
