"""What lies in a folder, and whether one folder lies in another, whatever names they have.

Links in a folder are not followed, and only files are read: a link may lead anywhere, and a pipe may never end.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

LINK = "is a link, and links are not followed"
OWN_FOLDER = "is in node.data, the node's own folder, of which nothing is imported"
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISLNK, LINK),
    (stat.S_ISFIFO, "is a pipe, and only files are read"),
    (stat.S_ISSOCK, "is a socket, and only files are read"),
    (stat.S_ISCHR, "is a device, and only files are read"),
    (stat.S_ISBLK, "is a device, and only files are read"),
)

Leave = Callable[[Path, str], None]


def files_below(root: Path, leave: Leave, own: Path | None = None) -> Iterator[Path]:
    """The files in a folder and its subfolders, in a stable order.

    Parameters
    ----------
    root
        The folder; if it is a link, the folder that it leads to.
    leave
        Called with the path and the reason of what is not a file, and of a file or subfolder that the system does not
        let be read.
    own
        The node's data folder, where it is not to be looked into.
    """

    def denied(path: Path, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # gone just now
            leave(path, unreadable(error))

    shut = _identities(own) if own is not None else frozenset()
    folders = [root]  # a list, as `os.walk` calls itself for each level, and some have thousands
    while folders:
        folder, inner = folders.pop(), []
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            denied(folder, error)
            continue
        for path in (folder / name for name in names):
            try:
                state = path.lstat()
            except OSError as error:
                denied(path, error)
                continue
            if reason := OWN_FOLDER if _identity(state) in shut else no_file(state.st_mode):
                leave(path, reason)
            elif stat.S_ISDIR(state.st_mode):
                inner.append(path)
            else:
                yield path
        folders += reversed(inner)


def no_file(mode: int) -> str:
    """Why something of that mode (`os.stat`) is not read; empty for a file."""
    return next((reason for fits, reason in _KINDS if fits(mode)), "")


def unreadable(error: OSError) -> str:
    """Why the system does not let something be read."""
    return f"cannot be read: {error.strerror}"


def lies_in(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or lies in it, by links, mounts and other spellings too; neither need be there."""
    inner, outer = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    if inner.is_relative_to(outer):
        return True
    inside = _identities(outer)
    return any(_identity(state) in inside for state in _states((inner, *inner.parents)))


def is_same(one: Path, other: Path) -> bool:
    """Whether both are there, and the same file or folder."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


_Identity = tuple[int, int]  # device and number on it: the same by whatever name


def _identity(state: os.stat_result) -> _Identity:
    return state.st_dev, state.st_ino


def _identities(folder: Path) -> frozenset[_Identity]:
    """Those of a folder and of the folders in it, each of which may be mounted elsewhere too."""
    inner: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        inner += [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return frozenset(map(_identity, _states((folder, *inner))))


def _states(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    """Of those that are there."""
    for path in paths:
        with contextlib.suppress(OSError):
            yield path.stat()
