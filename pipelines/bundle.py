"""What a pipeline reads that was trained: the setting that names it, and one digest that tells two states apart."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from pipelines.base import PipelineSettings

FRESH_S = 2.0  # a file that changed so lately may change again without another time of change, on any file system


class BundleError(Exception):
    """A bundle cannot be used: it is another one than the settings name, or it changes while it is loaded."""


class BundleSettings(PipelineSettings):
    """Base of the settings of a pipeline that was trained: which bundle it runs.

    Neither setting counts in `digest`, nor is it listed in a report: the digest of the weights says which bundle it is.
    """

    said_by_weights: ClassVar[frozenset[str]] = frozenset({"bundle", "sha256"})

    bundle: Path | None = None  # a folder that `condyle train` wrote; None: as shipped
    # digest that the bundle must have, as `condyle model list` shows it; None: it may be any
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None


def files_in(folder: Path, *patterns: str) -> dict[str, Path]:
    """The files of a folder that match any of the glob patterns, by their names relative to the folder.

    Raises
    ------
    FileNotFoundError
        If a pattern matches no file: a bundle without one of its files is none.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        matches = {path.relative_to(folder).as_posix(): path for path in folder.glob(pattern) if path.is_file()}
        if not matches:
            raise FileNotFoundError(f"{folder}: holds no {pattern}")
        found |= matches
    return found


def bundle_digest(files: Mapping[str, Path]) -> str:
    """SHA-256, hex, over names and contents of the files, whatever order they are given in.

    The digest is part of what identifies a job and the UIDs of its objects. It must therefore cover every file that
    changes a result: weights, but also calibrations, thresholds and code tables beside them.
    """
    whole = hashlib.sha256()
    for name, path in sorted(files.items()):
        whole.update(hashlib.sha256(name.encode()).digest())
        whole.update(_content_digest(path))
    return whole.hexdigest()


def _content_digest(path: Path) -> bytes:
    """Digest of one file's content, read again only after it has changed: every routed series asks for it."""
    state = path.stat()
    if time.time() - state.st_ctime < FRESH_S:
        return hashlib.sha256(path.read_bytes()).digest()
    return _known_digest(path, (state.st_dev, state.st_ino, state.st_ctime_ns, state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=256)
def _known_digest(path: Path, state: tuple[int, ...]) -> bytes:
    """Digest of a file in that state; the time of change tells a copy that kept the time of modification."""
    return hashlib.sha256(path.read_bytes()).digest()
