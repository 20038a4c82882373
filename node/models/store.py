"""Bundles in the data folder, each under the digest of all its files: written once, whole, and never changed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from dicom_sr.words import counted
from node.errors import NodeError
from node.files import copy_whole, flush, make_folder, remove_folder
from pipelines.bundle import bundle_digest

ROOM = "models"  # in the data folder
MOST_FILES = 10_000  # of a folder that holds more, somebody named the wrong one
FILE, FOLDER = 0o400, 0o500  # modes: for the node's own account, and not even that writes


class NotStored(NodeError):
    """A bundle cannot be kept, or is not what was kept; the message says why."""


def folder_of(data: Path, digest: str) -> Path:
    """Where the bundle of that digest lies."""
    return data / ROOM / digest


def stored_name(digest: str) -> str:
    """The folder of a bundle as the settings of a job name it: relative to the data folder."""
    return f"{ROOM}/{digest}"


def digests(data: Path) -> list[str]:
    """The digests of all bundles that are kept."""
    return sorted(path.name for path in (data / ROOM).glob("[!.]*"))


def files_of(folder: Path) -> dict[str, Path]:
    """The files of a folder by their names relative to it, without hidden ones.

    Raises
    ------
    NotStored
        If there are none, or more than a bundle has.
    """
    found = (path for path in folder.rglob("*") if path.is_file())
    relative = {path.relative_to(folder): path for path in islice(found, MOST_FILES + 1)}
    if len(relative) > MOST_FILES:
        raise NotStored(f"{folder}: holds more than {counted(MOST_FILES, 'file')}; should be the folder of a bundle")
    files = {
        name.as_posix(): path
        for name, path in relative.items()
        if not any(part.startswith(".") or part == "__pycache__" for part in name.parts)
    }
    if not files:
        raise NotStored(f"{folder}: holds no file; should be the folder of a bundle")
    return files


def add(data: Path, folder: Path) -> str:
    """Keep a copy of a bundle, flushed to the disk; its digest. One that is there already stays.

    Raises
    ------
    NotStored
        If it is no bundle, changes while it is copied, or cannot be read or written.
    """
    room = data / ROOM
    being_made = room / f".{secrets.token_hex(8)}"
    try:
        files = files_of(folder)
        make_folder(room)
        try:
            copied = _copy(files, being_made)
            digest = bundle_digest(copied)
            if bundle_digest(files_of(folder)) != digest:
                raise NotStored(f"{folder}: its files change while they are copied; name it again when it is whole")
            if folder_of(data, digest).exists():
                require_whole(data, digest)
            else:
                _close(being_made)
                _give_to_the_node(data, room, being_made)
                being_made.rename(folder_of(data, digest))
                flush(room)
        finally:
            if being_made.exists():
                remove_folder(being_made)
    except OSError as error:
        raise NotStored(f"{folder}: cannot be copied into {room}: {error.strerror or error}") from error
    return digest


def _copy(files: Mapping[str, Path], to: Path) -> dict[str, Path]:
    copied = {}
    for name, path in files.items():
        copied[name] = to / name
        make_folder(copied[name].parent)
        copy_whole(path, copied[name], sync="name", mode=FILE)
    return copied


def _close(folder: Path) -> None:
    """Let nobody write to the folders of a new bundle, and flush them."""
    for inner in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        flush(inner)
        inner.chmod(FOLDER)


def _give_to_the_node(data: Path, room: Path, folder: Path) -> None:
    """Let root, who may give the command, leave a bundle to the account that owns the data folder."""
    if os.geteuid() == 0:
        owner = data.stat()
        for path in (room, folder, *folder.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)


def require_whole(data: Path, digest: str) -> None:
    """Make sure that a bundle is what was kept.

    Raises
    ------
    NotStored
        If it is not, or cannot be read.
    """
    folder = folder_of(data, digest)
    try:
        found = bundle_digest(files_of(folder)) if folder.is_dir() else None
    except OSError as error:
        raise NotStored(f"{folder}: cannot be read: {error.strerror or error}") from error
    if found is None:
        raise NotStored(f"{folder}: is missing; bring it back from a backup of node.data")
    if found != digest:
        raise NotStored(f"{folder}: its files were changed; bring it back from a backup of node.data")


def remove(data: Path, digest: str) -> None:
    """Delete a bundle; it is gone at once for whoever looks for it.

    Raises
    ------
    OSError
        If something of it stays.
    """
    going = data / ROOM / f".{secrets.token_hex(8)}"
    folder_of(data, digest).rename(going)
    remove_folder(going)


def clear(data: Path) -> None:
    """Delete what copies that were cut off have left; for the start of the node."""
    for left in (data / ROOM).glob(".*"):
        remove_folder(left)
