"""What the parts of a bundle were trained on, as its metadata say; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.bundle_configs import METADATA, UnusableBundle, read_metadata

PIPELINE = "hand_foot_scoring"
SIMULATED = "simulated radiographs"
OPEN = "openly licensed radiographs"  # real ones without grades, for places and to paint damage on
TRAINING = "training"  # the block of the metadata with what stands here


@dataclass(frozen=True)
class Source:
    """One set of films that a part of a bundle was trained on."""

    name: str  # for people, e.g. "RAM-H1200"
    licence: str = ""  # as whoever trained states it
    patients: int | None = None  # None where they are not counted, as of simulated ones
    films: int | None = None
    share: float | None = None  # of what the part learned from, 0..1
    layout: str = ""  # as `condyle train --layout`, of graded films
    sets: tuple[float, ...] = ()  # shares of the patients for training, calibration and test
    data_sha256: str = ""  # of the films, of every set (`training.data.digests`); empty where it was not taken


@dataclass(frozen=True)
class PartRecord:
    """How one part of a bundle was made."""

    command: str
    seed: int
    sources: tuple[Source, ...] = (Source(SIMULATED),)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """The parts of a bundle, each with how it was made."""

    parts: Mapping[str, PartRecord]

    @property
    def data_source(self) -> str:
        """What was trained on, e.g. "simulated radiographs and X (80 patients)": the field of MONAI's metadata."""
        found: dict[str, Source] = {}
        for record in self.parts.values():
            for source in record.sources:
                known = found.get(source.name)
                if known is None or _size(source) > _size(known):
                    found[source.name] = source
        names = sorted(found.values(), key=lambda source: source.name != SIMULATED)
        if [source.name for source in names] == [SIMULATED]:
            return f"{SIMULATED} only"
        *others, last = [_named(source) for source in names]
        return f"{', '.join(others)}{' and ' if others else ''}{last}"


def _size(source: Source) -> tuple[int, int]:
    return source.patients or 0, source.films or 0


def _named(source: Source) -> str:
    for count, one in ((source.patients, "patient"), (source.films, "film")):
        if count is not None:
            return f"{source.name} ({count} {one if count == 1 else one + 's'})"
    return source.name


def read_provenance(folder: Path) -> Provenance:
    """How the parts of a bundle were made.

    Raises
    ------
    UnusableBundle
        If its metadata are missing, do not say so, or are those of another pipeline; the message names the file.
    """
    path, metadata = folder / METADATA, read_metadata(folder)
    try:
        pipeline = str(metadata["pipeline"])
        if pipeline != PIPELINE:
            raise UnusableBundle(f"{path}: the bundle is one of {pipeline}, not of {PIPELINE}")
        return Provenance({str(name): _record(row) for name, row in metadata[TRAINING].items()})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, UnusableBundle):
            raise
        raise UnusableBundle(
            f"{path}: does not say what its parts were trained on, as condyle train wrote it"
        ) from error


def _record(row: Mapping[str, Any]) -> PartRecord:
    return PartRecord(
        str(row["command"]),
        int(row["seed"]),
        tuple(_source(source) for source in row["sources"]),
        tuple(str(remark) for remark in row["remarks"]),
    )


def _source(row: Mapping[str, Any]) -> Source:
    """A source whose values have the types that they should have: somebody may have edited the file."""
    source = Source(**{**row, "sets": tuple(map(float, row.get("sets", ())))})
    counts = (source.patients, source.films)
    if not isinstance(source.name, str) or not all(count is None or isinstance(count, int) for count in counts):
        raise TypeError("a name that is no text, or a number that is none")
    return source
