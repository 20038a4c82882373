"""Points in a plane, and curves over an axis."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_sr.capture.drawing import (
    ACCENT,
    CARD,
    MUTED,
    RULE,
    SERIES,
    SMALL,
    STRIPE,
    TEXT,
    Colour,
    blank,
    font,
    line_height,
    number,
    ticks,
    width_of,
)
from dicom_sr.findings import Line, LinePanel, ScatterPanel

_SCALE = 3  # curves and points are drawn larger and reduced, which smooths their edges
_PLOT_HEIGHT = 300  # pixels


class _Axes:
    """A plot area with ticks and labels, drawn at `_SCALE` times its size and then reduced."""

    def __init__(
        self,
        width: int,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        x_label: str,
        y_label: str,
        names: list[tuple[str, Colour]],
    ) -> None:
        self._x_range, self._y_range = _with_margin(x), _with_margin(y)
        face = font(SMALL)
        self._names = _legend_lines(names, width)
        self._top = (
            len(self._names) * line_height(SMALL) + (8 if self._names else 0) + (line_height(SMALL) if y_label else 0)
        )
        tick_width = max(width_of(number(v), face) for v in ticks(*self._y_range, 4))
        self._left, self._right = tick_width + 12, width - 10
        self._bottom = self._top + _PLOT_HEIGHT
        height = self._bottom + line_height(SMALL) + 8 + (line_height(SMALL) if x_label else 0)
        self.body = blank(width, height, CARD)
        draw = ImageDraw.Draw(self.body)
        self._decorate(draw, x_label, y_label)
        self._ink = Image.new("RGBA", (width * _SCALE, height * _SCALE), (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self._ink)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point in the large drawing."""
        (x_low, x_high), (y_low, y_high) = self._x_range, self._y_range
        across = self._left + (self._right - self._left) * (x - x_low) / (x_high - x_low)
        down = self._bottom - (self._bottom - self._top) * (y - y_low) / (y_high - y_low)
        return _SCALE * across, _SCALE * min(max(down, self._top), self._bottom)

    def done(self) -> Image.Image:
        """The picture with what was drawn."""
        smooth = self._ink.resize(self.body.size, Image.Resampling.LANCZOS)
        self.body.paste(smooth, (0, 0), smooth)
        return self.body

    def _decorate(self, draw: ImageDraw.ImageDraw, x_label: str, y_label: str) -> None:
        face = font(SMALL)
        y = 0
        for line in self._names:
            x = 0
            for name, colour in line:
                draw.rectangle((x, y + 8, x + 16, y + 18), colour)
                draw.text((x + 24, y), name, TEXT, face)
                x += 24 + width_of(name, face) + 22
            y += line_height(SMALL)
        if y_label:
            draw.text((0, self._top - line_height(SMALL) - 2), y_label, MUTED, face)
        for tick in ticks(*self._y_range, 4):
            down = self.place_y(tick)
            draw.line((self._left, down, self._right, down), STRIPE)
            draw.text((self._left - 8, down), number(tick), MUTED, face, anchor="rm")
        for tick in ticks(*self._x_range, 5):
            across = self._left + (self._right - self._left) * (tick - self._x_range[0]) / (
                self._x_range[1] - self._x_range[0]
            )
            draw.line((across, self._bottom, across, self._bottom + 5), RULE)
            half = width_of(number(tick), face) / 2
            draw.text(
                (min(max(across, half), self.body.width - half), self._bottom + 8),
                number(tick),
                MUTED,
                face,
                anchor="ma",
            )
        draw.line((self._left, self._top, self._left, self._bottom), RULE)
        draw.line((self._left, self._bottom, self._right, self._bottom), RULE)
        if x_label:
            middle = (self._left + self._right) / 2
            draw.text((middle, self._bottom + line_height(SMALL) + 8), x_label, MUTED, face, anchor="ma")

    def place_y(self, y: float) -> float:
        """Height of a value on the finished picture."""
        return self.place(self._x_range[0], y)[1] / _SCALE


def _with_margin(values: NDArray[np.float64]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _legend_lines(names: list[tuple[str, Colour]], width: int) -> list[list[tuple[str, Colour]]]:
    """The legend's entries in lines no wider than the plot."""
    lines: list[list[tuple[str, Colour]]] = []
    used = width + 1
    for name, colour in names:
        if not name:
            continue
        needed = 24 + width_of(name, font(SMALL)) + 22
        if used + needed > width + 22:
            lines.append([])
            used = 0
        lines[-1].append((name, colour))
        used += needed
    return lines


def draw_scatter(panel: ScatterPanel, width: int) -> Image.Image:
    """Groups of points, those of the case at hand on top, `width` pixels wide."""
    points = np.concatenate([np.asarray(group.points, np.float64).reshape(-1, 2) for group in panel.groups])
    colours = [TEXT if group.highlight else SERIES[i % len(SERIES)] for i, group in enumerate(panel.groups)]
    names = [(group.label, colour) for group, colour in zip(panel.groups, colours, strict=True)]
    axes = _Axes(width, points[:, 0], points[:, 1], panel.x_label, panel.y_label, names)
    for group, colour in sorted(zip(panel.groups, colours, strict=True), key=lambda pair: pair[0].highlight):
        for x, y in np.asarray(group.points, np.float64).reshape(-1, 2):
            across, down = axes.place(float(x), float(y))
            if group.highlight:
                _ring(axes.draw, across, down, 11 * _SCALE, TEXT)
                radius, fill = 5 * _SCALE, (*TEXT, 255)
            else:
                radius, fill = 4 * _SCALE, (*colour, 190)
            axes.draw.ellipse((across - radius, down - radius, across + radius, down + radius), fill)
    return axes.done()


def _ring(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), None, (*colour, 255), 2 * _SCALE)


def draw_curves(panel: LinePanel, width: int) -> Image.Image:
    """Curves with their bands, `width` pixels wide."""
    x = np.concatenate([np.asarray(line.x, np.float64) for line in panel.lines])
    y = np.concatenate([v for line in panel.lines for v in (line.y, *(line.band or ()))]).astype(np.float64)
    others = [line for line in panel.lines if not line.highlight]
    colours = {
        id(line): ACCENT if line.highlight else SERIES[(1 + others.index(line)) % len(SERIES)] for line in panel.lines
    }
    names = [(line.label, colours[id(line)]) for line in panel.lines]
    axes = _Axes(width, x, y, panel.x_label, panel.y_label, names)
    for line in sorted(panel.lines, key=lambda line: line.highlight):
        _curve(axes, line, colours[id(line)])
    return axes.done()


def _curve(axes: _Axes, line: Line, colour: Colour) -> None:
    if line.band is not None:
        low, high = line.band
        outline = [axes.place(float(a), float(b)) for a, b in zip(line.x, high, strict=True)]
        outline += [axes.place(float(a), float(b)) for a, b in zip(line.x[::-1], low[::-1], strict=True)]
        axes.draw.polygon(outline, (*colour, 60))
    points = [axes.place(float(a), float(b)) for a, b in zip(line.x, line.y, strict=True)]
    thick = (4 if line.highlight else 3) * _SCALE
    if line.style == "stem":
        for across, down in points:
            axes.draw.line((across, _SCALE * axes.place_y(0.0), across, down), (*colour, 255), 2 * _SCALE)
            axes.draw.ellipse((across - thick, down - thick, across + thick, down + thick), (*colour, 255))
        return
    if line.style == "step":
        points = [p for a, b in itertools.pairwise(points) for p in (a, (b[0], a[1]))] + points[-1:]
    axes.draw.line(points, (*colour, 255), thick, joint="curve")
