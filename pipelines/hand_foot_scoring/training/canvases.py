"""Real radiographs that the localiser may learn from: turned, scaled, mirrored, cropped and bent at random.

The pictures lie in a folder that the user names (`--films`); none is part of the project. Only those with a licence
that allows it are named here, and of the marked ones (`simulation/marked`) only those for training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from pipelines.hand_foot_scoring.canvas import CANVAS
from pipelines.hand_foot_scoring.simulation import painted
from pipelines.hand_foot_scoring.simulation.disease import Disease, random_disease
from pipelines.hand_foot_scoring.simulation.films import Film
from pipelines.hand_foot_scoring.simulation.marked import marked, marked_parts
from pipelines.hand_foot_scoring.simulation.trabeculae import trabeculae_files
from pipelines.hand_foot_scoring.sites import REACH_MM, SITES, Part, Side
from pipelines.hand_foot_scoring.windows import Pyramid, Window, window_of

Image = NDArray[np.float32]
Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the picture
Kind = Literal["hand oblique", "hand lateral", "foot oblique", "foot lateral", "other"]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
LARGEST = 1100  # pixels; a canvas needs no finer picture
PAINTINGS = 80  # new films that are painted from each marked picture; each is shown again and again
PAINTED = 0.6  # share of them among the shown hands and feet; the others are the pictures themselves
PAINTED_HEIGHT = 520  # pixels to which they are averaged down

LICENCES = {  # of the pictures, by how their names begin
    "haggstrom_": "CC0 1.0",
    "fracatlas_": "CC BY 4.0",
    "jarraya_": "CC BY 3.0",
    "331_DDH_": "CC BY 4.0",
    "RG3_": "NEMA compression test set, distributed for testing",
    "CR-MONO1-": "MS-PL",
}
# What is seen on a picture, and where
PICTURES: tuple[tuple[str, Kind, Box], ...] = (
    ("haggstrom_hand_oblique.jpg", "hand oblique", WHOLE),
    ("haggstrom_hand_lateral.jpg", "hand lateral", WHOLE),
    ("haggstrom_foot_oblique.jpg", "foot oblique", WHOLE),
    ("haggstrom_foot_lateral.jpg", "foot lateral", WHOLE),
    ("fracatlas_IMG0000181_foot_lateral.jpg", "foot lateral", (0.28, 0.33, 0.8, 0.97)),
    ("fracatlas_IMG0000185_foot_oblique.jpg", "foot oblique", (0.25, 0.0, 0.76, 0.85)),
    ("haggstrom_wrist_lateral.jpg", "other", WHOLE),
    ("haggstrom_knee_ap.jpg", "other", WHOLE),
    ("haggstrom_knee_lateral.jpg", "other", WHOLE),
    ("jarraya_scaphoid_crop.jpg", "other", WHOLE),
    ("haggstrom_hand_pa.jpg", "other", (0.12, 0.72, 0.75, 1.0)),  # its wrist
    ("haggstrom_hand_oblique.jpg", "other", (0.0, 0.74, 0.8, 1.0)),
    ("fracatlas_IMG0000182_foot_dp_R.jpg", "other", (0.3, 0.0, 0.75, 0.4)),  # its leg
    ("fracatlas_IMG0000181_foot_lateral.jpg", "other", (0.3, 0.0, 1.0, 0.45)),
    ("331_DDH_1.dcm", "other", WHOLE),
    ("331_DDH_10.dcm", "other", WHOLE),
    ("331_DDH_107.dcm", "other", WHOLE),
    ("RG3_JLSN", "other", WHOLE),
    ("CR-MONO1-10-chest", "other", WHOLE),
)


TOES_DOWN = ("fracatlas_IMG0000181_foot_lateral.jpg", "fracatlas_IMG0000185_foot_oblique.jpg")


@dataclass(frozen=True)
class Shown:
    """A real radiograph on a canvas."""

    image: Image  # (256, 192), bone bright
    kind: Kind | Part
    side: Side
    quarter_turns: int
    sites: Mapping[str, tuple[float, float]]  # canvas pixels; of a marked picture only
    length: float  # canvas pixels of the limb; 0 where it is not known


class Canvases:
    """The real radiographs below a folder, ready to be shown."""

    def __init__(self, folder: Path) -> None:
        self.pictures: list[tuple[Pyramid, Kind, Box, int]] = []
        read: dict[str, Pyramid | None] = {}
        for name, kind, box in PICTURES:
            if name not in read:
                read[name] = _read(folder, name)
            picture = read[name]
            if picture is not None:
                self.pictures.append((picture, kind, box, 2 if name in TOES_DOWN else 0))
        self.marked: list[_Marked] = []
        for marks in marked("training"):
            grey = marks.read(folder) if len(marks.sites) > 5 and marks.view in ("pa", "dp") else None
            if grey is not None:
                points = np.array(list(marks.sites.values()))
                length = marks.length or 1.2 * float(np.ptp(points, axis=0).max())
                self.marked.append(
                    _Marked(_pyramid(grey), marks.part, marks.side, marks.quarter_turns, marks.sites, length)
                )
        self.layers = tuple((part, canvas) for part in SITES for canvas in painted.canvases(folder, part))
        self.paintings: dict[int, _Marked] = {}

    def _painting(self, number: int) -> _Marked:
        """One of the painted films, drawn when it is first shown."""
        if number not in self.paintings:
            part, canvas = self.layers[number % len(self.layers)]
            rng = np.random.default_rng((number, 7))
            ill = rng.random() < 0.75
            disease = random_disease(part, rng, float(rng.choice([0.2, 0.5, 1.0]))) if ill else Disease()
            made = painted.painted_film(canvas, disease, rng)
            factor = made.image.shape[0] / PAINTED_HEIGHT
            small = zoom(gaussian_filter(made.image, 0.4 * factor), 1 / factor, order=1)
            sites = {n: ((x + 0.5) / factor - 0.5, (y + 0.5) / factor - 0.5) for n, (x, y) in made.sites.items()}
            length = REACH_MM[part] / made.pixel_mm / factor
            grey = np.clip(small * 255, 0, 320).astype(np.float32)
            self.paintings[number] = _Marked(_pyramid(grey), part, "L", 0, sites, length)
        return self.paintings[number]

    def view(self, rng: np.random.Generator, upright: float = 0.0) -> Shown:
        """A picture in a view that is not scored, or of another part; every kind equally often.

        Parameters
        ----------
        rng
            Draws it.
        upright
            Share of the pictures that are shown with fingers or toes up, as the close windows of the finder show them.
        """
        kinds = sorted({kind for _, kind, _, _ in self.pictures})
        kind = kinds[int(rng.integers(len(kinds)))]
        choice = [(picture, box, turns) for picture, k, box, turns in self.pictures if k == kind]
        pyramid, box, turns = choice[int(rng.integers(len(choice)))]
        window = _window(pyramid, box, rng, turns if rng.random() < upright else int(rng.integers(4)))
        return Shown(_aged(_bent(pyramid, window, rng)[0], rng), kind, "L", 0, {}, 0.0)

    def scored(self, rng: np.random.Generator, fill: float | None = None) -> Shown:
        """A marked hand (PA) or foot (DP), upright, as it is on its picture or newly painted; both parts equally often.

        Of a right limb the mirror image is shown.

        Parameters
        ----------
        rng
            Draws it.
        fill
            Share of the canvas's height that the limb fills, in its middle; None: any share, anywhere.
        """
        part: Part = "hand" if rng.random() < 0.5 else "foot"
        pictures = [shown for shown in self.marked if shown.part == part] or self.marked
        layers = [number for number, (p, _) in enumerate(self.layers) if p == part]
        if layers and rng.random() < PAINTED:
            which = layers[int(rng.integers(len(layers)))] + len(self.layers) * int(rng.integers(PAINTINGS))
            picture = self._painting(which)
        else:
            picture = pictures[int(rng.integers(len(pictures)))]
        window, length = _limb_window(picture, rng, fill)
        image, bend = _bent(picture.pyramid, window, rng)
        sites = {}
        for name, point in picture.sites.items():
            x, y = bend(point)
            if 1 <= x < CANVAS[1] - 1 and 1 <= y < CANVAS[0] - 1:
                sites[name] = (x, y)
        return Shown(_aged(image, rng), picture.part, "L", 0, sites, length)


@dataclass(frozen=True)
class _Marked:
    """A picture with the places of its sites, in its pixels."""

    pyramid: Pyramid
    part: Part
    side: Side
    quarter_turns: int  # clockwise
    sites: Mapping[str, tuple[float, float]]
    length: float  # pixels, as in `REACH_MM`


def licensed(folder: Path) -> tuple[str, ...]:
    """The pictures below a folder from which is learned, each with its licence."""
    found = {marks.name: marks.licence for marks in marked("training") if marks.picture(folder) is not None}
    for name, _, _ in PICTURES:
        if _path(folder, name) is not None:
            found[name] = next(licence for begin, licence in LICENCES.items() if name.startswith(begin))
    return tuple(f"{name} ({licence})" for name, licence in sorted(found.items()))


def licensed_files(folder: Path) -> tuple[Path, ...]:
    """Every file below a folder that localiser or heads learn from: the pictures of `licensed`, parts, micro-CT."""
    marks = [marks.picture(folder) for marks in (*marked("training"), *marked_parts())]
    pictures = [_path(folder, name) for name, _, _ in PICTURES]
    return tuple(sorted({path for path in (*marks, *pictures, *trabeculae_files(folder)) if path is not None}))


def _path(folder: Path, name: str) -> Path | None:
    return next((path for path in sorted(folder.rglob(name)) if path.is_file()), None)


def _pyramid(grey: Image) -> Pyramid:
    return Pyramid.of(np.ascontiguousarray(grey, np.float32))


def _read(folder: Path, name: str) -> Pyramid | None:
    path = _path(folder, name)
    if path is None:
        return None
    if path.suffix in (".jpg", ".png"):
        with Pillow.open(path) as image:
            return _pyramid(np.asarray(image.convert("L"), np.float32))
    ds = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in ds.file_meta:
        ds.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    grey = ds.pixel_array.astype(np.float32)
    if grey.ndim == 3:
        grey = grey.mean(axis=-1)
    return _pyramid(grey.max() - grey if ds.PhotometricInterpretation == "MONOCHROME1" else grey)


def _window(pyramid: Pyramid, box: Box, rng: np.random.Generator, turns: int) -> Window:
    """A window round a box, from a little less than it to the whole picture, turned by quarters."""
    height, width = pyramid.shape
    inner = np.array([box[0] * width, box[1] * height, box[2] * width, box[3] * height])
    share = rng.uniform(0, 1) ** 2
    outer = (1 - share) * inner + share * np.array([0, 0, width, height])
    middle = np.array([outer[0] + outer[2], outer[1] + outer[3]]) / 2
    half = np.array([outer[2] - outer[0], outer[3] - outer[1]]) / 2 * rng.uniform(0.75, 1.15)
    middle = middle + half * rng.uniform(-0.12, 0.12, 2)
    angle = float(rng.normal(0, 0.2))
    corners = (*(middle - half), *(middle + half))
    left, top, right, bottom = (float(value) for value in corners)
    return window_of((left, top, right, bottom), turns, bool(rng.random() < 0.5), angle)


def _limb_window(picture: _Marked, rng: np.random.Generator, close: float | None = None) -> tuple[Window, float]:
    """A window on which a limb lies upright as a left one, more or less, and its length in canvas pixels."""
    points = np.array(list(picture.sites.values()))
    fill = close or (rng.uniform(0.5, 0.98) if rng.random() < 0.75 else rng.uniform(0.3, 0.6))
    on_canvas = fill * CANVAS[0]
    scale = picture.length / on_canvas  # picture pixels per canvas pixel
    turn = picture.quarter_turns * np.pi / 2
    mirror = np.diag([-1.0 if picture.side == "R" else 1.0, 1.0])
    linear = scale * _turn(turn) @ mirror @ _turn(float(np.clip(rng.normal(0, 0.1 if close else 0.25), -0.8, 0.8)))
    # the sites of a hand lie towards its wrist
    up = _turn(turn) @ np.array([0.0, -1.0])
    middle = points.mean(axis=0) + up * (0.1 if picture.part == "hand" else -0.05) * picture.length
    free = 0.0 if close else max(0.0, 1 - fill)
    aim = np.array([CANVAS[1], CANVAS[0]]) / 2 * (1 + rng.uniform(-1, 1, 2) * (0.08 + 0.8 * free))
    return Window(np.column_stack((linear, middle - linear @ aim))), on_canvas


def _turn(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


class _Bend:
    """Where a point of the picture lies on a canvas that was bent."""

    def __init__(self, window: Window, shift: NDArray[np.float64]) -> None:
        self.inverse = np.linalg.inv(window.matrix[:, :2])
        self.origin = window.matrix[:, 2]
        self.shift = shift  # (2, H, W) canvas pixels, x and y

    def __call__(self, point: tuple[float, float]) -> tuple[float, float]:
        aim = self.inverse @ (np.array(point) - self.origin)
        place = aim.copy()
        for _ in range(6):
            at = ([place[1]], [place[0]])
            place = aim - np.array([map_coordinates(field, at, order=1, mode="nearest")[0] for field in self.shift])
        return float(place[0]), float(place[1])


def _bent(pyramid: Pyramid, window: Window, rng: np.random.Generator) -> tuple[Image, _Bend]:
    """A window of a picture, bent smoothly."""
    strength = rng.uniform(0, 0.022) * CANVAS[0]
    knots = rng.normal(0, strength, (2, 5, 4))
    coarse = [zoom(field, (32 / 5, 24 / 4), order=3) for field in knots]
    shift = np.stack([zoom(field, CANVAS[0] / 32, order=1) for field in coarse])
    level = next(((f, i) for f, i in reversed(pyramid.levels) if f <= max(1.0, 1.2 * window.scale)), pyramid.levels[0])
    factor, image = level
    rows, columns = np.mgrid[: CANVAS[0], : CANVAS[1]].astype(np.float64)
    columns, rows = columns + shift[0], rows + shift[1]
    m = window.matrix
    x = (m[0, 0] * columns + m[0, 1] * rows + m[0, 2] + 0.5) / factor - 0.5
    y = (m[1, 0] * columns + m[1, 1] * rows + m[1, 2] + 0.5) / factor - 0.5
    mode = "nearest" if rng.random() < 0.6 else "constant"
    shown = map_coordinates(image, (y, x), order=1, mode=mode, cval=0.0, output=np.float32)
    return shown / max(float(np.quantile(shown[::4, ::4], 0.998)), 1e-3), _Bend(window, shift)


def _aged(image: Image, rng: np.random.Generator) -> Image:
    """Another exposure and processing."""
    image = np.clip(image, 0, 1.3) ** float(np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.3:
        image = gaussian_filter(image, rng.uniform(0.4, 1.6))
    if rng.random() < 0.3:
        image = image + rng.uniform(0.2, 1.0) * (image - gaussian_filter(image, rng.uniform(1, 6)))
    image = image * rng.uniform(0.7, 1.1) + rng.uniform(0, 0.15)
    return np.asarray(image + 10 ** rng.uniform(-3, -1.4) * rng.standard_normal(image.shape), np.float32)


def as_film(shown: Shown) -> Film:
    """What is shown, as a film with its truth."""
    part, _, view = shown.kind.partition(" ")
    return Film(
        shown.image,
        1.0,
        part,  # type: ignore[arg-type]
        shown.side,
        shown.quarter_turns,
        shown.sites,
        dict.fromkeys(shown.sites, "evaluable"),
        {},
        {},
        view=view or "pa",  # type: ignore[arg-type]
        length=shown.length,
    )
