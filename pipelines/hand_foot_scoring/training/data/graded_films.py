"""Films with grades, joint centres or both, and their division by patient."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from pipelines.hand_foot_scoring.heads import STATES
from pipelines.hand_foot_scoring.scoring import Cell
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData

Point = tuple[float, float]
SetName = Literal["training", "calibration", "test"]
SETS: tuple[SetName, ...] = get_args(SetName)
SHARES = (0.7, 0.15, 0.15)  # of the patients in each set
NOT_READABLE = STATES[1:]  # why a site of a graded film has no grade


@dataclass(frozen=True)
class MarkedErosion:
    """An erosion that was outlined on a film."""

    centre: Point
    area: int  # pixels
    name: str  # as the data set calls its kind


@dataclass(frozen=True)
class GradedFilm:
    """One limb on one film. Coordinates are (column, row), the centre of the upper left pixel at (0, 0)."""

    picture: Path
    patient: str
    part: Part
    side: Side
    grades: Mapping[Cell, float]  # only cells that were graded
    place: str  # where it was read, for messages: file and row
    sites: Mapping[str, Point] = field(default_factory=dict)  # where somebody marked them
    states: Mapping[str, str] = field(default_factory=dict)  # site to one of `NOT_READABLE`
    asked_set: SetName | None = None  # as the data themselves divide it
    crops: Mapping[str, Path] = field(default_factory=dict)  # ready crops of sites, for where there is no whole film
    erosions: tuple[MarkedErosion, ...] = ()

    @property
    def graded_sites(self) -> tuple[str, ...]:
        """The sites that have a grade or a reason for having none."""
        return tuple(dict.fromkeys((*(cell.site for cell in self.grades), *self.states)))


@dataclass(frozen=True)
class GradedSet:
    """The films of one folder."""

    name: str
    films: tuple[GradedFilm, ...]
    remarks: tuple[str, ...] = ()  # what was left out, and why

    @property
    def patients(self) -> tuple[str, ...]:
        """Every patient once, sorted."""
        return tuple(sorted({film.patient for film in self.films}))


def divided(
    films: Sequence[GradedFilm], seed: int, shares: Sequence[float] = SHARES
) -> dict[SetName, tuple[GradedFilm, ...]]:
    """The films by set: all films of a patient lie in one.

    A patient whose films name a set is in that one. The others are drawn by the hash of seed and patient: a patient
    stays in the same set when films are added, so that a later evaluation never measures on patients of the training.

    Parameters
    ----------
    films
        Of all patients.
    seed
        Another seed divides otherwise.
    shares
        Of the patients, for training, calibration and test; they add up to 1.

    Raises
    ------
    UnreadableData
        If the data put one patient into two sets.
    """
    asked: dict[str, GradedFilm] = {}
    for film in films:
        if film.asked_set is None:
            continue
        other = asked.setdefault(film.patient, film)
        if other.asked_set != film.asked_set:
            raise UnreadableData(
                f"{film.place}: patient {film.patient!r} is in the set {film.asked_set!r} here and in"
                f" {other.asked_set!r} in {other.place}; a patient belongs to one set"
            )
    sets: dict[SetName, list[GradedFilm]] = {name: [] for name in SETS}
    for film in films:
        known = asked.get(film.patient)
        name = known.asked_set if known is not None else drawn_set(film.patient, seed, shares)
        assert name is not None
        sets[name].append(film)
    return {name: tuple(members) for name, members in sets.items()}


def drawn_set(patient: str, seed: int, shares: Sequence[float] = SHARES) -> SetName:
    """The set of a patient whom the data put into none."""
    number = int.from_bytes(hashlib.sha256(f"{seed}\n{patient}".encode()).digest()[:8]) / 2**64
    edge = 0.0
    for name, share in zip(SETS, shares, strict=True):
        edge += share
        if number < edge:
            return name
    return SETS[-1]


def without_overlap(films: Iterable[GradedFilm]) -> tuple[tuple[GradedFilm, ...], tuple[str, ...]]:
    """Films of a published division without patients in two sets, and the patients that were in two.

    A patient of the test set leaves the others, and one of the calibration set leaves the training set: what is
    measured stays as published, and what is learned gives way. The films that leave are dropped.
    """
    films = tuple(films)
    rank = {name: number for number, name in enumerate(SETS)}
    latest: dict[str, int] = {}
    for film in films:
        if film.asked_set is not None:
            latest[film.patient] = max(latest.get(film.patient, 0), rank[film.asked_set])
    kept = tuple(film for film in films if film.asked_set is None or rank[film.asked_set] == latest[film.patient])
    gone = {
        film.patient for film in films if film.asked_set is not None and rank[film.asked_set] < latest[film.patient]
    }
    return kept, tuple(sorted(gone))
