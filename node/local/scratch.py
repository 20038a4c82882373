"""A temporary folder that is deleted when nothing uses it any more, or this process ends."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class Scratch:
    """A new folder that only this account can read.

    It goes with this object, silently: a result in a notebook keeps it, and is forgotten without being closed.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="condyle-"))
        self._gone = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def inner(self, name: str) -> Path:
        """A new folder in it."""
        path = self.path / name
        path.mkdir()
        return path

    def close(self) -> None:
        """Delete it now."""
        self._gone()
