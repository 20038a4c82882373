"""Films without grades: the command on a folder of pictures, its sheets, and the table that it leaves to readers."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from dicom_sr.capture.drawing import WARNING, Colour
from dicom_sr.findings import Result
from dicom_sr.profile import EncodingProfile
from dicom_sr.write.encode import encode
from pipelines.example import CREATED
from pipelines.hand_foot_scoring.evaluation import evaluate, pictures
from pipelines.hand_foot_scoring.evaluation.film_reading import FilmReading
from pipelines.hand_foot_scoring.evaluation.film_table import reported
from pipelines.hand_foot_scoring.example import example
from pipelines.hand_foot_scoring.training.data import own_table
from tests.factories import radiograph_study
from tests.pipelines.hand_foot_scoring.graded_data import drawn, grades_of, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A hand, a foot, a picture without a limb, and a file that is no picture."""
    data = tmp_path / "films"
    save(drawn("hand", "R", 3), data / "p1_R.png")
    save(drawn("foot", "L", 3), data / "more" / "foot.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 30, (300, 300), dtype=np.uint8)).save(data / "blank.png")
    (data / "broken.jpg").write_bytes(b"no picture")
    (data / "notes.txt").write_text("not looked at")
    return data


def test_every_film_is_named_with_what_was_found_and_the_readings_are_a_start_for_readers(
    networks: None, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, out = tmp_path / "report", tmp_path / "found.json"
    options = ["--data", str(folder), "--layout", "films", "--report", str(report), "--json", str(out)]
    assert evaluate.main(options) == 0
    found = {row["film"]: row for row in json.loads(out.read_text())["films"]}
    assert list(found) == ["blank.png", "broken.jpg", "more/foot.png", "p1_R.png"]
    assert found["p1_R.png"]["taken for"].startswith("right hand")
    assert found["more/foot.png"]["taken for"].startswith("left foot")
    assert "neither a hand nor a foot" in found["blank.png"]["refused or remarked"]
    assert "is no picture that can be read" in found["broken.jpg"]["refused or remarked"]
    assert "p1_R.png: right hand" in capsys.readouterr().out
    with (report / "films_found.csv").open() as stream:
        assert [row["film"] for row in csv.DictReader(stream)] == list(found)
    with Image.open(report / "films_01.png") as sheet:
        assert sheet.width > 2 * pictures.TILE[0]
    assert (report / "report.html").read_text().count("data:image/png") == 1

    started = own_table.read(report / own_table.TABLE)
    foot, hand = started.films
    assert (hand.patient, hand.part, hand.side) == ("p1", "hand", "R")
    truth = grades_of(drawn("hand", "R", 3))
    assert np.mean([abs(grade - truth[cell]) for cell, grade in hand.grades.items() if cell in truth]) < 1
    assert all(grade == round(grade) for grade in hand.grades.values())
    away = np.hypot(*np.subtract(foot.sites["MTP1"], drawn("foot", "L", 3).sites["MTP1"]))
    assert away < 20


def test_a_film_whose_header_rules_it_out_is_refused_as_in_the_node(networks: None, tmp_path: Path) -> None:
    study = radiograph_study(tmp_path / "study")
    (instance,) = study.instances
    ds = pydicom.dcmread(instance.path)
    ds.PatientAge = "009Y"
    ds.save_as(instance.path)
    out = tmp_path / "found.json"
    assert evaluate.main(["--data", str(tmp_path / "study"), "--layout", "films", "--json", str(out)]) == 0
    (row,) = json.loads(out.read_text())["films"]
    assert "9 years old" in row["refused or remarked"]


def test_what_is_remarked_on_a_film_is_said_while_it_is_read_and_on_its_tile(
    networks: None,
    tmp_path: Path,
    shared_data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    card = pictures._card

    def kept(picture: Image.Image | None, lines: Sequence[tuple[str, Colour]]) -> Image.Image:
        written.extend(text for text, _ in lines)
        return card(picture, lines)

    monkeypatch.setattr(pictures, "_card", kept)
    data = tmp_path / "films"
    data.mkdir()
    views = [shared_data / "xray" / "limbs-adult-commons" / f"haggstrom_hand_{view}.jpg" for view in ("pa", "lateral")]
    beside = [np.asarray(Image.open(path).convert("L").resize((500, 700))) for path in views]
    Image.fromarray(np.hstack(beside)).save(data / "two.png")
    assert evaluate.main(["--data", str(data), "--layout", "films", "--report", str(tmp_path / "report")]) == 0
    said = "The picture shows more than the left hand: "
    assert said in capsys.readouterr().out
    assert any(text.startswith(said) for text in written)


def test_a_folder_without_pictures_is_said_to_have_none(
    networks: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--data", str(tmp_path), "--layout", "films"]) == 1
    assert "holds no picture (PNG, JPEG" in capsys.readouterr().out


def test_a_film_that_cannot_be_read_has_a_tile_with_the_reason() -> None:
    tile = np.asarray(pictures.film_tile(FilmReading(Path("a.dcm"), None, (), "the patient is 9 years old")))
    assert tile.shape[1] == pictures.TILE[0]
    assert (np.abs(tile.astype(int) - WARNING).max(axis=-1) < 40).sum() > 50


def test_readings_of_reports_that_the_node_wrote_are_a_start_for_readers_too(networks: None, tmp_path: Path) -> None:
    made = example(tmp_path / "films", 450)
    assert isinstance(made.result, Result)
    encode(made.result, EncodingProfile(kinds=("report",)), CREATED, tmp_path / "results")
    options = ["--layout", "films", "--report", str(tmp_path / "out"), "--reports", str(tmp_path / "results")]
    assert evaluate.main(["--data", str(tmp_path / "films"), *options]) == 0
    films = own_table.read(tmp_path / "out" / own_table.TABLE).films
    assert {(film.part, film.side) for film in films} == {(p, s) for p in ("hand", "foot") for s in ("L", "R")}
    assert {film.patient for film in films} == {"SIM-0002"}
    readings = {c: r for f in reported(tmp_path / "results").values() for film in f for c, r in film.grades.items()}
    assert len(readings) > 70
    left = next(film for film in films if (film.part, film.side) == ("hand", "L"))
    assert all(left.grades[cell] == grade for cell, grade in readings.items() if cell in left.grades)
    (mark,) = [f for f in made.result.findings if f.tracking_id == "SvH L MCP2"]
    assert mark.region is not None
    assert left.sites["MCP2"] == pytest.approx(np.mean(mark.region.outline[:4], axis=0) - 0.5, abs=0.1)
