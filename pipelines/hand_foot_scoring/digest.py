"""Where the trained parts lie and which they are; nothing heavy is imported for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "bundle"
FILES = ("localiser.safetensors", "damage.safetensors", "calibration.json", "shape.npz")


def digest(folder: Path = FOLDER) -> str:
    """SHA-256, hex, over the files of the bundle in a fixed order."""
    whole = hashlib.sha256()
    for name in FILES:
        whole.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return whole.hexdigest()
