"""Marked pictures are read at their marks; healthy real limbs get far less than a hand with severe arthritis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring import BUNDLE, SHAPE, weights
from pipelines.hand_foot_scoring.evaluation import evaluate
from pipelines.hand_foot_scoring.evaluation.marked_films import MarkedReading, limb_at, read_marked
from pipelines.hand_foot_scoring.reading import Reader
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.simulation.marked import MarkedPicture
from pipelines.hand_foot_scoring.simulation.sample import film_of
from pipelines.hand_foot_scoring.sites import REACH_MM, Side


def marks(side: Side, without: tuple[str, ...] = ()) -> tuple[MarkedPicture, float]:
    """Marks of a simulated hand, and pixels per mm of a mean adult on its film."""
    film = film_of("hand", side, 3, severity=0)
    sites = {name: point for name, point in film.sites.items() if name not in without}
    made = MarkedPicture(
        "a.png", "0" * 64, "own", "own", "measuring", "hand", side, "pa", 0, "healthy", sites, {}, (), None
    )
    return made, 0.77 * film.image.shape[0] / REACH_MM["hand"]


@pytest.mark.parametrize("side", ["L", "R"])
def test_a_limb_lies_where_its_sites_are_marked(side: Side) -> None:
    made, pixels_per_mm = marks(side, without=("MCP2", "LUN"))
    limb = limb_at(made, load_shapes(BUNDLE / SHAPE))
    whole, _ = marks(side)
    assert set(limb.centres) == set(whole.sites) - {"MCP2", "LUN"}
    assert limb.centres["PIP3"].point == pytest.approx(whole.sites["PIP3"])
    for name in ("MCP2", "LUN"):  # not marked: put where the arrangement has them
        assert np.hypot(*np.subtract(limb.expected[name], whole.sites[name])) < 5 * pixels_per_mm
    assert limb.lie()[1] == pytest.approx(pixels_per_mm, rel=0.08)
    assert abs(limb.lie()[0]) < 0.25


@pytest.fixture(scope="module")
def read(networks: None, shared_data: Path) -> dict[str, MarkedReading]:
    """The marked pictures of the shared data, read with the shipped bundle."""
    return {one.marks.name: one for one in read_marked(Reader(weights.load()), shared_data / "xray")}


def test_healthy_adult_limbs_get_little(read: dict[str, MarkedReading]) -> None:
    healthy = [
        one
        for one in read.values()
        if one.marks.finding in ("healthy", "fracture of the fifth metacarpal, no arthritis", "no arthritis")
        and one.marks.view in ("pa", "dp")
        and not one.reading.too_small
    ]
    assert len(healthy) >= 4
    for one in healthy:
        assert one.total <= (5 if one.marks.part == "hand" else 4), one.marks.name
        assert one.highest[1] <= 1, one.marks.name
        assert one.graded >= 0.75 * len(one.reading.cells), one.marks.name


def test_a_hand_with_severe_rheumatoid_arthritis_gets_a_high_total(read: dict[str, MarkedReading]) -> None:
    severe = next(one for one in read.values() if one.marks.finding == "rheumatoid arthritis")
    healthy = max(one.total for one in read.values() if one.marks.finding == "healthy" and one.marks.part == "hand")
    assert severe.total >= 40
    assert severe.total >= 8 * healthy
    assert severe.graded >= 0.6 * len(severe.reading.cells)


def test_marked_pictures_need_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert evaluate.main(["--marked"]) == 2
    assert "--films" in capsys.readouterr().out
