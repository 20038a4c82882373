"""The node's data folder: it may be moved and restored elsewhere, and nobody but the node's account may read it.

What is stored, in the database or in a file of a job, names files relative to the data folder; here, and nowhere else,
such a name becomes a path again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import secrets
import stat
from collections import Counter
from pathlib import Path

from node.errors import ConfigurationError
from node.files import file_name, make_folder, write_new

log = logging.getLogger(__name__)

ROOMS = ("instances", "jobs", "models")  # folders whose files are named elsewhere
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
    What cannot be closed, as on a file system that is read only, stays as it is, and the log says so.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    make_folder(data)
    left: Counter[str] = Counter()
    _close(data.resolve(), 2, left)
    for reason, number in left.items():
        log.warning("files of the data folder stay open to others", extra={"files": number, "reason": reason})


def _close(path: Path, levels: int, left: Counter[str]) -> None:
    """Close a file or folder to others, and what lies in it where it is open, or so many levels deep in any case.

    What cannot be closed is counted in `left`, by the reason.
    """
    try:
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) and (levels or mode & OTHERS):
            for inner in path.iterdir():
                _close(inner, max(levels - 1, 0), left)
        if mode & OTHERS and not stat.S_ISLNK(mode):
            path.chmod(mode & ~OTHERS)
    except (PermissionError, FileNotFoundError):  # another account's; deleted meanwhile
        pass
    except OSError as error:
        left[error.strerror or type(error).__name__] += 1


def own_key(path: Path) -> bytes:
    """The secret in a file, which only the account of the node can read; made where there is none yet.

    Raises
    ------
    OSError
        If it can be neither read nor made.
    ConfigurationError
        If what is there is none.
    """
    if not path.exists():
        make_folder(path.parent)
        with contextlib.suppress(FileExistsError):  # the first process to come makes it, the others take what it made
            write_new(path, secrets.token_bytes(KEY_BYTES))
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{path}: holds no key, which has {KEY_BYTES} bytes; bring it back from a backup")
    return key


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
