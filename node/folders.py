"""Whether one folder lies in another, whatever names they have."""

from __future__ import annotations

import os
from pathlib import Path


def lies_in(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or lies in it, by links, mounts and other spellings too; neither need be there."""
    inner, outer = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    return inner.is_relative_to(outer) or any(is_same(above, outer) for above in (inner, *inner.parents))


def is_same(one: Path, other: Path) -> bool:
    """Whether both are there, and the same file or folder."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
