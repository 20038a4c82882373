"""Scores of the pictures in a folder as a table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.hand_foot_scoring import weights
from pipelines.hand_foot_scoring.evaluation.film_reading import read_file
from pipelines.hand_foot_scoring.evaluation.film_scores import FilmScores
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.scoring import Scored
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from tests.pipelines.hand_foot_scoring.graded_data import own_films


def test_every_cell_has_a_row_with_its_score_or_with_why_it_has_none(networks: None, tmp_path: Path) -> None:
    (film,) = own_films(tmp_path / "films", {"A": [("foot", "L")]})
    Image.fromarray(np.zeros((300, 300), np.uint8)).save(tmp_path / "films" / "black.png")
    reader = Reader(weights.load())
    table = FilmScores(reader, tmp_path / "films", tmp_path / "new" / "out", "patient").run()
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    cells = read_file(film.picture, reader, "patient").cells
    of_film = [row for row in rows if row["film"] == film.picture.name]
    assert [row["site"] for row in of_film] == [cell.site for cell in cells]
    for row, (cell, reading) in zip(of_film, cells.items(), strict=True):
        assert row["maximum"] == str(cell.maximum)
        if isinstance(reading, Scored):
            assert float(row["score"]) == pytest.approx(reading.expected, abs=6e-4)
            assert row["not_scored"] == ""
        else:
            assert row["score"] == ""
            assert row["not_scored"]
    (other,) = [row for row in rows if row["film"] == "black.png"]
    assert other["not_scored"]


def test_a_folder_without_pictures_is_said(networks: None, tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match="is no folder with pictures"):
        FilmScores(Reader(weights.load()), tmp_path / "none", tmp_path, "patient").run()
