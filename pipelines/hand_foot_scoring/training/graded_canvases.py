"""Real films with known joints as what the localiser learns from: placed, turned and cut out anew each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.hand_foot_scoring.canvas import CANVAS
from pipelines.hand_foot_scoring.limb import Limb
from pipelines.hand_foot_scoring.shape import ShapeModel
from pipelines.hand_foot_scoring.simulation.films import Film
from pipelines.hand_foot_scoring.simulation.skeleton import State
from pipelines.hand_foot_scoring.sites import REACH_MM, Part, Side
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData, grey
from pipelines.hand_foot_scoring.training.data.graded_films import GradedFilm
from pipelines.hand_foot_scoring.training.data.placed import ENOUGH, limb_at
from pipelines.hand_foot_scoring.windows import Pyramid, Window, window_of

REDUCED = 900  # rows or columns to which a film is averaged down: a canvas has 256
TURNED = 0.25  # share of the samples that do not lie upright, as in simulation


@dataclass(frozen=True)
class Canvas:
    """A film, small enough to keep in memory, and its limb in the pixels of that small film."""

    pyramid: Pyramid
    limb: Limb
    marked: frozenset[str]  # sites that were marked; where the others are is only guessed


class GradedCanvases:
    """Draws samples from films whose sites are marked."""

    def __init__(self, canvases: Sequence[Canvas]) -> None:
        self.canvases = tuple(canvases)

    @classmethod
    def of(cls, films: Sequence[GradedFilm], arrangements: dict[Part, ShapeModel]) -> GradedCanvases | None:
        """Those films that have enough marked sites; None where none has."""
        canvases = [
            canvas
            for film in films
            if len(film.sites) >= ENOUGH and film.picture.is_file()
            for canvas in (_canvas(film, arrangements[film.part]),)
            if canvas is not None
        ]
        return cls(canvases) if canvases else None

    def draw(self, rng: np.random.Generator) -> tuple[Film, frozenset[str]]:
        """One film on a canvas, and the sites on it whose places are only guessed."""
        canvas = self.canvases[int(rng.integers(len(self.canvases)))]
        turned = rng.random() < TURNED
        turns = int(rng.integers(4)) if turned else 0
        mirrored = bool(turned and rng.random() < 0.5)
        film = _film(canvas, _view(canvas.limb, turns, mirrored, rng), turns, mirrored, rng)
        return film, frozenset(film.sites) - canvas.marked


def _canvas(film: GradedFilm, arrangement: ShapeModel) -> Canvas | None:
    try:
        pyramid = Pyramid.of(np.ascontiguousarray(grey(film.picture)))
    except UnreadableData:
        return None
    factor, image = next((f, i) for f, i in pyramid.levels if max(i.shape) <= REDUCED or (f, i) is pyramid.levels[-1])
    sites = {name: ((x + 0.5) / factor - 0.5, (y + 0.5) / factor - 0.5) for name, (x, y) in film.sites.items()}
    return Canvas(Pyramid.of(image), limb_at(sites, film.side, arrangement), frozenset(film.sites))


def _view(limb: Limb, turns: int, mirrored: bool, rng: np.random.Generator) -> Window:
    """A window in which the limb lies turned and mirrored as asked, filling 45 to 98 % of it, a little askew."""
    upright = limb.side == "R"
    angle = limb.lie()[0]
    box = np.array(limb.box)
    middle, extent = (box[:2] + box[2:]) / 2, float(limb.length)
    height, width = CANVAS if turns % 2 == 0 else CANVAS[::-1]
    fill = rng.uniform(0.45, 0.98)
    pixel = extent / (fill * min(height, 1.3 * width))  # pixels of the film per pixel of the canvas
    askew = float(np.clip(rng.normal(0, 0.2), -0.55, 0.55))
    base = window_of((0.0, 0.0, 1.0, 1.0), 0, upright, angle)
    linear = base.matrix[:, :2] / np.sqrt(abs(np.linalg.det(base.matrix[:, :2]))) * pixel
    # from the canvas back to an upright limb: undo the mirror and the turn that the sample shall show
    whole = turns * np.pi / 2 + askew
    back = np.diag([-1.0 if mirrored else 1.0, 1.0]) @ np.array(
        [[np.cos(whole), np.sin(whole)], [-np.sin(whole), np.cos(whole)]]
    )
    linear = linear @ back
    aim = np.array([CANVAS[1], CANVAS[0]]) / 2 * (1 + rng.uniform(-1, 1, 2) * (0.08 + 0.8 * max(0.0, 1 - fill)))
    return Window(np.column_stack((linear, middle - linear @ aim)))


def _film(canvas: Canvas, window: Window, turns: int, mirrored: bool, rng: np.random.Generator) -> Film:
    """What a window shows of a film, with another gain and some noise."""
    limb = canvas.limb
    image = canvas.pyramid.sample(window)
    low, high = np.quantile(image[::4, ::4], (0.01, 0.99))
    image = (image - low) / max(float(high - low), 1e-6) * rng.uniform(0.7, 1.3)
    image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0, 0.02))
    inverse = np.linalg.inv(window.matrix[:, :2])
    points = {name: (np.array(place) - window.matrix[:, 2]) @ inverse.T for name, place in limb.expected.items()}
    sites = {name: (float(x), float(y)) for name, (x, y) in points.items()}
    states: dict[str, State] = {name: "evaluable" if _inside(place) else "absent" for name, place in sites.items()}
    grades = dict.fromkeys(sites, 0)  # the localiser learns places only
    pixel_mm = REACH_MM[limb.part] * window.scale / limb.length
    side: Side = "R" if mirrored else "L"
    return Film(np.asarray(image, np.float32), pixel_mm, limb.part, side, turns, sites, states, grades, grades)


def _inside(place: tuple[float, float]) -> bool:
    return 1 <= place[0] < CANVAS[1] - 1 and 1 <= place[1] < CANVAS[0] - 1
