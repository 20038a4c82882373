"""Real radiographs on canvases: what is shown has the size and the truth that the localiser expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring.canvas import CANVAS
from pipelines.hand_foot_scoring.sites import Side
from pipelines.hand_foot_scoring.training.canvases import PICTURES, Canvases, _bent, _limb_window, _Marked, as_film
from pipelines.hand_foot_scoring.windows import Pyramid, Window, window_of


def point_of(pair: np.ndarray) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


@pytest.fixture(scope="module")
def canvases(shared_data: Path) -> Canvases:
    return Canvases(shared_data / "xray")


def test_every_named_picture_is_found_and_shown(canvases: Canvases) -> None:
    assert len(canvases.pictures) == len(PICTURES)
    kinds = set()
    for seed in range(60):
        shown = canvases.view(np.random.default_rng(seed))
        assert shown.image.shape == CANVAS
        assert np.isfinite(shown.image).all()
        kinds.add(shown.kind)
    assert kinds == {kind for _, kind, _ in PICTURES}


def test_a_view_that_is_not_scored_has_no_site(canvases: Canvases) -> None:
    made = as_film(canvases.view(np.random.default_rng(0)))
    assert not made.sites
    assert made.part in ("hand", "foot", "other")


def test_a_bent_canvas_says_where_a_point_of_the_picture_lies() -> None:
    picture = np.zeros((400, 300), np.float32)
    rows, columns = np.mgrid[:400, :300]
    picture += np.exp(-((columns - 130.0) ** 2 + (rows - 220.0) ** 2) / 50).astype(np.float32)
    for seed in range(5):
        window = window_of((20.0, 30.0, 280.0, 380.0), 0, False, 0.3)
        shown, place = _bent(Pyramid.of(picture), window, np.random.default_rng(seed))
        row, column = np.unravel_index(shown.argmax(), shown.shape)
        assert place((130.0, 220.0)) == pytest.approx((column, row), abs=1.5)


@pytest.mark.parametrize(("side", "quarter_turns"), [("L", 0), ("R", 0), ("R", 2), ("L", 3)])
def test_a_marked_limb_is_shown_upright_as_a_left_one(side: Side, quarter_turns: int) -> None:
    upright = {"MCP2": (60.0, 100.0), "MCP5": (20.0, 110.0), "PIP3": (42.0, 50.0), "RAD": (40.0, 200.0)}
    mirror = -1.0 if side == "R" else 1.0
    angle = quarter_turns * np.pi / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    sites = {name: point_of(turn @ [mirror * x, y] + 500.0) for name, (x, y) in upright.items()}
    picture = _Marked(Pyramid.of(np.zeros((8, 8), np.float32)), "hand", side, quarter_turns, sites, 190.0)
    window, length = _limb_window(picture, np.random.default_rng(0))
    assert isinstance(window, Window)
    assert 0.25 * CANVAS[0] < length < CANVAS[0]
    inverse = np.linalg.inv(window.matrix[:, :2])
    place = {name: inverse @ (np.array(point) - window.matrix[:, 2]) for name, point in sites.items()}
    assert place["PIP3"][1] < place["MCP2"][1] < place["RAD"][1]  # fingers up
    across = place["MCP2"] - place["MCP5"]
    down = place["RAD"] - place["PIP3"]
    assert across[0] * down[1] - across[1] * down[0] > 0  # the index finger lies to the right: a left hand
