"""Parts of a picture, upright: windows, the picture averaged down for them, and the part of it that shows something."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.ndimage import map_coordinates

from pipelines.hand_foot_scoring.canvas import CANVAS

Image = NDArray[np.float32]
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the picture
Orientation = tuple[int, bool]  # of a limb that a window shows upright: quarter turns clockwise, mirrored
ORIENTATIONS: tuple[Orientation, ...] = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))
UNMIRRORED = ORIENTATIONS[:4]
EMPTY = 0.03  # of the picture's range: an edge row or column that varies less shows nothing
TILE = 0.62  # share of the picture's height and width that a tile has when the picture is searched piece by piece


@dataclass(frozen=True)
class Window:
    """A part of the picture, turned and mirrored so that the limb stands as in training."""

    matrix: NDArray[np.float64]  # (2, 3): canvas (column, row, 1) to picture (column, row)

    def to_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels of the picture of (N, 2) pixels of the canvas, both (column, row)."""
        return np.asarray(points @ self.matrix[:, :2].T + self.matrix[:, 2])

    def sample(self, picture: Image, shape: tuple[int, int] = CANVAS) -> Image:
        """The window as a canvas of the given shape; the picture must not be much finer than it (see `Pyramid`)."""
        rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
        x = self.matrix[0, 0] * columns + self.matrix[0, 1] * rows + self.matrix[0, 2]
        y = self.matrix[1, 0] * columns + self.matrix[1, 1] * rows + self.matrix[1, 2]
        return np.asarray(map_coordinates(picture, (y, x), order=1, mode="nearest", output=np.float32))

    @property
    def scale(self) -> float:
        """Picture pixels per canvas pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))


@dataclass(frozen=True)
class Pyramid:
    """A picture and its averaged-down copies, so that a coarse canvas is sampled without aliasing."""

    levels: tuple[tuple[float, Image], ...]  # pixels of the picture per pixel of the level

    @classmethod
    def of(cls, picture: Image) -> Pyramid:
        """The pyramid of a picture (H, W)."""
        levels = [(1.0, picture)]
        while min(levels[-1][1].shape) > 300:
            factor, image = levels[-1]
            half = Pillow.fromarray(image).reduce(2)
            levels.append((factor * 2, np.asarray(half, np.float32)))
        return cls(tuple(levels))

    def within(self, box: Box) -> Pyramid:
        """The same picture with what lies beyond a box painted over by its edges, unless that is as dark as air."""
        factor, coarse = self.levels[-1]
        beyond = np.ones(coarse.shape, bool)
        left, top, right, bottom = (round(value / factor) for value in box)
        beyond[top:bottom, left:right] = False
        if not beyond.any() or np.median(coarse[beyond]) <= np.median(coarse[~beyond]):
            return self
        # the outermost pixels of the coarsest copy may hold some of the border: it would be spread by its own edge
        height, width = self.shape
        least = tuple(value + factor if value > 0 else 0.0 for value in box[:2])
        most = tuple(
            value - factor if value < size else size for value, size in zip(box[2:], (width, height), strict=True)
        )
        levels = []
        for factor, image in self.levels:
            height, width = image.shape
            left, top = (
                min(int(np.ceil(value / factor)), size - 1) for value, size in zip(least, (width, height), strict=True)
            )
            right, bottom = (max(int(value / factor), 1) for value in most)
            inner = image[top:bottom, left:right]
            margins = ((top, height - bottom), (left, width - right))
            levels.append((factor, np.pad(inner, margins, mode="edge")))
        return Pyramid(tuple(levels))

    def inverted(self) -> Pyramid:
        """The same picture with dark for bright."""
        top = float(self.levels[-1][1].max())
        return Pyramid(tuple((factor, top - image) for factor, image in self.levels))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the picture."""
        height, width = self.levels[0][1].shape
        return height, width

    def sample(self, window: Window, shape: tuple[int, int] = CANVAS) -> Image:
        """A window, given in pixels of the picture, as a canvas of the given shape."""
        factor, image = next(
            ((f, i) for f, i in reversed(self.levels) if f <= max(1.0, 1.2 * window.scale)), self.levels[0]
        )
        matrix = window.matrix / factor
        matrix[:, 2] = (window.matrix[:, 2] + 0.5) / factor - 0.5
        return Window(matrix).sample(image, shape)


def window_of(
    box: tuple[float, float, float, float], turns: int, mirrored: bool, angle: float = 0.0, fill: float = 1.0
) -> Window:
    """The window that shows a box upright.

    A limb that lies on the picture mirrored (a right one) and turned by `turns` quarters and `angle` radians clockwise
    stands upright and unmirrored on the canvas.

    Parameters
    ----------
    box
        Left, top, right, bottom in pixels of the picture.
    turns
        Quarter turns clockwise.
    mirrored
        Whether the limb lies mirrored.
    angle
        Radians clockwise, beside the quarter turns.
    fill
        Share of the canvas that the box fills.
    """
    left, top, right, bottom = box
    width, height = (right - left, bottom - top) if turns % 2 == 0 else (bottom - top, right - left)
    scale = max(height / CANVAS[0], width / CANVAS[1]) / fill
    whole = turns * np.pi / 2 + angle
    turn = np.array([[np.cos(whole), -np.sin(whole)], [np.sin(whole), np.cos(whole)]])
    linear = scale * turn @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    middle = np.array([(left + right - 1) / 2, (top + bottom - 1) / 2])
    shift = middle - linear @ np.array([(CANVAS[1] - 1) / 2, (CANVAS[0] - 1) / 2])
    return Window(np.column_stack((linear, shift)))


def content(pyramid: Pyramid) -> Box:
    """The picture without rows and columns at its edges that are of one grey: shutters and borders."""
    factor, image = pyramid.levels[-1]
    low, high = np.quantile(image, (0.005, 0.995))
    least = EMPTY * max(float(high - low), 1e-6)
    rows, columns = (np.flatnonzero(np.ptp(np.clip(image, low, high), axis=axis) > least) for axis in (1, 0))
    height, width = pyramid.shape
    if rows.size < 0.3 * image.shape[0] or columns.size < 0.3 * image.shape[1]:
        return 0.0, 0.0, float(width), float(height)
    return (
        float(columns[0] * factor),
        float(rows[0] * factor),
        min(float(width), float((columns[-1] + 1) * factor)),
        min(float(height), float((rows[-1] + 1) * factor)),
    )


def tiles(box: Box) -> tuple[Box, ...]:
    """Five overlapping tiles of a box: its corners and its middle."""
    left, top, right, bottom = box
    wide, high = TILE * (right - left), TILE * (bottom - top)
    x, y = right - wide, bottom - high
    corners = ((left, top), (x, top), (left, y), (x, y), ((left + x) / 2, (top + y) / 2))
    return tuple((a, b, a + wide, b + high) for a, b in corners)
