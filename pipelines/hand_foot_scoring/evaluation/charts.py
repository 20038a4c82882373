"""Charts of an evaluation: limits of agreement of totals, reliability, confusion of grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_sr.capture.drawing import (
    ACCENT,
    BODY,
    CARD,
    GROUND,
    MUTED,
    RULE,
    SMALL,
    STRIPE,
    TEXT,
    WARNING,
    Colour,
    blank,
    coloured,
    font,
    line_height,
    number,
    ticks,
)
from pipelines.hand_foot_scoring.evaluation.graded import LimitsOfAgreement, StudyTotal
from pipelines.hand_foot_scoring.scoring import SMALLEST_DETECTABLE_DIFFERENCE

_SCALE = 2  # drawn larger and reduced, which smooths edges
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 24, 46, 66  # round the area of a chart, pixels
_BAND: Colour = (26, 44, 56)
_WHISKERS = 60  # from so many points on the intervals would hide each other


class Chart:
    """An area with axes, in which things are drawn at their values."""

    def __init__(
        self,
        size: tuple[int, int],
        title: str,
        labels: tuple[str, str],
        x_range: tuple[float, float],
        y_range: tuple[float, float],
    ) -> None:
        self.size, self.x_range, self.y_range = size, x_range, y_range
        self.title, self.labels = title, labels
        self._ink = Image.new("RGB", (size[0] * _SCALE, size[1] * _SCALE), CARD)
        self.draw = ImageDraw.Draw(self._ink)
        self._texts: list[tuple[tuple[float, float], str, Colour, str]] = []
        self._axes()

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point, in the large drawing."""
        width, height = self.size
        across = _LEFT + (width - _LEFT - _RIGHT) * (x - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        down = (
            height - _BOTTOM - (height - _TOP - _BOTTOM) * (y - self.y_range[0]) / (self.y_range[1] - self.y_range[0])
        )
        return _SCALE * across, _SCALE * min(max(down, _TOP), height - _BOTTOM)

    def _axes(self) -> None:
        low, high = self.x_range
        for x in ticks(low, high, 6):
            self.draw.line((*self.at(x, self.y_range[0]), *self.at(x, self.y_range[1])), STRIPE, _SCALE)
            self.text(x, self.y_range[0], number(x), MUTED, "ma", (0, 6))
        for y in ticks(*self.y_range, 6):
            self.draw.line((*self.at(low, y), *self.at(high, y)), STRIPE, _SCALE)
            self.text(low, y, number(y), MUTED, "rm", (-8, 0))

    def band(self, low: float, high: float) -> None:
        """A horizontal band."""
        self.draw.rectangle((*self.at(self.x_range[0], high), *self.at(self.x_range[1], low)), _BAND)

    def level(self, y: float, colour: Colour, words: str, dashed: bool = False) -> None:
        """A horizontal line with words at its right end."""
        (x0, down), (x1, _) = self.at(self.x_range[0], y), self.at(self.x_range[1], y)
        step = 12 * _SCALE if dashed else x1 - x0
        for start in np.arange(x0, x1, step):
            self.draw.line((start, down, min(start + (0.6 * step if dashed else step), x1), down), colour, 2 * _SCALE)
        self.text(self.x_range[1], y, words, colour, "rb", (0, -3))

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: int = 2) -> None:
        """A line through points."""
        self.draw.line([self.at(x, y) for x, y in points], colour, width * _SCALE, joint="curve")

    def dot(self, x: float, y: float, colour: Colour, radius: float = 5.0) -> None:
        """A point."""
        across, down = self.at(x, y)
        r = radius * _SCALE
        self.draw.ellipse((across - r, down - r, across + r, down + r), colour, GROUND, _SCALE)

    def text(
        self, x: float, y: float, words: str, colour: Colour, anchor: str, shift: tuple[float, float] = (0, 0)
    ) -> None:
        """Words at a value, moved by some pixels."""
        across, down = self.at(x, y)
        self._texts.append(((across / _SCALE + shift[0], down / _SCALE + shift[1]), words, colour, anchor))

    def done(self) -> Image.Image:
        """The finished picture."""
        picture = self._ink.resize(self.size, Image.Resampling.LANCZOS)
        draw = ImageDraw.Draw(picture)
        for where, words, colour, anchor in self._texts:
            draw.text(where, words, colour, font(SMALL), anchor=anchor)
        width, height = self.size
        draw.text((_LEFT, 10), self.title, TEXT, font(BODY, True))
        draw.line((_LEFT, height - _BOTTOM, width - _RIGHT, height - _BOTTOM), RULE)
        draw.line((_LEFT, _TOP, _LEFT, height - _BOTTOM), RULE)
        draw.text(((_LEFT + width - _RIGHT) / 2, height - 8), self.labels[0], MUTED, font(SMALL), anchor="md")
        turned = Image.new("RGB", (height, line_height(SMALL)), CARD)
        ImageDraw.Draw(turned).text((height / 2, 2), self.labels[1], MUTED, font(SMALL), anchor="ma")
        picture.paste(turned.rotate(90, expand=True), (2, (_TOP - _BOTTOM) // 2))
        return picture


def _spread(values: Sequence[float], margin: float = 0.08) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = margin * (high - low) or 1.0
    return low - room, high + room


def bland_altman(totals: Sequence[StudyTotal], limits: LimitsOfAgreement) -> Image.Image:
    """Read minus reference against their mean, one point for each examination, with the limits of agreement.

    Parameters
    ----------
    totals
        Of the examinations, over the cells that both have graded.
    limits
        Of their differences.
    """
    means = [(one.read + one.reference) / 2 for one in totals]
    known = [value for value in (limits.lower, limits.upper) if np.isfinite(value)]
    edge = 1.2 * SMALLEST_DETECTABLE_DIFFERENCE
    heights = [*(one.difference for one in totals), *known, -edge, edge]
    chart = Chart(
        (900, 600),
        "Totals: read against reference",
        ("mean of read and reference total, units", "read minus reference, units"),
        _spread([0.0, *means]),
        _spread(heights),
    )
    chart.band(-SMALLEST_DETECTABLE_DIFFERENCE, SMALLEST_DETECTABLE_DIFFERENCE)
    chart.level(0.0, RULE, "")
    for mean, one in zip(means, totals, strict=True):
        if len(totals) <= _WHISKERS:
            ends = [(mean, one.difference - one.half_width), (mean, one.difference + one.half_width)]
            chart.line(ends, (60, 92, 112), 1)
    for mean, one in zip(means, totals, strict=True):
        chart.dot(mean, one.difference, ACCENT)
    chart.level(limits.bias, WARNING, f"bias {limits.bias:+.1f}")
    for value in known:
        chart.level(value, WARNING, f"{value:+.1f}", dashed=True)
    return chart.done()


def reliability_chart(head: str, bins: Sequence[tuple[float, float, int]], error: float) -> Image.Image:
    """How often the likeliest grade is right against how confident it is.

    Parameters
    ----------
    head
        Which head's grades.
    bins
        Confidence, share that is right, number of cells.
    error
        Expected calibration error.
    """
    chart = Chart(
        (560, 540),
        f"{head.replace('_', ' ')}: ECE {error:.3f}",
        ("confidence in the likeliest grade", "share that is right"),
        (0.0, 1.0),
        (0.0, 1.0),
    )
    chart.line([(0, 0), (1, 1)], MUTED, 1)
    chart.line([(confidence, right) for confidence, right, _ in bins], ACCENT)
    most = max((count for _, _, count in bins), default=1)
    for confidence, right, count in bins:
        chart.dot(confidence, right, ACCENT, 4 + 9 * float(np.sqrt(count / most)))
        below = right > 0.15
        chart.text(confidence, right, str(count), TEXT, "ma" if below else "mb", (0, 14 if below else -14))
    return chart.done()


def confusion_tables(head: str, counts: Mapping[str, NDArray[np.int64]]) -> Image.Image:
    """Numbers of cells by grade of the reference (down) and grade read (across), one table for each family.

    Parameters
    ----------
    head
        Which head's grades.
    counts
        Family to (K, K).
    """
    size = max(len(table) for table in counts.values())
    cell = 54 if size <= 6 else 44
    width, height = _LEFT + size * cell + 34, 74 + size * cell + 40
    columns = min(3, len(counts))
    rows = -(-len(counts) // columns)
    sheet = blank(columns * width, rows * height, CARD)
    for place, (family, table) in enumerate(counts.items()):
        card = _confusion(f"{head.replace('_', ' ')}, {family}", table, cell, (width, height))
        sheet.paste(card, ((place % columns) * width, (place // columns) * height))
    return sheet


def _confusion(title: str, table: NDArray[np.int64], cell: int, size: tuple[int, int]) -> Image.Image:
    card = blank(*size, CARD)
    draw = ImageDraw.Draw(card)
    draw.text((12, 8), title, TEXT, font(SMALL, True))
    draw.text((12, 38), "reference down, read across", MUTED, font(SMALL))
    left, top = 52, 74 + line_height(SMALL)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    for grade in range(len(table)):
        middle = (grade + 0.5) * cell
        draw.text((left - 10, top + middle), str(grade), MUTED, font(SMALL), anchor="rm")
        draw.text((left + middle, top - 6), str(grade), MUTED, font(SMALL), anchor="mb")
        for read in range(len(table)):
            x, y = left + read * cell, top + grade * cell
            share = float(shares[grade, read])
            ground = coloured(np.array(0.9 * share), "viridis") if share else np.array(STRIPE)
            draw.rectangle((x, y, x + cell - 2, y + cell - 2), tuple(int(v) for v in ground))
            if table[grade, read]:
                ink = GROUND if share > 0.6 else TEXT
                draw.text((x + cell / 2 - 1, y + cell / 2 - 1), str(table[grade, read]), ink, font(SMALL), anchor="mm")
            if grade == read:
                draw.rectangle((x, y, x + cell - 2, y + cell - 2), None, MUTED)
    return card
