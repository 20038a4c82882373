"""Digests of what is learned from: other films, grades or marks have another one, wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pipelines.hand_foot_scoring.training.canvases import licensed_files
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm
from pipelines.lab.training_data import digest_of


def films_digest(films: Sequence[GradedFilm]) -> str:
    """SHA-256, hex, over pictures, crops, grades and marks of graded films, whatever order they come in."""
    return hashlib.sha256("\n".join(sorted(_row(film) for film in films)).encode()).hexdigest()


def _row(film: GradedFilm) -> str:
    grades = sorted((cell.column, grade) for cell, grade in film.grades.items())
    marks = (sorted(film.sites.items()), sorted(film.states.items()), film.asked_set)
    files = [path for path in (film.picture, *film.crops.values()) if path.is_file()]
    return repr((film.patient, film.part, film.side, grades, marks, sorted(digest_of(path) for path in files)))


def licensed_digest(folder: Path) -> str:
    """SHA-256, hex, over the licensed pictures below a folder that are learned from, and the micro-CT.

    Raises
    ------
    UnreadableData
        If none of them is there.
    """
    files = licensed_files(folder)
    if not files:
        raise UnreadableData(f"{folder}: holds none of the licensed radiographs")
    return digest_of(folder, files)
