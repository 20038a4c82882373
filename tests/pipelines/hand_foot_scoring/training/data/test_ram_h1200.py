"""RAM-H1200, from a small set in its layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring.scoring import CELLS, Cell
from pipelines.hand_foot_scoring.sites import HAND_SITES
from pipelines.hand_foot_scoring.training.data import ram_h1200
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import GradedSet, divided
from tests.pipelines.hand_foot_scoring.ram_data import CASES, drawn_hand, ram_set

FIRST = "JP_HMCRD_P0001_20210203_6791_L"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ram_set(tmp_path_factory.mktemp("ram") / "RAM-H1200-v1")


@pytest.fixture(scope="module")
def whole(folder: Path) -> GradedSet:
    return ram_h1200.read(folder.parent)


def test_the_whole_set_is_read_with_all_31_grades_of_a_hand(whole: GradedSet) -> None:
    films = {film.picture.stem: film for film in whole.films}
    assert set(films) == set(CASES) - {"JP_SCGH_P0007_20120101_0007_R"}
    first = films[FIRST]
    assert (first.patient, first.part, first.side) == ("JP_HMCRD_P0001", "hand", "L")
    assert set(first.grades) == {cell for cell in CELLS if (cell.limb, cell.side) == ("hand", "L")}
    skeleton = drawn_hand(0, "L").skeleton
    assert first.grades[Cell("L", "hand", "MCP2", "erosion")] == skeleton.erosion["MCP2"] == 3
    assert first.grades[Cell("L", "hand", "CMC4", "narrowing")] == skeleton.narrowing["CMC4"] == 1
    assert set(first.crops) == set(HAND_SITES)
    assert films["JP_HMCRD_P0001_20210203_6791_R"].side == "R"


def test_the_published_division_is_kept_without_a_patient_in_two_sets(whole: GradedSet) -> None:
    sets = {name: [f.picture.stem for f in films] for name, films in divided(whole.films, seed=0).items()}
    assert sets["training"] == [FIRST, "JP_HMCRD_P0001_20210203_6791_R"]
    assert sets["calibration"] == ["JP_SCGH_P0029_20121201_5835_L"]
    assert sets["test"] == ["JP_SCGH_P0007_20150630_0012_R"]
    assert any("1 patients are in two sets" in remark for remark in whole.remarks)


def test_places_come_from_the_masks_of_the_bones_and_erosions_from_theirs(whole: GradedSet) -> None:
    first = next(film for film in whole.films if film.picture.stem == FIRST)
    truth = drawn_hand(0, "L").sites
    assert set(first.sites) == set(HAND_SITES)
    assert float(np.hypot(*np.subtract(first.sites["PIP3"], truth["PIP3"]))) < 8
    (erosion,) = first.erosions
    assert erosion.name == "SvdH-BE-90"
    assert erosion.centre == pytest.approx((truth["MCP2"][0] + 4, truth["MCP2"][1]), abs=0.5)
    assert erosion.area == pytest.approx(np.pi * 25, rel=0.1)


def test_boxes_of_joints_are_found_by_their_names_wherever_they_lie(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "Segmentation").symlink_to(folder / "Segmentation")
    copy = tmp_path / "set"
    for split in ("train", "val", "test"):
        (copy / "Segmentation" / split).mkdir(parents=True)
        for path in (folder / "Segmentation" / split).glob("*.bmp"):
            (copy / "Segmentation" / split / path.name).symlink_to(path)
        for kind in ("SvdH_BE_Scoring", "SvdH_JSN_Scoring"):
            target = copy / "SvdH_Scoring" / kind / split
            target.mkdir(parents=True)
            for path in (folder / "SvdH_Scoring" / kind / split).glob("*.json"):
                (target / path.name).symlink_to(path)
        (copy / "Somewhere" / split).mkdir(parents=True)
        source = folder / "Joints" / split / "_annotations.coco.json"
        (copy / "Somewhere" / split / "joints.json").symlink_to(source)
    first = next(film for film in ram_h1200.read(copy).films if film.picture.stem == FIRST)
    truth = drawn_hand(0, "L").sites
    assert set(first.sites) == set(HAND_SITES)
    assert first.sites["RADCARP"] == pytest.approx(truth["RADCARP"], abs=1.0)


def test_a_folder_with_scores_and_crops_alone_is_read_without_films(folder: Path) -> None:
    found = ram_h1200.read(folder / "SvdH_Scoring" / "SvdH_BE_Scoring" / "train")
    assert [len(film.grades) for film in found.films] == [16, 16, 16]
    assert not any(film.picture.is_file() for film in found.films)
    assert set(found.films[0].crops) == {site for site in HAND_SITES if site not in _NARROWING_ONLY}


_NARROWING_ONLY = {"CMC3", "CMC4", "CMC5", "MULTNAV", "CAPNAVLUN", "RADCARP"}


def scores(folder: Path, table: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_annotation_jsn_scores.json").write_text(json.dumps(table))
    return folder


def test_a_joint_that_the_score_does_not_have_is_left_out_and_counted(tmp_path: Path, folder: Path) -> None:
    ram = folder / "Segmentation" / "train"
    (tmp_path / "train").symlink_to(ram)
    found = ram_h1200.read(scores(tmp_path, {f"{FIRST}.bmp": {"JSN_XYZ": 1, "JSN_STT": 2}}), places=False)
    first = next(film for film in found.films if film.picture.stem == FIRST)
    assert first.grades == {Cell("L", "hand", "MULTNAV", "narrowing"): 2.0}
    assert first.sites == {}
    assert "1 grades of JSN_XYZ: the score has no such joint" in found.remarks


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({f"{FIRST}.bmp": {"JSN_STT": 5}}, f"{FIRST}.bmp, JSN_STT: 5 is not a grade from 0 to 4"),
        ({f"{FIRST}.bmp": {"JSN_STT": "2"}}, f"{FIRST}.bmp, JSN_STT: '2' is not a grade"),
        ({"hand 1.bmp": {"JSN_STT": 2}}, "'hand 1' is no name of a case; expected country_centre_Pnumber"),
        ([1], "is not a table of film, joint and grade"),
        ({f"{FIRST}.bmp": {"JSN_STT": 2}}, "none of the pictures that they name"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_entry(tmp_path: Path, table: object, said: str) -> None:
    with pytest.raises(UnreadableData, match="^" + str(tmp_path)) as error:
        ram_h1200.read(scores(tmp_path, table))
    assert said in str(error.value)


def test_another_folder_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match=r"has no _annotation_be_scores\.json, no _annotation_jsn_scores"):
        ram_h1200.read(tmp_path)
