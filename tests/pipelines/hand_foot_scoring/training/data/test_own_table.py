"""A site's own table of grades: what is read, and what is said about what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.scoring import Cell
from pipelines.hand_foot_scoring.training.data import own_table
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm

HEADING = "picture,patient,part,side,set,MCP2_erosion,MCP2_narrowing,MCP2_x,MCP2_y,IP1_narrowing,MTP1_erosion"


def table(folder: Path, *rows: str, heading: str = HEADING) -> Path:
    """A table beside one picture."""
    Pillow.new("L", (40, 50)).save(folder / "a.png")
    (folder / "films.csv").write_text("\n".join([heading, *rows]) + "\n", encoding="utf-8")
    return folder


def test_a_row_is_one_limb_on_one_film_with_the_cells_that_were_graded(tmp_path: Path) -> None:
    found = own_table.read(table(tmp_path, "a.png,P1,hand,L,test,2.5,,20,30.5,,", "a.png,P1,foot,R,,,,,,3,7", ""))
    hand, foot = found.films
    assert hand == GradedFilm(
        tmp_path / "a.png",
        "P1",
        "hand",
        "L",
        {Cell("L", "hand", "MCP2", "erosion"): 2.5},
        "films.csv, row 2",
        {"MCP2": (20.0, 30.5)},
        {},
        "test",
    )
    assert foot.grades == {
        Cell("R", "foot", "IP1", "narrowing"): 3.0,
        Cell("R", "foot", "MTP1", "erosion"): 7.0,
    }
    assert foot.asked_set is None
    assert found.patients == ("P1",)


def test_a_joint_may_be_said_to_be_replaced_covered_or_absent(tmp_path: Path) -> None:
    (film,) = own_table.read(table(tmp_path, "a.png,P1,hand,L,,prosthesis,,,,,")).films
    assert film.grades == {}
    assert film.states == {"MCP2": "prosthesis"}
    assert film.graded_sites == ("MCP2",)


def test_a_table_of_a_spreadsheet_with_decimal_commas_is_read(tmp_path: Path) -> None:
    folder = table(tmp_path, "a.png;P1;hand;L;;1,5;;;;;", heading="\ufeff" + HEADING.replace(",", ";"))
    (film,) = own_table.read(folder).films
    assert film.grades == {Cell("L", "hand", "MCP2", "erosion"): 1.5}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("b.png,P1,hand,L,,,,,,,", "row 2, column picture: there is no "),
        (",P1,hand,L,,,,,,,", "row 2, column picture: is empty"),
        ("a.png,,hand,L,,,,,,,", "row 2, column patient: is empty"),
        ("a.png,P1,knee,L,,,,,,,", "row 2, column part: 'knee': should be hand or foot"),
        ("a.png,P1,hand,left,,,,,,,", "row 2, column side: 'left': should be L or R"),
        ("a.png,P1,hand,L,val,,,,,,", "row 2, column set: 'val': should be training or calibration or test"),
        ("a.png,P1,hand,L,,6,,,,,", "row 2, column MCP2_erosion: 6 is out of range: grades here go from 0 to 5"),
        ("a.png,P1,hand,L,,x,,,,,", "row 2, column MCP2_erosion: 'x' is not a number"),
        ("a.png,P1,hand,L,,covered,2,,,,", "row 2, column MCP2_narrowing: has a grade although the joint is covered"),
        ("a.png,P1,hand,L,,,,,,2,", "row 2, column IP1_narrowing: a hand has no such score"),
        ("a.png,P1,foot,L,,,,3,4,,", "row 2, column MCP2_x: a foot has no such joint"),
        ("a.png,P1,hand,L,,,,3,,,", "row 2, column MCP2_y: is empty although its other half is given"),
        ("a.png,P1,hand,L,,,,,,,,,", "row 2: has 13 fields, the heading has 11"),
    ],
)
def test_what_is_wrong_is_said_with_row_and_column(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(UnreadableData) as error:
        own_table.read(table(tmp_path, row))
    assert str(error.value).startswith(f"{tmp_path / 'films.csv'}, {said}")


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        ("picture,patient,part", "row 1: has no column side"),
        (
            "picture,patient,part,side,MCP2_erosoin",
            "row 1, column MCP2_erosoin: is no column of this table; did you mean",
        ),
        ("picture,patient,part,side,NAV_narrowing", "row 1, column NAV_narrowing: is no column of this table"),
        ("picture,patient,part,side,side", "row 1, column side: is there more than once"),
    ],
)
def test_what_is_wrong_with_the_heading_is_said(tmp_path: Path, heading: str, said: str) -> None:
    with pytest.raises(UnreadableData) as error:
        own_table.read(table(tmp_path, heading=heading))
    assert str(error.value).startswith(f"{tmp_path / 'films.csv'}, {said}")


def test_the_same_limb_of_a_picture_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match=r"row 3: the L hand on a\.png is in row 2 too"):
        own_table.read(table(tmp_path, "a.png,P1,hand,L,,,,,,,", "a.png,P2,hand,L,,,,,,,"))


def test_no_table_an_empty_one_and_one_of_another_encoding_say_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match=r"films\.csv: there is no such table"):
        own_table.read(tmp_path)
    with pytest.raises(UnreadableData, match="has no row below its heading"):
        own_table.read(table(tmp_path))
    (tmp_path / "films.csv").write_bytes("picture,patient,part,side\n\xe4".encode("latin-1"))
    with pytest.raises(UnreadableData, match="is not UTF-8"):
        own_table.read(tmp_path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    films = own_table.read(
        table(tmp_path, "a.png,P1,hand,L,test,2.5,covered,20,30.5,,".replace("2.5,covered", "2.5,1"))
    )
    covered = GradedFilm(tmp_path / "a.png", "P2", "foot", "R", {}, "films.csv, row 3", {}, {"MTP1": "covered"})
    own_table.write(tmp_path / "films.csv", [*films.films, covered])
    assert own_table.read(tmp_path / "films.csv").films == (*films.films, covered)
