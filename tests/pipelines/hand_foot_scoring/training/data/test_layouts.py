"""The layouts together: each reads its own data, and says what it does not find in others."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.scoring import CELLS, Cell
from pipelines.hand_foot_scoring.training.data import layouts
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData


def dream_folder(folder: Path, **grades: str) -> Path:
    columns = [cell.column for cell in CELLS]
    with (folder / "training.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["Patient_ID", "Overall_Tol", *columns])
        writer.writerow(["UAB001", "9", *(grades.get(column, "0") for column in columns)])
    Pillow.fromarray(np.zeros((20, 20), np.uint8)).save(folder / "UAB001-LH.jpg")
    return folder


def test_ra2_dream_tables_are_read_cell_by_cell(tmp_path: Path) -> None:
    found = layouts.read("ra2-dream", dream_folder(tmp_path, LH_mcp_E__ip="3", LH_pip_J__2="NA"))
    (film,) = found.films
    assert (film.patient, film.part, film.side) == ("UAB001", "hand", "L")
    assert film.grades[Cell("L", "hand", "IP1", "erosion")] == 3
    assert len(film.grades) == 30  # 31 of a hand, one of them not graded
    assert found.remarks == ("3 pictures that the table names are missing",)


@pytest.mark.parametrize(("grade", "said"), [("x", "'x' is not a number"), ("6", "6 is not from 0 to 5")])
def test_a_grade_that_is_none_is_said_with_row_and_column(tmp_path: Path, grade: str, said: str) -> None:
    with pytest.raises(UnreadableData, match=rf"training\.csv, row 2, column LH_mcp_E__ip: {said}"):
        layouts.read("ra2-dream", dream_folder(tmp_path, LH_mcp_E__ip=grade))


def test_landmarks_are_films_without_grades_whose_side_is_told_by_their_points(shared_data: Path) -> None:
    found = layouts.read("landmarks", shared_data / "xray" / "hand-joints-rsna")
    sides = {film.picture.name: film.side for film in found.films}
    assert sides == {name: name.removesuffix(".png")[-1] for name in sides}
    assert len(sides) == 8
    assert all(not film.grades and len(film.sites) == 13 for film in found.films)
    both = [film.patient for film in found.films if film.picture.name.startswith("test_img5")]
    assert both == ["test_img5", "test_img5"]


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_a_folder_of_another_kind_is_an_error(tmp_path: Path, layout: layouts.Layout) -> None:
    with pytest.raises(UnreadableData, match=str(tmp_path)):
        layouts.read(layout, tmp_path)
