"""One digest for everything trained that a pipeline reads: it tells two states of a bundle apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path


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
        state = path.stat()
        whole.update(hashlib.sha256(name.encode()).digest())
        whole.update(_content_digest(path, state.st_mtime_ns, state.st_size))
    return whole.hexdigest()


@lru_cache(maxsize=256)
def _content_digest(path: Path, modified_ns: int, size: int) -> bytes:
    """Digest of one file's content, read again only after it has changed: every routed series asks for it."""
    return hashlib.sha256(path.read_bytes()).digest()
