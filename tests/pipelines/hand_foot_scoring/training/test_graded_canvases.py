"""Real films as what the localiser learns from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring import BUNDLE, SHAPE
from pipelines.hand_foot_scoring.canvas import CANVAS
from pipelines.hand_foot_scoring.network import POSES
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.sites import CLASS_OF
from pipelines.hand_foot_scoring.training.graded_canvases import GradedCanvases
from pipelines.hand_foot_scoring.training.localiser import Samples, graded_sample
from tests.pipelines.hand_foot_scoring.graded_data import own_films


@pytest.fixture(scope="module")
def canvases(networks: None, tmp_path_factory: pytest.TempPathFactory) -> GradedCanvases:
    folder = tmp_path_factory.mktemp("own")
    films = own_films(folder, {"A": [("hand", "L"), ("hand", "R")]})
    found = GradedCanvases.of(films, load_shapes(BUNDLE / SHAPE))
    assert found is not None
    return found


def test_a_limb_lies_on_its_canvas_as_the_film_says(canvases: GradedCanvases) -> None:
    """An upright left hand has its fingers above its wrist, its thumb to the right; others are turned, mirrored."""
    seen = set()
    for number in range(60):
        film, guessed = canvases.draw(np.random.default_rng(number))
        assert not guessed
        assert film.image.shape == CANVAS
        points = {name: np.array(place) for name, place in film.sites.items()}
        up, across = points["MCP3"] - points["ULN"], points["MCP2"] - points["MCP5"]
        clockwise = np.degrees(np.arctan2(up[0], -up[1]))
        assert abs((clockwise - 90 * film.quarter_turns + 180) % 360 - 180) < 60
        assert (up[0] * across[1] - up[1] * across[0] > 0) == (film.side == "L")
        seen.add((film.side, film.quarter_turns))
    assert len(seen) > 4


def test_joints_lie_on_bright_bone_wherever_the_canvas_shows_them(canvases: GradedCanvases) -> None:
    film, _ = canvases.draw(np.random.default_rng(2))
    shown = [place for name, place in film.sites.items() if film.states[name] == "evaluable"]
    bright = [film.image[round(y), round(x)] for x, y in shown]
    assert len(shown) > 15
    assert np.median(bright) > 2 * np.median(film.image)


def test_nothing_is_learned_where_the_place_of_a_joint_is_only_guessed(networks: None, tmp_path: Path) -> None:
    (film,) = own_films(tmp_path, {"A": [("hand", "L")]})
    some = {site: place for site, place in film.sites.items() if site[:3] in ("MCP", "PIP")}
    found = GradedCanvases.of([replace(film, sites=some)], load_shapes(BUNDLE / SHAPE))
    assert found is not None
    for number in range(20):
        canvas, mask, pose, _ = graded_sample(np.random.default_rng(number), found)
        if pose != POSES.index(("hand", False, 0)):
            continue
        assert canvas.shape == (2, *CANVAS)
        classes = set(np.unique(mask)) - {0, 255}
        assert classes <= {CLASS_OF["hand", site] for site in some}
        assert len(classes) > 5
        assert 0.02 < (mask == 255).mean() < 0.4  # rings round the known ones, discs over the wrist
        return
    raise AssertionError("no upright sample in 20")


def test_films_without_enough_marked_joints_give_nothing_to_learn_places_from(networks: None, tmp_path: Path) -> None:
    (film,) = own_films(tmp_path, {"A": [("hand", "L")]})
    assert GradedCanvases.of([replace(film, sites={})], load_shapes(BUNDLE / SHAPE)) is None


def test_films_of_the_site_are_shown_in_their_share(canvases: GradedCanvases, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.hand_foot_scoring.training import localiser

    monkeypatch.setattr(localiser, "_drawn", lambda rng, real, mix: "drawn")
    monkeypatch.setattr(localiser, "_again", lambda drawn, rng: drawn)
    monkeypatch.setattr(localiser, "_piece", lambda drawn, rng: drawn)
    monkeypatch.setattr(localiser, "_encoded", lambda drawn, rng: "simulated")
    monkeypatch.setattr(localiser, "graded_sample", lambda rng, graded: "real")
    stream = iter(Samples(0, graded=canvases, share=0.3))
    drawn = [str(next(stream)) for _ in range(400)]
    assert drawn.count("real") / 400 == pytest.approx(0.3, abs=0.07)
    again = iter(Samples(0, 100, graded=canvases, share=0.3))
    assert [str(next(again)) for _ in range(50)] == drawn[
        100:150
    ]  # a training that goes on sees what would have come next
