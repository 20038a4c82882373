"""Types of command-line arguments, files, folders and numbers: what cannot be used is said before work begins."""

from __future__ import annotations

import tempfile
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
        If a file is in its way, or this account may not write there.
    """
    path = _path(text)
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not there.is_dir():
        raise ArgumentTypeError(f"{there}: is a file, should be a folder")
    _require_room(there)
    return path


def output_file(text: str) -> Path:
    """A file to write, in a folder that exists.

    Raises
    ------
    ArgumentTypeError
        If it cannot be one, or this account may not write there.
    """
    path = _path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{text}: is a folder, should be a file")
    if not path.absolute().parent.is_dir():
        raise ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    _require_room(path.absolute().parent)
    return path


def whole_number(text: str) -> int:
    """A whole number, 0 or more.

    Raises
    ------
    ArgumentTypeError
        If it is none.
    """
    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError(f"{text!r}: should be a whole number, 0 or more")
    return int(text)


def count(text: str) -> int:
    """A whole number, 1 or more.

    Raises
    ------
    ArgumentTypeError
        If it is none.
    """
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ArgumentTypeError(f"{text!r}: should be a whole number, 1 or more")
    return int(text)


def share(text: str) -> float:
    """A number from 0 to 1.

    Raises
    ------
    ArgumentTypeError
        If it is none.
    """
    value = _number(text)
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"{text!r}: should be a number from 0 to 1")
    return value


def positive(text: str) -> float:
    """A number above 0.

    Raises
    ------
    ArgumentTypeError
        If it is none.
    """
    value = _number(text)
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r}: should be a number above 0")
    return value


def _number(text: str) -> float:
    """The number of a text; not a number where it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _require_room(folder: Path) -> None:
    """Find out by a file that leaves no trace whether anything can be written to a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ArgumentTypeError(f"{folder}: cannot be written to: {error.strerror}") from None


def _path(text: str) -> Path:
    """The path that a text names; an empty one, such as a variable that is not set, is not the current folder."""
    if not text.strip():
        raise ArgumentTypeError("is empty, should be a path")
    return Path(text)
