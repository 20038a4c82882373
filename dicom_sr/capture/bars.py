"""Labelled bars with whiskers."""

from __future__ import annotations

from PIL import Image, ImageDraw

from dicom_sr.capture.drawing import (
    ACCENT,
    CARD,
    MUTED,
    SMALL,
    STRIPE,
    TEXT,
    blank,
    font,
    line_height,
    number,
    ticks,
    width_of,
    wrapped,
)
from dicom_sr.findings import Bar, BarPanel


def draw_bars(panel: BarPanel, width: int) -> Image.Image:
    """The bars below each other on a common axis, `width` pixels wide."""
    face = font(SMALL)
    unit = f" {panel.unit}" if panel.unit else ""
    values = [_bar_text(bar.value, bar.interval) + unit for bar in panel.bars]
    label_width = min(max((width_of(bar.label, face) for bar in panel.bars), default=0), width // 2)
    value_width = max((width_of(value, font(SMALL, True)) for value in values), default=0)
    labels = [wrapped(bar.label, face, label_width) for bar in panel.bars]
    x0, x1 = label_width + 14, width - value_width - 14
    if x1 - x0 < width // 3:  # the value goes below the bar where both do not fit beside each other
        x1 = width - 8
    narrow = x1 == width - 8
    low, high = panel.axis_range

    def place(value: float) -> float:
        return x0 + (x1 - x0) * (min(max(value, low), high) - low) / max(high - low, 1e-12)

    def ends(bar: Bar) -> tuple[float, float]:
        """Where the bar with its whisker begins and ends."""
        places = [place(max(low, min(0.0, high))), place(bar.value), *(place(end) for end in bar.interval or ())]
        return min(places), max(places)

    def beside(bar: Bar, value: str) -> tuple[float, str] | None:
        """Where the value stands beside the bar, and how it is anchored there; None where it has no room."""
        start, end = ends(bar)
        needed = width_of(value, font(SMALL, True)) + 8
        if x1 - end >= needed:
            return end + 8, "lm"
        return (start - 8, "rm") if start - x0 >= needed else None

    spots = [beside(bar, value) for bar, value in zip(panel.bars, values, strict=True)] if narrow else []
    below = narrow and None in spots
    rows = [max(len(lines) * line_height(SMALL), 34) + (line_height(SMALL) if below else 0) + 18 for lines in labels]
    body = blank(width, sum(rows) + line_height(SMALL) + 10, CARD)
    draw = ImageDraw.Draw(body)
    for tick in ticks(low, high, 5 if x1 - x0 > 240 else 3):
        draw.line((place(tick), 0, place(tick), sum(rows)), STRIPE)
        text_width = width_of(number(tick), face)
        x = min(max(place(tick), text_width / 2), width - text_width / 2)
        draw.text((x, sum(rows) + 6), number(tick), MUTED, face, anchor="ma")
    y = 0
    for number_of, (bar, lines, value, row) in enumerate(zip(panel.bars, labels, values, rows, strict=True)):
        bar_row = row - (line_height(SMALL) if below else 0) - 10
        middle = y + bar_row / 2
        colour = ACCENT if bar.highlight else (94, 108, 124)
        start, end = sorted((place(max(low, min(0.0, high))), place(bar.value)))
        draw.rectangle((start, middle - 11, max(end, start + 1), middle + 11), colour)
        if bar.interval is not None:
            _whisker(draw, place(bar.interval[0]), place(bar.interval[1]), middle)
        for index, line in enumerate(lines):
            text_y = middle + (index - (len(lines) - 1) / 2) * line_height(SMALL)
            draw.text((label_width, text_y), line, TEXT if bar.highlight else MUTED, face, anchor="rm")
        spot = spots[number_of] if narrow and not below else None
        if spot is not None:
            draw.text((spot[0], middle), value, TEXT, font(SMALL, True), anchor=spot[1])
        else:
            where, anchor = ((x0, middle + 13), "la") if below else ((width - 2, middle), "rm")
            draw.text(where, value, TEXT, font(SMALL, True), anchor=anchor)
        y += row
    return body


def _bar_text(value: float, interval: tuple[float, float] | None) -> str:
    text = f"{value:.3g}"
    return text if interval is None else f"{text} ({interval[0]:.2g}–{interval[1]:.2g})"


def _whisker(draw: ImageDraw.ImageDraw, low: float, high: float, y: float) -> None:
    for x in (low, high):
        draw.line((x, y - 6, x, y + 6), TEXT, 2)
    draw.line((low, y, high, y), TEXT, 2)
