"""Small sets of graded films with known grades and places, drawn by the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.scoring import CELLS, Cell
from pipelines.hand_foot_scoring.simulation.films import Film
from pipelines.hand_foot_scoring.simulation.sample import film_of, stored
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.hand_foot_scoring.training.data import own_table
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm

SHAPE = (560, 460)  # a limb fills three quarters of the height: just enough to be read


@cache
def drawn(part: Part, side: Side, seed: int) -> Film:
    """A limb on a clean film."""
    return film_of(part, side, seed, shape=SHAPE)


def grades_of(film: Film) -> dict[Cell, float]:
    """The true grade of every cell that can be read."""
    return {
        cell: float((film.erosion if cell.kind == "erosion" else film.narrowing)[cell.site])
        for cell in CELLS
        if (cell.limb, cell.side) == (film.part, film.side) and film.states[cell.site] == "evaluable"
    }


def save(film: Film, path: Path) -> Path:
    """Write a film as a picture of 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray((stored(film) / 16).astype(np.uint8)).save(path)
    return path


def own_films(
    folder: Path, patients: Mapping[str, Sequence[tuple[Part, Side]]], *, places: bool = True
) -> list[GradedFilm]:
    """Films of some patients, written with their table `films.csv`."""
    films = []
    for number, (patient, limbs) in enumerate(patients.items()):
        for part, side in limbs:
            film = drawn(part, side, 10 * number + (part == "foot"))
            picture = save(film, folder / f"{patient}_{part}_{side}.png")
            sites = film.sites if places else {}
            films.append(GradedFilm(picture, patient, part, side, grades_of(film), "", sites))
    own_table.write(folder / own_table.TABLE, films)
    return films
