"""The node's data folder: it may be moved and restored elsewhere, and nobody but the node's account may read it.

What is stored, in the database or in a file of a job, names files relative to the data folder; here, and nowhere else,
such a name becomes a path again.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from node.files import file_name, make_folder

ROOMS = ("instances", "jobs")  # folders whose files are named elsewhere
OTHERS = 0o077  # permissions of everybody but the owner


def keep_private() -> None:
    """Have everything that this process makes, and the processes that it starts, be for its own account alone.

    For the start of every process that writes to the data folder.
    """
    os.umask(OTHERS)


def prepare(data: Path) -> None:
    """Make the data folder, or close one that is there to others: itself, and what lies directly in it.

    Nobody else can enter it then, so the millions of files deeper down need no change.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    make_folder(data)
    for path in (data.resolve(), *data.iterdir()):
        with contextlib.suppress(PermissionError, FileNotFoundError):  # another account's; deleted meanwhile
            mode = path.lstat().st_mode
            if mode & OTHERS and not path.is_symlink():
                path.chmod(mode & ~OTHERS)


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
