"""Digests of what is learned from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.hand_foot_scoring.training.data import own_table
from pipelines.hand_foot_scoring.training.data.digests import films_digest, licensed_digest
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from tests.pipelines.hand_foot_scoring.graded_data import own_films


def test_films_have_the_same_digest_wherever_they_lie_and_another_with_other_pixels_or_grades(tmp_path: Path) -> None:
    own_films(tmp_path / "here", {"A": [("hand", "L"), ("foot", "R")]})
    films = own_table.read(tmp_path / "here").films
    first = films_digest(films)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    there = own_table.read(tmp_path / "there").films
    assert films_digest(there) == films_digest(tuple(reversed(films))) == first
    cell = next(iter(films[0].grades))
    assert films_digest([replace(films[0], grades={**films[0].grades, cell: 4.0}), *films[1:]]) != first
    assert films_digest(films[:1]) != first
    state = there[0].picture.stat()
    pixels = bytearray(there[0].picture.read_bytes())
    pixels[-1] ^= 1
    there[0].picture.write_bytes(pixels)
    assert there[0].picture.stat().st_size == state.st_size
    assert films_digest(there) != first


def test_a_folder_without_any_licensed_radiograph_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match="holds none of the licensed radiographs"):
        licensed_digest(tmp_path)
