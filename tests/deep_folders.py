"""Folders in folders, deeper than a path can name and than Python calls itself."""

from __future__ import annotations

import os
from pathlib import Path


def make_deep(folder: Path, levels: int) -> None:
    """Make folders called "deep", one in the other; `node.files.remove_folder` removes them, and pytest would not."""
    above = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("deep", dir_fd=above)
        below = os.open("deep", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
