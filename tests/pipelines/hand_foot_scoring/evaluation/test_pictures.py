"""Contact sheets of graded films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicom_sr.capture.drawing import SMALL, line_height
from dicom_sr.capture.picture import draw_picture
from dicom_sr.findings import ImagePanel
from pipelines.hand_foot_scoring import weights
from pipelines.hand_foot_scoring.evaluation import graded, pictures
from pipelines.hand_foot_scoring.evaluation.film_reading import FilmReading, read_file
from pipelines.hand_foot_scoring.evaluation.graded import ReadFilm
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.simulation.sample import film_of
from tests.pipelines.hand_foot_scoring.graded_data import own_films


@pytest.fixture(scope="module")
def films(networks: None, tmp_path_factory: pytest.TempPathFactory) -> list[ReadFilm]:
    made = own_films(tmp_path_factory.mktemp("own"), {"A": [("hand", "L"), ("foot", "R")]})
    return graded.read_films(made, Reader(weights.load()), "alone")


def test_pixels_are_not_kept_and_come_back_for_a_sheet(films: list[ReadFilm]) -> None:
    kept = films[0].limb
    assert kept is not None
    assert kept.film.array.shape == (560, 460)
    assert kept.film.array.strides == (0, 0)  # no memory
    shown = films[0].with_pixels().limb
    assert shown is not None
    assert np.ptp(shown.film.array) > 100


def test_the_worst_films_are_shown_as_read_and_as_graded(films: list[ReadFilm]) -> None:
    worst = graded.worst_films(films, 2)
    assert {one.film.part for one in worst} == {"hand", "foot"}
    assert abs(worst[0].difference) >= abs(worst[1].difference)
    sheet = pictures.worst_films_sheet(worst)
    left, right = (np.asarray(sheet)[:, side : side + pictures.TILE[0]] for side in (12, pictures.TILE[0] + 24))
    assert not np.array_equal(left, right)
    assert sheet.width == 2 * pictures.TILE[0] + 3 * pictures.GAP


def test_the_worst_cells_are_shown_as_their_crops(films: list[ReadFilm]) -> None:
    rows = graded.worst_cells(films, 7)
    gaps = [abs(reading.expected - grade) / cell.maximum for _, cell, reading, grade in rows]
    assert gaps == sorted(gaps, reverse=True)
    sheet = pictures.worst_cells_sheet(rows)
    assert sheet.height > 2 * pictures.CELL_TILE  # six beside each other, then the seventh


def test_tiles_of_different_heights_lie_in_rows() -> None:
    tiles = [Image.new("RGB", (50, height), (255, 0, 0)) for height in (10, 30, 20)]
    sheet = pictures.sheet(tiles, 2)
    assert sheet.size == (2 * 50 + 3 * pictures.GAP, 30 + 20 + 3 * pictures.GAP)


def two_hands(folder: Path) -> FilmReading:
    """Two hands beside each other on one film, read."""
    halves = [np.asarray(np.clip(film_of("hand", side, 3, severity=0.6).image * 200, 0, 255)) for side in ("R", "L")]
    Image.fromarray(np.hstack(halves).astype(np.uint8)).save(folder / "hands.png")
    return read_file(folder / "hands.png", Reader(weights.load()), "alone")


def test_several_limbs_on_a_film_are_shown_each_by_itself_with_its_name(
    networks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[ImagePanel] = []
    draw = draw_picture

    def kept(panel: ImagePanel, width: int, height: int, bar: int) -> Image.Image:
        drawn.append(panel)
        picture = draw(panel, width, height, bar)
        assert len(panel.marks) / 2 * line_height(SMALL) <= picture.height, "labels would lie over each other"
        return picture

    monkeypatch.setattr(pictures, "draw_picture", kept)
    one = two_hands(tmp_path)
    tile = pictures.film_tile(one)
    assert [panel.laterality for panel in drawn] == ["R", "L"]
    assert [len(panel.marks) for panel in drawn] == [22, 22]
    assert one.film is not None
    for panel in drawn:
        assert panel.image.shape[1] < one.film.array.shape[1], "the other hand is cut off"
        corners = np.concatenate([mark.outline for mark in panel.marks])
        assert (corners >= 0).all()
        assert (corners <= [panel.image.shape[1], panel.image.shape[0]]).all()
    assert tile.width == pictures.TILE[0]
