"""What a network was trained on, as a digest: a training that is resumed, and a card, must not speak of other data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest_of(root: Path, files: Iterable[Path] | None = None) -> str:
    """SHA-256, hex, over names, sizes and contents of training files, whatever order they come in.

    Parameters
    ----------
    root
        Folder that the names are relative to, or the one file.
    files
        Those that are trained on; None: all below `root`.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    """
    if files is None:
        files = (path for path in root.rglob("*") if path.is_file()) if root.is_dir() else (root,)
    rows = sorted((path.relative_to(root).as_posix(), path) for path in files)
    if not rows:
        raise FileNotFoundError(f"{root}: holds no files")
    whole = hashlib.sha256()
    for name, path in rows:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        whole.update(f"{name}\0{path.stat().st_size}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest()


def digest_of_folders(paths: Iterable[Path]) -> str:
    """SHA-256, hex, over the digests of several folders or files, in whatever order they are named.

    Raises
    ------
    FileNotFoundError
        If one holds no file.
    """
    return hashlib.sha256("".join(sorted(digest_of(path) for path in paths)).encode()).hexdigest()
