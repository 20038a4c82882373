"""A picture file is read as the node reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from dicom_sr.phantoms import Person, study_header, write_radiograph
from pipelines.hand_foot_scoring import films, weights
from pipelines.hand_foot_scoring.calibration import DEFAULT_POOLING
from pipelines.hand_foot_scoring.evaluation import pictures
from pipelines.hand_foot_scoring.evaluation.film_reading import FilmReading, read_file
from pipelines.hand_foot_scoring.evaluation.film_table import HEADING, row
from pipelines.hand_foot_scoring.film_sites import FilmSite
from pipelines.hand_foot_scoring.reading import Reader, pooled
from pipelines.hand_foot_scoring.scoring import Cell, Kind, NotScored, Reading, Reason, Scored
from pipelines.hand_foot_scoring.simulation import sample
from pipelines.hand_foot_scoring.simulation.processing import blurred, jpeg, posterised
from pipelines.hand_foot_scoring.simulation.sample import film_of


@pytest.fixture(scope="module")
def reader(networks: None) -> Reader:
    return Reader(weights.load())


@pytest.fixture(scope="module")
def as_it_is(reader: Reader, shared_data: Path) -> Callable[[str], FilmReading]:
    """The reading of a real film as it is, by its name."""
    return cache(lambda name: read_file(shared_data / "xray" / name, reader, DEFAULT_POOLING))


def stored(path: Path, age: float | None = None) -> Path:
    """A simulated hand in a file."""
    image = film_of("hand", "R", 3, severity=0.6, age=age).image
    Pillow.fromarray(np.asarray(np.clip(image * 200, 0, 255), np.uint8)).save(path)
    return path


def test_scores_lean_on_other_joints_as_they_are_told_to(reader: Reader, tmp_path: Path) -> None:
    path = stored(tmp_path / "hand.png")
    alone, patient = (read_file(path, reader, pooling) for pooling in ("alone", "patient"))
    assert alone.cells == films.readings(alone.limbs)
    assert patient.cells == pooled(alone.cells, reader.trained.calibration, "patient")
    assert patient.total != alone.total
    assert patient.scored == alone.scored > 20


def test_the_labels_beside_the_squares_are_the_readings_that_the_total_adds_up(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = read_file(stored(tmp_path / "hand.png"), reader, "patient")
    drawn = []

    def label(site: FilmSite, readings: Mapping[Cell, Reading]) -> str:
        drawn.append(readings)
        return site.name

    monkeypatch.setattr(pictures, "label", label)
    pictures.film_tile(one)
    assert drawn
    assert all(readings == one.cells for readings in drawn)


HEALTHY = {  # pictures of adults without arthritis that fill enough pixels, and the highest total
    "limbs-adult-commons/haggstrom_hand_pa.jpg": 5,
    "limbs-adult-commons-sharealike/hellerhoff_boxer_hand_pa.png": 5,
    "limbs-adult-commons/haggstrom_foot_dp.jpg": 4,
    "limbs-fracatlas/fracatlas_IMG0000182_foot_dp_R.jpg": 4,
    "limbs-fracatlas/fracatlas_IMG0000184_foot_dp_R.jpg": 4,
}
SEVERE = "limbs-adult-commons/braegelmann_ra_hand_severe_pa.jpg"


def test_healthy_adults_get_next_to_nothing_and_severe_arthritis_gets_much(
    as_it_is: Callable[[str], FilmReading],
) -> None:
    totals = []
    for name, highest in HEALTHY.items():
        one = as_it_is(name)
        grades = [reading.expected for reading in one.cells.values() if isinstance(reading, Scored)]
        assert one.total <= highest, name
        assert max(grades) <= 1, name
        assert one.scored >= 0.75 * len(one.cells), name
        totals.append(one.total)
    severe = as_it_is(SEVERE)
    assert severe.shown == "right hand, pa view"
    assert severe.scored >= 0.6 * len(severe.cells)
    assert severe.total >= max(40, 8 * max(totals))


@pytest.mark.parametrize("name", ["haggstrom_foot_dp.jpg", "haggstrom_hand_pa.jpg", Path(SEVERE).name])
@pytest.mark.parametrize("share", [0.04, 0.08])
def test_a_white_border_does_not_change_what_is_read(
    reader: Reader,
    as_it_is: Callable[[str], FilmReading],
    shared_data: Path,
    tmp_path: Path,
    name: str,
    share: float,
) -> None:
    with Pillow.open(shared_data / "xray" / "limbs-adult-commons" / name) as image:
        wide = round(share * max(image.size))
        ImageOps.expand(image.convert("L"), wide, 255).save(tmp_path / "bordered.png")
    plain = as_it_is(f"limbs-adult-commons/{name}")
    bordered = read_file(tmp_path / "bordered.png", reader, DEFAULT_POOLING)
    assert [limb.key for limb in bordered.limbs] == [limb.key for limb in plain.limbs]
    assert bordered.total == pytest.approx(plain.total, rel=0.15, abs=0.5)


@pytest.mark.parametrize("degrees", [10, 20, 30])
def test_a_destroyed_hand_that_lies_aslant_is_read_as_one(
    reader: Reader, shared_data: Path, tmp_path: Path, degrees: int
) -> None:
    with Pillow.open(shared_data / "xray" / SEVERE) as image:
        image.convert("L").reduce(2).rotate(degrees, expand=True).save(tmp_path / "turned.png")
    turned = read_file(tmp_path / "turned.png", reader, DEFAULT_POOLING)
    assert turned.shown == "right hand, pa view"
    assert turned.scored >= 0.6 * len(turned.cells)
    assert turned.total >= 40


def spoilt(path: Path, to: Path, how: str, length: int = 2000) -> Path:
    """A film made smaller, so that its longer side has so many pixels, and then worse."""
    with Pillow.open(path) as stored_film:
        image = stored_film.convert("L")
    image.thumbnail((length, length))
    grey: NDArray[np.float32] = np.asarray(np.asarray(image) / 255, np.float32)
    rng = np.random.default_rng(0)
    kind, _, size = how.partition(" ")
    if kind == "jpeg":
        grey = jpeg(grey, int(size))
    elif kind == "noise":
        grey = np.asarray(grey + float(size) * rng.standard_normal(grey.shape), np.float32)
    elif kind == "levels":
        grey = posterised(grey, int(size))
    elif kind == "blur":
        grey = blurred(grey, float(size))
    Pillow.fromarray(np.asarray(np.clip(255 * grey, 0, 255), np.uint8)).save(to)
    return to


@pytest.mark.parametrize(
    ("name", "how", "length", "why"),
    [
        ("haggstrom_hand_pa.jpg", "jpeg 5", 600, "compressed too heavily"),  # read as 20 before
        ("haggstrom_hand_pa.jpg", "noise 0.12", 600, "too noisy"),
        ("haggstrom_hand_pa.jpg", "levels 5", 600, "too few grey levels"),
        ("haggstrom_hand_pa.jpg", "blur 3", 600, "blurred"),
        ("haggstrom_foot_dp.jpg", "jpeg 5", 600, "compressed too heavily"),
    ],
)
def test_a_healthy_film_that_was_spoilt_is_refused_and_not_read_as_arthritis(
    reader: Reader, shared_data: Path, tmp_path: Path, name: str, how: str, length: int, why: str
) -> None:
    path = shared_data / "xray" / "limbs-adult-commons" / name
    one = read_file(spoilt(path, tmp_path / "spoilt.png", how, length), reader, DEFAULT_POOLING)
    assert why in one.refusal
    assert not one.cells


@pytest.mark.parametrize("how", ["jpeg 50", "noise 0.02", "levels 32", "blur 0.8"])
def test_a_healthy_film_that_was_made_a_little_worse_is_read_as_healthy(
    reader: Reader, shared_data: Path, tmp_path: Path, how: str
) -> None:
    path = shared_data / "xray" / "limbs-adult-commons" / "haggstrom_hand_pa.jpg"
    one = read_file(spoilt(path, tmp_path / "worse.png", how, 700), reader, DEFAULT_POOLING)
    assert one.refusal == ""
    assert one.total <= 5
    assert max(reading.expected for reading in one.cells.values() if isinstance(reading, Scored)) <= 1


@pytest.mark.parametrize("how", ["jpeg 5", "noise 0.1"])
def test_no_child_is_scored_because_its_film_was_spoilt(
    reader: Reader, shared_data: Path, tmp_path: Path, how: str
) -> None:
    for name in ("train_img38.png", "train_img41.png", "train_img96.png"):
        path = shared_data / "xray" / "hand-orientation-rsna" / "labelled" / name
        one = read_file(spoilt(path, tmp_path / name, how), reader, DEFAULT_POOLING)
        assert one.refusal, name


def test_no_other_view_or_part_and_no_child_is_scored(reader: Reader, shared_data: Path) -> None:
    xray = shared_data / "xray"
    others = [path for folder in xray.glob("limb*") for path in folder.iterdir() if path.suffix in (".jpg", ".png")]
    children = [*(xray / "hand-infant-example").glob("*.png"), *(xray / "hand-landmarks-dha").glob("*.mha")]
    for path in sorted({*others, *children}):
        if str(path.relative_to(xray)) not in (*HEALTHY, SEVERE):
            assert read_file(path, reader, DEFAULT_POOLING).refusal, path.name
    assert len(others) > 25
    assert len(children) == 5


def test_a_picture_that_is_refused_has_no_cells(reader: Reader, tmp_path: Path) -> None:
    child = read_file(stored(tmp_path / "child.png", age=9.0), reader, "patient")
    assert "growth plates" in child.refusal
    assert not child.cells
    assert child.limbs, "what it was taken for is said"


@pytest.mark.parametrize(
    ("edge", "share", "site", "whole"),
    [
        ("left", 0.1, "MTP1", True),
        ("left", 0.12, "MTP1", False),
        ("right", 0.1, "MTP5", True),
        ("right", 0.12, "MTP5", False),
    ],
)
def test_a_joint_of_whose_bones_a_part_lies_outside_of_the_picture_is_not_graded(
    reader: Reader, shared_data: Path, tmp_path: Path, edge: str, share: float, site: str, whole: bool
) -> None:
    with Pillow.open(shared_data / "xray" / "limbs-adult-commons" / "haggstrom_foot_dp.jpg") as image:
        off = round(share * image.width)
        box = (off, 0, image.width, image.height) if edge == "left" else (0, 0, image.width - off, image.height)
        image.crop(box).save(tmp_path / "cropped.png")
    one = read_file(tmp_path / "cropped.png", reader, DEFAULT_POOLING)
    kinds: tuple[Kind, ...] = ("erosion", "narrowing")
    for kind in kinds:
        reading = one.cells[Cell("R", "foot", site, kind)]
        assert isinstance(reading, Scored) if whole else reading == NotScored(Reason.CROPPED)
        assert isinstance(one.cells[Cell("R", "foot", "MTP3", kind)], Scored)


def test_where_nothing_was_scored_no_total_is_shown(reader: Reader, tmp_path: Path) -> None:
    made = film_of("hand", "R", 61)
    header = study_header(Person(), "one", "SIMULATED")
    path = write_radiograph(tmp_path, header, sample.stored(made), "HAND", "L", 1, made.pixel_mm)
    one = read_file(path, reader, "alone")
    assert one.limbs
    assert not one.cells
    assert one.result == "nothing was scored: the header says left, the picture shows a right hand"
    found = dict(zip(HEADING, row(one, tmp_path), strict=True))
    assert (found["total"], found["cells scored"]) == ("", "")
    assert found["refused or remarked"] == one.result
