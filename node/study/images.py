"""Whether the images that were stored can be read now: a storage that is away for a while is nobody's fault."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from node.errors import NotWhole, StorageAway
from node.files import causes

# What the system says of a disk or a server that does not answer, whatever is read from it.
_AWAY = frozenset(
    {errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN}
)


def require_whole(images: Iterable[tuple[Path, int]]) -> None:
    """Look whether each image is there, can be opened, and is as long as what was stored.

    Parameters
    ----------
    images
        The file and the size of each, bytes.

    Raises
    ------
    StorageAway
        With the reason of the first that is not; `NotWhole` has all whose length is another.
    """
    problem: NotWhole | None = None
    for path, size in images:
        try:
            with path.open("rb") as file:
                there = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise StorageAway(unreadable(error)) from error
        if there != size:
            problem = problem or NotWhole(f"an image is not whole: {there} bytes of {size} are there")
            problem.paths += (path,)
    if problem is not None:
        raise problem


def unreadable(error: OSError) -> str:
    """A sentence on an image that the system does not let the node read; it names no file."""
    return f"an image that was stored cannot be read: {error.strerror or type(error).__name__}"


def away(error: BaseException, images: Collection[Path] = ()) -> str | None:
    """Why images cannot be read now, if that is what an error comes from; None for any other.

    Parameters
    ----------
    images
        Files that were stored: whatever keeps one from being opened counts.
    """
    names = {str(path) for path in images}
    for cause in causes(error):
        if not isinstance(cause, OSError) or cause.errno is None:
            continue
        if cause.errno in _AWAY or str(cause.filename) in names:
            return unreadable(cause)
    return None


def store_is_away(instances: Path) -> bool:
    """Whether the folder of all images cannot be read at all."""
    try:
        with os.scandir(instances) as entries:
            next(entries, None)
    except OSError:
        return True
    return False
