"""A bundle on graded films: figures worked out by hand, and the command on small sets in each layout."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring import BUNDLE
from pipelines.hand_foot_scoring.evaluation import evaluate, graded
from pipelines.hand_foot_scoring.evaluation.graded import ReadFilm
from pipelines.hand_foot_scoring.provenance import PartRecord, Source
from pipelines.hand_foot_scoring.scoring import Cell, NotScored, Reading, Reason, Scored, certain
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.hand_foot_scoring.training.bundle_files import add_part
from pipelines.hand_foot_scoring.training.data import own_table
from pipelines.hand_foot_scoring.training.data.digests import films_digest
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm
from pipelines.lab.plots import LimitsOfAgreement
from tests.pipelines.hand_foot_scoring.graded_data import own_films
from tests.pipelines.hand_foot_scoring.ram_data import ram_set

MCP2, MCP3 = Cell("L", "hand", "MCP2", "erosion"), Cell("L", "hand", "MCP3", "erosion")
NARROW = Cell("L", "hand", "MCP2", "narrowing")


def read_film(patient: str, grades: dict[Cell, float], readings: dict[Cell, Reading], side: Side = "L") -> ReadFilm:
    part: Part = "hand"
    return ReadFilm(GradedFilm(Path("a.png"), patient, part, side, grades, "row 2"), None, readings)


FILMS = [
    read_film(
        "A", {MCP2: 3, MCP3: 0, NARROW: 2}, {MCP2: certain(MCP2, 2), MCP3: certain(MCP3, 0), NARROW: certain(NARROW, 2)}
    ),
    read_film("B", {MCP2: 0, MCP3: 1}, {MCP2: certain(MCP2, 2), MCP3: NotScored(Reason.COVERED)}),
]


def test_totals_are_compared_over_the_cells_that_both_have_graded() -> None:
    first, second = graded.totals(FILMS, 0.0)
    assert (first.read, first.reference, first.cells, first.maximum) == (4, 5, 3, 14)
    assert (second.read, second.reference, second.cells) == (2, 0, 1)  # MCP3 was not read
    limits = LimitsOfAgreement.of([first.difference, second.difference])
    assert limits.bias == 0.5
    assert limits.standard_deviation == pytest.approx(np.sqrt(4.5))  # of -1 and 2
    assert limits.upper == pytest.approx(0.5 + 1.96 * np.sqrt(4.5))


def test_an_interval_is_as_wide_as_the_spreads_of_the_cells_say() -> None:
    half = Scored((0.5, 0, 0.5, 0, 0, 0))  # mean 1, standard deviation 1
    films = [read_film("A", {MCP2: 1, MCP3: 1}, {MCP2: half, MCP3: half})]
    alone, together = graded.totals(films, 0.0)[0], graded.totals(films, 1.0)[0]
    assert alone.half_width == pytest.approx(1.6449 * np.sqrt(2), rel=1e-4)
    assert together.half_width == pytest.approx(1.6449 * 2, rel=1e-4)


def test_what_was_not_read_is_counted_by_reason() -> None:
    refused = replace(read_film("C", {MCP2: 1, NARROW: 1}, {}), why_not="taken for nothing")
    assert graded.not_read([*FILMS, refused]) == {"taken for nothing": 2, Reason.COVERED.value: 1}


def test_films_of_one_examination_belong_together_and_a_second_time_is_another() -> None:
    right = Cell("R", "hand", "MCP2", "erosion")
    films = [
        read_film("A", {MCP2: 1}, {}),
        read_film("A", {right: 1}, {}, "R"),
        read_film("A", {MCP2: 2}, {}),
        read_film("B", {MCP2: 2}, {}),
    ]
    assert [[films.index(one) for one in study] for study in graded.studies(films)] == [[0, 1], [2], [3]]


def test_the_confusion_has_the_reference_down_and_the_reading_across() -> None:
    counts = graded.confusion(graded.pairs_by_head(FILMS)["hand_erosion"], 5)
    assert list(counts) == ["MCP"]
    assert counts["MCP"][3, 2] == 1
    assert counts["MCP"][0, 0] == 1
    assert counts["MCP"][0, 2] == 1
    assert counts["MCP"].sum() == 3


# ---- the command
def measured(tmp_path: Path, data: Path, layout: str, *more: str) -> dict[str, object]:
    out = tmp_path / "figures.json"
    assert evaluate.main(["--data", str(data), "--layout", layout, "--json", str(out), *more]) == 0
    found: dict[str, object] = json.loads(out.read_text())
    return found


def test_the_command_measures_on_films_of_a_site(networks: None, tmp_path: Path) -> None:
    films = own_films(tmp_path / "own", {"A": [("hand", "L"), ("hand", "R")], "B": [("foot", "L")]})
    figures = measured(tmp_path, tmp_path / "own", "own")
    assert figures["graded_cells"] == sum(len(film.grades) for film in films)
    assert figures["set"] == "all films"
    assert figures["patients"] == 2
    assert figures["read_cells"] > 60  # type: ignore[operator]
    assert figures["places"]["within_4_percent"] > 0.8  # type: ignore[index]
    assert figures["totals"]["count"] == 2  # type: ignore[index]
    assert set(figures["agreement"]) == {"hand_erosion", "foot_erosion", "narrowing"}  # type: ignore[call-overload]


def test_the_report_has_every_picture_and_table(networks: None, tmp_path: Path) -> None:
    own_films(tmp_path / "own", {"A": [("hand", "L"), ("foot", "R")], "B": [("hand", "R")]})
    measured(tmp_path, tmp_path / "own", "own", "--report", str(tmp_path / "report"))
    heads = ("hand_erosion", "foot_erosion", "narrowing")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.html",
        "bland_altman.png",
        *(f"confusion_{head}.png" for head in heads),
        *(f"reliability_{head}.png" for head in heads),
        "worst_films.png",
        "worst_cells.png",
        "agreement.csv",
        "films_read.csv",
        "not_read.csv",
    }
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/png") == 9
    assert "trained on simulated radiographs" in page


def test_a_bundle_is_measured_on_the_patients_that_were_kept_apart(
    networks: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = own_films(tmp_path / "own", {"A": [("hand", "L")], "B": [("hand", "R")]})
    divided = [replace(films[0], asked_set="training"), replace(films[1], asked_set="test")]
    own_table.write(tmp_path / "own" / "films.csv", divided)
    bundle = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    digest = films_digest(own_table.read(tmp_path / "own").films)
    source = Source("own", patients=1, layout="own", sets=(0.7, 0.15, 0.15), data_sha256=digest)
    add_part(bundle, "damage", PartRecord("condyle train", 4, (source,)))
    figures = measured(tmp_path, tmp_path / "own", "own", "--bundle", str(bundle))
    assert figures["films"] == 1
    assert figures["set"] == (
        "test set, divided with seed 4, kept apart when the bundle was trained; --set all would measure on all 2 films"
    )
    learned = measured(tmp_path, tmp_path / "own", "own", "--bundle", str(bundle), "--set", "training")
    assert "training set, divided with seed 4, which the bundle was trained on" in str(learned["set"])
    everything = measured(tmp_path, tmp_path / "own", "own", "--bundle", str(bundle), "--set", "all")
    assert (everything["films"], everything["set"]) == (2, "all films, also those that the bundle was trained on")
    own_table.write(tmp_path / "own" / "films.csv", [*divided[:1], replace(divided[1], patient="C")])
    changed = measured(tmp_path, tmp_path / "own", "own", "--bundle", str(bundle))
    assert "kept apart when the bundle was trained (the data have changed since, or are others)" in str(changed["set"])
    assert evaluate.main(["--data", str(tmp_path / "own"), "--layout", "own", "--set", "calibration"]) == 1
    assert "no film is in the set 'calibration'" in capsys.readouterr().out


def test_the_command_measures_ram_h1200_with_its_erosion_masks(networks: None, tmp_path: Path) -> None:
    figures = measured(tmp_path, ram_set(tmp_path / "ram"), "ram-h1200", "--set", "test")
    assert figures["films"] == 1
    assert figures["graded_cells"] == 31
    assert figures["erosions"]["marked"] == 1  # type: ignore[index]


def test_crops_without_films_are_measured_too(networks: None, tmp_path: Path) -> None:
    folder = ram_set(tmp_path / "ram", films=False) / "SvdH_Scoring" / "SvdH_JSN_Scoring" / "val"
    figures = measured(tmp_path, folder, "ram-h1200")
    assert figures["read_cells"] == figures["graded_cells"] == 15
    assert figures["agreement"]["narrowing"]["all"]["count"] == 15  # type: ignore[index]


@pytest.mark.parametrize("layout", ["own", "ram-h1200", "ra2-dream", "landmarks"])
def test_a_folder_of_another_kind_is_an_error_and_not_a_figure(networks: None, tmp_path: Path, layout: str) -> None:
    assert evaluate.main(["--data", str(tmp_path), "--layout", layout]) == 1


def test_films_of_which_no_cell_can_be_read_are_no_success(
    networks: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (film,) = own_films(tmp_path / "own", {"A": [("foot", "R")]})
    film.picture.write_bytes(b"no picture")
    assert evaluate.main(["--data", str(tmp_path / "own"), "--layout", "own"]) == 1
    said = capsys.readouterr().out.replace("\n", " ")
    assert "is no picture that can be read" in said
    assert "own: nothing was measured: no graded cell could be read" in said


def test_data_without_a_layout_is_refused(tmp_path: Path) -> None:
    assert evaluate.main(["--data", str(tmp_path)]) == 2
