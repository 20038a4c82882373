"""Films painted from real ones: their truth lies where it is said to lie, and crops are as the network takes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.hand_foot_scoring.heads import STATES
from pipelines.hand_foot_scoring.simulation.crops import NONE, STORED, stacked
from pipelines.hand_foot_scoring.simulation.disease import Disease
from pipelines.hand_foot_scoring.simulation.layers import Canvas
from pipelines.hand_foot_scoring.simulation.painted import FILM_MM, PaintedFilm, canvases, crops_of, painted_film
from pipelines.hand_foot_scoring.simulation.posing import Build
from pipelines.hand_foot_scoring.sites import CLASS_OF, NO_EROSION, NO_NARROWING, SITES

FLAT = Build()


def film(canvas: Canvas, disease: Disease, seed: int) -> PaintedFilm:
    return painted_film(canvas, disease, np.random.default_rng(seed), build=FLAT, process=False, odd=False)


def test_a_film_is_the_same_for_the_same_seed_and_another_for_another(foot_canvas: Canvas) -> None:
    first, again, other = (painted_film(foot_canvas, Disease(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("part", ["hand", "foot"])
def test_truth_names_every_site_and_its_grades(part: str, request: pytest.FixtureRequest) -> None:
    canvas: Canvas = request.getfixturevalue(f"{part}_canvas")
    site = {"hand": "MCP3", "foot": "MTP3"}[part]
    made = film(canvas, Disease({site: 3}, {site: 2}), 0)
    assert made.part == part
    assert made.pixel_mm == FILM_MM
    assert set(made.states) == set(SITES[canvas.part])
    assert {s: grade for s, grade in made.erosion.items() if grade} == {site: 3}
    assert {s: grade for s, grade in made.narrowing.items() if grade} == {site: 2}
    for x, y in made.sites.values():
        assert 0 < x < made.image.shape[1]
        assert 0 < y < made.image.shape[0]


def test_a_healthy_joint_is_mostly_darker_than_the_bones_beside_it(hand_canvas: Canvas) -> None:
    shares = []
    for seed in range(4):
        made = film(hand_canvas, Disease(), seed)
        for site in ("MCP2", "MCP3", "MCP4", "PIP3"):
            x, y = (round(v) for v in made.sites[site])
            column = made.image[y - 22 : y + 23, x - 3 : x + 4].mean(axis=1)
            shares.append(column[16:29].min() / min(column[:8].mean(), column[-8:].mean()))
    assert np.median(shares) < 0.9  # some are seen narrow


def test_an_erosion_takes_bone_from_its_joint_and_from_no_other(hand_canvas: Canvas) -> None:
    ill = film(hand_canvas, Disease({"MCP3": 5}), 4)
    sound = film(hand_canvas, Disease(), 4)

    def bright(made: PaintedFilm, site: str) -> float:
        column, row = (round(v) for v in made.sites[site])
        return float(made.image[row - 20 : row + 21, column - 20 : column + 21].mean())

    assert bright(ill, "MCP3") < bright(sound, "MCP3") - 0.03
    for site in ("PIP4", "MCP5", "CMC3"):
        assert abs(bright(ill, site) - bright(sound, site)) < 0.01


def test_crops_carry_the_grades_that_a_site_has(foot_canvas: Canvas, hand_canvas: Canvas) -> None:
    for canvas in (foot_canvas, hand_canvas):
        sites = SITES[canvas.part]
        disease = Disease({s: 2 for s in sites if s not in NO_EROSION}, dict.fromkeys(sites, 1))
        rng = np.random.default_rng(0)
        rows = list(crops_of(film(canvas, disease, 0), rng))
        assert {row[1] for row in rows} == {CLASS_OF[canvas.part, site] for site in sites}
        names = {index: name for (part, name), index in CLASS_OF.items() if part == canvas.part}
        for image, site, erosion, narrowing, state, plates in rows:
            assert image.shape == (STORED, STORED)
            assert STATES[state] == "evaluable"
            assert erosion == (NONE if names[site] in NO_EROSION else 2)
            assert narrowing == (NONE if names[site] in NO_NARROWING[canvas.part] else 1)
            assert plates == NONE
        assert len(stacked([(*row, 0) for row in rows])) == len(rows)


def test_bones_of_another_limb_stand_in_for_some_without_closing_a_space(hand_canvas: Canvas) -> None:
    other = replace(hand_canvas, bones={name: hand_canvas.bones[name] for name in ("scaphoid", "lunate", "capitate")})
    given = replace(hand_canvas, donors=(other,))
    first, plain = film(given, Disease(), 3), film(hand_canvas, Disease(), 3)
    assert set(first.sites) == set(plain.sites)
    assert abs(float(first.image.mean()) - float(plain.image.mean())) < 0.05


def test_a_joint_at_the_border_of_a_part_of_a_limb_is_not_shown(hand_canvas: Canvas) -> None:
    x, y = hand_canvas.sites["LUN"]
    wrist = replace(
        hand_canvas,
        sites={site: hand_canvas.sites[site] for site in ("LUN", "NAV", "RAD", "CAPNAVLUN", "CMC3")},
        frame=(x - 90, y - 90, x + 90, y + 90),
    )
    made = film(wrist, Disease(), 0)
    assert made.states["LUN"] == "evaluable"
    assert made.states["CMC3"] == "absent"
    assert made.states["MCP3"] == "absent"
    rows = list(crops_of(made, np.random.default_rng(0)))
    assert {row[1] for row in rows} == {CLASS_OF["hand", s] for s, state in made.states.items() if state != "absent"}


def test_what_a_joint_shows_besides_bone_is_its_state(hand_canvas: Canvas) -> None:
    seen: dict[str, int] = {}
    for seed in range(10, 22):
        made = painted_film(hand_canvas, Disease(), np.random.default_rng(seed), build=FLAT, process=False)
        for site, state in made.states.items():
            seen[state] = seen.get(state, 0) + 1
            if state == "prosthesis":
                x, y = (round(v) for v in made.sites[site])
                assert made.image[y - 2 : y + 3, x - 2 : x + 3].mean() > 0.5
    assert {"evaluable", "prosthesis", "absent"} <= set(seen)
    assert seen["evaluable"] > 0.85 * sum(seen.values())


def test_pictures_that_may_be_trained_on_become_films_with_every_joint_between_its_bones(shared_data: Path) -> None:
    for part in ("hand", "foot"):
        found = canvases(shared_data / "xray", part, parts=True)
        assert found, f"no picture of a {part} to paint on"
        for canvas in found:
            made = film(canvas, Disease(), 1)
            shown = [site for site, state in made.states.items() if state == "evaluable"]
            assert set(shown) <= set(canvas.sites)
            assert len(shown) >= (5 if canvas.whole else 4)
            assert len(list(crops_of(made, np.random.default_rng(0)))) >= len(shown)
            assert np.isfinite(made.image).all()


def test_without_pictures_there_is_no_canvas(tmp_path: Path) -> None:
    assert canvases(tmp_path, "hand") == ()
    assert canvases(tmp_path, "foot") == ()
    assert canvases(tmp_path, "hand", parts=True) == ()
