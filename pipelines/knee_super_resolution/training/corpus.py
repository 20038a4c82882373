"""The volumes of a training run, and which of them are held back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from dicom_sr.errors import UnsuitableInput
from pipelines.knee_super_resolution.simulation.atlas_knees import read_anatomies
from pipelines.knee_super_resolution.training.layouts import LAYOUTS
from pipelines.knee_super_resolution.training.volumes import (
    KNEE_SIDE,
    ThinVolume,
    atlas_volumes,
    densified,
    held_back,
    read_volumes,
    simulated_volumes,
)

ATLAS_KNEES = 28  # one in ten of them is held back


@dataclass
class Corpus:
    """Volumes to learn from and volumes held back, real ones apart from simulated ones."""

    simulated: list[ThinVolume] = field(default_factory=list)
    real: list[ThinVolume] = field(default_factory=list)
    validation: list[ThinVolume] = field(default_factory=list)
    knee_side: int = KNEE_SIDE  # samples of a simulated knee along each axis

    def sentence(self) -> str:
        """What was trained on, as it stands in the report of every result."""
        shaped = sum(volume.subject.startswith("atlas") for volume in self.simulated)
        knees = sum(volume.name.startswith("simulated") for volume in self.simulated) - shaped
        clutter = len(self.simulated) - knees - shaped
        side = "" if self.knee_side == KNEE_SIDE else f" of {self.knee_side} samples a side"
        made = f"trained on {knees} simulated knees{side} and {clutter} volumes of random shapes"
        if shaped:
            made = made.replace(" and ", ", ") + f" and {shaped} knees simulated in the shape of an atlas"
        if not self.real:
            return f"{made}, no real images; research use only, not for clinical use"
        subjects = len({volume.subject for volume in self.real})
        real = f"{len(self.real)} real volumes of {subjects} subjects"
        return f"{made}, and on {real}; research use only, not for clinical use"


def gather(
    seed: int,
    knees: int,
    clutter: int,
    folders: Sequence[Path | str],
    excluded: Sequence[str],
    knee_side: int = KNEE_SIDE,
    layout: str = "folder",
    atlas: int = ATLAS_KNEES,
) -> Corpus:
    """Simulate and read volumes, split by subject; names that contain an excluded word are never used.

    Parameters
    ----------
    seed
        Of the simulated volumes.
    knees, clutter
        How many of each to simulate.
    folders
        With real volumes, see `read_volumes`.
    excluded
        Words that must not occur in the name of a folder, subject or volume.
    knee_side
        Samples of a simulated knee along each axis.
    atlas
        How many knees to simulate in the shapes of the label maps that are found in the folders.
    layout
        Name of the arrangement of the folders, see `layouts`.

    Raises
    ------
    UnsuitableInput
        If a folder is not there, or holds no volume of this layout.
    """
    corpus = Corpus(knee_side=knee_side)
    anatomies = [
        anatomy
        for folder in map(Path, folders)
        if atlas and not any(word in folder.name for word in excluded)
        for anatomy in read_anatomies(folder, excluded)
    ]
    simulated = (simulated_volumes(seed, knees, clutter, knee_side), atlas_volumes(seed, atlas, anatomies))
    for volume in chain(*simulated):
        number = int(volume.subject.split()[1])
        (corpus.validation if number % 10 == 9 else corpus.simulated).append(volume)
    for folder in map(Path, folders):
        for volume in volumes_of(folder, layout):
            if any(word in f"{folder.name} {volume.subject} {volume.name}" for word in excluded):
                continue
            filled = densified(volume)
            if filled.thin_axes:
                (corpus.validation if held_back(volume) else corpus.real).append(filled)
    return corpus


def volumes_of(folder: Path, layout: str) -> Iterator[ThinVolume]:
    """The volumes of a folder, of which there has to be one.

    Parameters
    ----------
    folder
        To read.
    layout
        Name of its arrangement.

    Raises
    ------
    UnsuitableInput
        If the folder is not there, or holds no volume of this layout.
    """
    if not folder.is_dir():
        raise UnsuitableInput(f"{folder}: there is no such folder")
    found = False
    for volume in read_volumes(folder, LAYOUTS[layout]):
        found = True
        yield volume
    if not found:
        raise UnsuitableInput(f"{folder}: holds no volume that can be read in the layout {layout}")


def digest_of(corpus: Corpus) -> str:
    """SHA-256, hex, of what is learned from and of what is held back: names, subjects, spacings and every voxel."""
    whole = hashlib.sha256()
    for part in (corpus.simulated, corpus.real, corpus.validation):
        for volume in part:
            whole.update(repr((volume.name, volume.subject, volume.spacing_mm, volume.array.shape)).encode())
            whole.update(np.ascontiguousarray(volume.array).data)
        whole.update(b"|")
    return whole.hexdigest()
