"""The node's data folder: it may be moved and restored elsewhere, and nobody but the node's account may read it.

What is stored, in the database or in a file of a job, names files relative to the data folder; here, and nowhere else,
such a name becomes a path again.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import stat
from pathlib import Path

from node.files import file_name, make_folder, write_new

ROOMS = ("instances", "jobs")  # folders whose files are named elsewhere
OTHERS = 0o077  # permissions of everybody but the owner
KEY_BYTES = 32


def keep_private() -> None:
    """Have everything that this process makes, and the processes that it starts, be for its own account alone.

    None leaves its memory, which holds images and records, in a core dump.

    For the start of every process that writes to the data folder.
    """
    os.umask(OTHERS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def prepare(data: Path) -> None:
    """Make the data folder, or close one that is there to others, with all that an older version made in it.

    Deeper than two folders down only what lies in a folder that is open is looked at: of the millions of files that
    this version makes none is. A folder is closed after what lies in it, so that a start that was cut off goes on.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    make_folder(data)
    _close(data.resolve(), levels=2)


def _close(path: Path, levels: int) -> None:
    """Close a file or folder to others, and what lies in it where it is open, or so many levels deep in any case."""
    with contextlib.suppress(PermissionError, FileNotFoundError):  # another account's; deleted meanwhile
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) and (levels or mode & OTHERS):
            for inner in path.iterdir():
                _close(inner, max(levels - 1, 0))
        if mode & OTHERS and not stat.S_ISLNK(mode):
            path.chmod(mode & ~OTHERS)


def own_key(path: Path) -> bytes:
    """The secret in a file, which only the account of the node can read; made where there is none yet.

    Raises
    ------
    OSError
        If it can be neither read nor made.
    """
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    make_folder(path.parent)
    with contextlib.suppress(FileExistsError):  # the first process to come makes it, the others take what it made
        write_new(path, secrets.token_bytes(KEY_BYTES))
    return path.read_bytes()


def job_folder(data: Path, job_id: str) -> Path:
    """Where the files of a job lie."""
    return data / "jobs" / file_name(job_id)


def to_store(path: Path, data: Path) -> str:
    """The name of a file that is written down: relative to the data folder `data` where it lies in it."""
    return path.relative_to(data).as_posix() if path.is_relative_to(data) else str(path)


def resolved(stored: str, data: Path) -> Path:
    """Where a file that was written down lies now.

    Earlier versions wrote whole paths down. Of one outside of `data` the part from its room on counts: the folder was
    moved.
    """
    path = Path(stored)
    if path.is_absolute() and not path.is_relative_to(data):
        room = max((index for index, part in enumerate(path.parts) if part in ROOMS), default=None)
        return path if room is None else data.joinpath(*path.parts[room:])
    return data / path
