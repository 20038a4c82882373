"""Panels of a capture: a picture with heat and marks, bars, points, curves, a table."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_sr.capture.drawing import (
    ACCENT,
    BODY,
    CARD,
    GROUND,
    HEAT_MAP,
    LARGE,
    MUTED,
    RULE,
    SERIES,
    SMALL,
    STRIPE,
    TEXT,
    Colour,
    blank,
    coloured,
    draw_paragraphs,
    font,
    level_colour,
    line_height,
    number,
    paragraph_height,
    pill,
    ticks,
    width_of,
    wrapped,
)
from dicom_sr.findings import Bar, BarPanel, ImagePanel, Line, LinePanel, Mark, Panel, ScatterPanel, TablePanel

PAD = 14  # pixels between a card's edge and what it holds
_BAR_WIDTH, _BAR_GAP = 18, 12  # of a colour bar
_LEAST_BAR = 72  # of its height with the room below it: two numbers fit beside it
_HEAT_ALPHA = 0.6  # anatomy stays visible under the strongest heat
_HEAT_FADE = 0.2  # the part of the heat's range over which it fades in above its threshold
_SCALE = 3  # curves and points are drawn larger and reduced, which smooths their edges
_PLOT_HEIGHT = 300
_CALLOUTS_FROM = 4  # more labels than this go to the gutters with leader lines


def title_height(panel: Panel, width: int) -> int:
    """Height that the title of a card `width` pixels wide takes."""
    return paragraph_height((panel.title,), BODY, width - 2 * PAD, bold=True) + 8 if panel.title else 0


def bar_space(panel: Panel) -> int:
    """Width that the colour bar of a picture takes."""
    scale = _colour_scale(panel) if isinstance(panel, ImagePanel) else None
    return 0 if scale is None else _bar_space(scale)


def render(panel: Panel, width: int, image_height: int, title: int | None = None, bar: int = 0) -> Image.Image:
    """`panel` as a card `width` pixels wide; pictures in it are at most `image_height` pixels high.

    Parameters
    ----------
    title
        Height kept for the title, so that cards beside each other align; None: what this one takes.
    bar
        Width kept for a colour bar, so that pictures with and without one are of one size.
    """
    inner = width - 2 * PAD
    top = PAD + (title_height(panel, width) if title is None else title)
    body = _body(panel, inner, image_height, bar)
    caption_height = paragraph_height((panel.caption,), SMALL, inner) + 8 if panel.caption else 0
    card = blank(width, top + body.height + caption_height + PAD, CARD)
    draw = ImageDraw.Draw(card)
    if panel.title:
        draw_paragraphs(draw, (PAD, PAD - 2), (panel.title,), BODY, inner, bold=True)
    card.paste(body, (PAD + (inner - body.width) // 2, top))
    if panel.caption:
        draw_paragraphs(draw, (PAD, top + body.height + 8), (panel.caption,), SMALL, inner, MUTED)
    return card


def _body(panel: Panel, width: int, image_height: int, bar: int) -> Image.Image:
    match panel:
        case ImagePanel():
            return _picture(panel, width, image_height, bar)
        case BarPanel():
            return _bars(panel, width)
        case ScatterPanel():
            return _scatter(panel, width)
        case LinePanel():
            return _curves(panel, width)
        case TablePanel():
            return _table(panel, width)


# ---- pictures
def _picture(panel: ImagePanel, width: int, height: int, kept: int) -> Image.Image:
    scale = _colour_scale(panel)
    bar = 0 if scale is None else _bar_space(scale)
    labelled = [mark for mark in panel.marks if mark.label]
    callouts = len(labelled) > _CALLOUTS_FROM
    left, right = _gutters(panel, labelled) if callouts else (0, 0)
    size = _fitted(panel, width - max(bar, kept) - left - right, height)
    picture = Image.fromarray(_pixels(panel, size))
    height = size[1] if scale is None else max(size[1], _bar_top(scale) + _LEAST_BAR)  # a flat picture, too, has a bar
    body = blank(left + size[0] + right + bar, height, CARD)
    body.paste(picture, (left, 0))
    ratio = np.array([size[0] / panel.image.shape[1], size[1] / panel.image.shape[0]])
    _draw_marks(body, panel.marks, ratio, left)
    draw = ImageDraw.Draw(body)
    if callouts:
        _draw_callouts(draw, labelled, ratio, left, size)
    else:
        for mark in labelled:
            _draw_label(draw, mark, ratio, left, size)
    if panel.laterality:
        x = left + 8
        pill(draw, (x, 8), panel.laterality, TEXT, LARGE)
    if scale is not None:
        _draw_bar(draw, scale, left + size[0] + right + _BAR_GAP, height)
    return body


def _fitted(panel: ImagePanel, width: int, height: int) -> tuple[int, int]:
    """Size of the picture on the page: as large as fits, pixels as wide and high as they are in mm."""
    rows, columns = panel.image.shape[:2]
    height_mm, width_mm = rows * panel.pixel_mm[0], columns * panel.pixel_mm[1]
    ratio = min(width / width_mm, height / height_mm)
    return max(round(width_mm * ratio), 1), max(round(height_mm * ratio), 1)


def _pixels(panel: ImagePanel, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture at its size on the page, (H, W, 3) uint8, heat blended in."""
    if panel.image.ndim == 3:
        base = np.asarray(Image.fromarray(np.asarray(panel.image, np.uint8)).resize(size, Image.Resampling.LANCZOS))
    else:
        low, high = _window(panel)
        grey = np.clip((np.asarray(panel.image, np.float32) - low) / max(high - low, 1e-12), 0, 1)
        shown = np.clip(_resized(grey, size, Image.Resampling.BICUBIC), 0, 1)
        base = coloured(shown, panel.colour_map or "gray")
    if panel.heat is None:
        return np.asarray(base, np.uint8)
    low, high = panel.heat_range
    heat = _resized(np.asarray(panel.heat, np.float32), size, Image.Resampling.BILINEAR)
    span = max(high - low, 1e-12)
    alpha = _HEAT_ALPHA * np.clip((heat - max(panel.heat_threshold, low)) / (_HEAT_FADE * span), 0, 1)[..., None]
    blended = (1 - alpha) * base + alpha * coloured((heat - low) / span, HEAT_MAP)
    return np.asarray(np.rint(blended), np.uint8)


def _resized(array: NDArray[np.float32], size: tuple[int, int], how: Image.Resampling) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(array, mode="F").resize(size, how), np.float32)


def _window(panel: ImagePanel) -> tuple[float, float]:
    if panel.window is not None:
        return panel.window
    low, high = np.percentile(np.asarray(panel.image, np.float64), [1, 99])
    return float(low), float(high)


def _colour_scale(panel: ImagePanel) -> tuple[str, float, float, str] | None:
    """Colour map, range and unit of what is shown in colour."""
    if panel.heat is not None:
        return HEAT_MAP, *panel.heat_range, panel.heat_unit
    if panel.colour_map is not None:
        return panel.colour_map, *_window(panel), panel.value_unit
    return None


def _bar_space(scale: tuple[str, float, float, str]) -> int:
    _, low, high, unit = scale
    texts = [number(v) for v in (*ticks(low, high, 3), low, high)]
    return _BAR_GAP + _BAR_WIDTH + 8 + max(width_of(text, font(SMALL)) for text in [*texts, *unit.split()]) + 2


def _bar_top(scale: tuple[str, float, float, str]) -> int:
    """Where the bar begins: below its unit."""
    return line_height(SMALL) * len(scale[3].split()) + 12


def _draw_bar(draw: ImageDraw.ImageDraw, scale: tuple[str, float, float, str], x: int, height: int) -> None:
    colour_map, low, high, unit = scale
    face = font(SMALL)
    top = _bar_top(scale)
    bottom = height - 12
    colours = coloured(np.linspace(1, 0, max(bottom - top, 1)), colour_map)
    for offset, colour in enumerate(colours):
        draw.line((x, top + offset, x + _BAR_WIDTH - 1, top + offset), tuple(int(v) for v in colour))
    draw.rectangle((x, top, x + _BAR_WIDTH - 1, bottom), None, RULE)
    for line, word in enumerate(unit.split()):
        draw.text((x, line * line_height(SMALL)), word, MUTED, face)
    shown = sorted({low, high, *ticks(low, high, 5 if height > 300 else 3)})
    last = None
    for value in [shown[0], shown[-1], *shown[1:-1]]:
        y = bottom - (bottom - top) * (value - low) / max(high - low, 1e-12)
        if last is not None and any(abs(y - other) < line_height(SMALL) for other in last):
            continue
        last = [*(last or []), y]
        draw.line((x + _BAR_WIDTH, y, x + _BAR_WIDTH + 4, y), MUTED)
        draw.text((x + _BAR_WIDTH + 8, y), number(value), TEXT, face, anchor="lm")


def _draw_marks(body: Image.Image, marks: tuple[Mark, ...], ratio: NDArray[np.float64], left: int) -> None:
    if not marks:
        return
    overlay = Image.new("RGBA", (body.width * 2, body.height * 2), (0, 0, 0, 0))
    draw = ImageDraw.Draw(overlay)
    for mark in marks:
        points = [(2 * (left + x), 2 * y) for x, y in np.asarray(mark.outline, np.float64) * ratio]
        colour = (*level_colour(mark.level), 255) if not mark.dashed else (*MUTED, 255)
        if mark.dashed:
            for start, end in itertools.pairwise(points):
                _dashes(draw, start, end, colour)
        else:
            draw.line(points, (*GROUND, 170), 8, joint="curve")
            draw.line(points, colour, 4, joint="curve")
    smooth = overlay.resize(body.size, Image.Resampling.LANCZOS)
    body.paste(smooth, (0, 0), smooth)


def _dashes(
    draw: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], colour: tuple[int, int, int, int]
) -> None:
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    steps = max(int(length // 10), 1)
    points = np.linspace(start, end, steps + 1)
    for a, b in list(itertools.pairwise(points))[::2]:
        draw.line((a[0], a[1], b[0], b[1]), colour, 4)


def _draw_label(
    draw: ImageDraw.ImageDraw, mark: Mark, ratio: NDArray[np.float64], left: int, size: tuple[int, int]
) -> None:
    """The label below its mark, above it where there is no room, always inside the picture."""
    points = np.asarray(mark.outline, np.float64) * ratio
    low, high = points.min(0), points.max(0)
    text_width, text_height = width_of(mark.label, font(SMALL, True)) + 12, line_height(SMALL)
    x = min(max(low[0], 2.0), size[0] - text_width - 2)
    y = high[1] + 4 if high[1] + 4 + text_height < size[1] else max(low[1] - text_height - 4, 2)
    colour = MUTED if mark.dashed else level_colour(mark.level)
    pill(draw, (left + round(max(x, 0)), round(y)), mark.label, colour)


def _sides(panel: ImagePanel, labelled: list[Mark]) -> tuple[list[Mark], list[Mark]]:
    """The marks whose labels go left and right, from top to bottom."""
    ordered = sorted(labelled, key=lambda mark: float(np.mean(np.asarray(mark.outline)[:, 0])))
    half = len(ordered) // 2

    def top(mark: Mark) -> float:
        return float(np.mean(np.asarray(mark.outline)[:, 1]))

    return sorted(ordered[:half], key=top), sorted(ordered[half:], key=top)


def _gutters(panel: ImagePanel, labelled: list[Mark]) -> tuple[int, int]:
    widths = [
        max((width_of(mark.label, font(SMALL)) for mark in side), default=0) + 24 for side in _sides(panel, labelled)
    ]
    return widths[0], widths[1]


def _draw_callouts(
    draw: ImageDraw.ImageDraw, labelled: list[Mark], ratio: NDArray[np.float64], left: int, size: tuple[int, int]
) -> None:
    """Labels beside the picture, each at the height of its mark as far as they let each other, with a thin line."""
    face = font(SMALL)
    middles = {id(mark): np.asarray(mark.outline, np.float64).mean(0) * ratio for mark in labelled}
    ordered = sorted(labelled, key=lambda mark: float(np.mean(np.asarray(mark.outline)[:, 0])))
    half = len(ordered) // 2
    for side, marks in (("left", ordered[:half]), ("right", ordered[half:])):
        marks = sorted(marks, key=lambda mark: float(middles[id(mark)][1]))
        heights = _spread(
            [float(middles[id(mark)][1]) for mark in marks],
            min(line_height(SMALL), size[1] // max(len(marks), 1)),
            size[1],
        )
        for mark, y in zip(marks, heights, strict=True):
            points = np.asarray(mark.outline, np.float64) * ratio
            colour = MUTED if mark.dashed else level_colour(mark.level)
            if side == "left":
                edge, label_x, anchor = left + float(points[:, 0].min()), left - 14, "rm"
            else:
                edge, label_x, anchor = left + float(points[:, 0].max()), left + size[0] + 14, "lm"
            elbow = label_x + (5 if side == "left" else -5)
            draw.line((elbow, y, edge, float(middles[id(mark)][1])), tuple(int(0.8 * v) for v in colour), 2)
            draw.text((label_x, y), mark.label, MUTED if mark.dashed else TEXT, face, anchor=anchor)


def _spread(wanted: list[float], distance: float, height: int) -> list[float]:
    """Heights at least `distance` apart and inside the picture, near the wanted ones, in their order."""
    placed: list[float] = []
    for y in wanted:
        low = placed[-1] + distance if placed else distance / 2
        placed.append(max(y, low))
    limit = height - distance / 2
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - distance
    return placed


# ---- bars
def _bars(panel: BarPanel, width: int) -> Image.Image:
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


# ---- points and curves
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


def _scatter(panel: ScatterPanel, width: int) -> Image.Image:
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


def _curves(panel: LinePanel, width: int) -> Image.Image:
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


# ---- table
def _table(panel: TablePanel, width: int) -> Image.Image:
    if not panel.rows:
        return blank(width, 1, CARD)
    columns = max(len(row) for row in panel.rows)
    rows = [(*row, *[""] * (columns - len(row))) for row in panel.rows]
    widths = _column_widths(rows, width)
    cells = [
        [wrapped(text, font(SMALL, index == 0), w - 16) for text, w in zip(row, widths, strict=True)]
        for index, row in enumerate(rows)
    ]
    heights = [max(max(len(cell) for cell in row), 1) * line_height(SMALL) + 8 for row in cells]
    body = blank(width, sum(heights), CARD)
    draw = ImageDraw.Draw(body)
    y = 0
    for index, (row, height) in enumerate(zip(cells, heights, strict=True)):
        if index % 2 == 1:
            draw.rectangle((0, y, width, y + height - 1), STRIPE)
        x = 0
        for cell, w in zip(row, widths, strict=True):
            for line_index, line in enumerate(cell):
                where = (x + 8, y + 4 + line_index * line_height(SMALL))
                draw.text(where, line, MUTED if index == 0 else TEXT, font(SMALL, index == 0))
            x += w
        if index == 0:
            draw.line((0, y + height - 1, width, y + height - 1), RULE)
        y += height
    return body


def _column_widths(rows: list[tuple[str, ...]], width: int) -> list[int]:
    """Widths that add up to `width`: what the texts need, the widest giving way first, no word broken if it can be."""
    columns = range(len(rows[0]))

    def needed(column: int, of_words: bool) -> int:
        cells = [(row[column], index == 0) for index, row in enumerate(rows)]
        texts = [(text, bold) for cell, bold in cells for text in (cell.split() if of_words else [cell])]
        return max((width_of(text, font(SMALL, bold)) for text, bold in texts), default=0) + 16

    wanted = [needed(column, False) for column in columns]
    least = [needed(column, True) for column in columns]
    while sum(wanted) > width:
        spare = [w - m for w, m in zip(wanted, least, strict=True)]
        giving = max(columns, key=lambda column: (spare[column] > 0, wanted[column]))
        wanted[giving] -= min(sum(wanted) - width, 8)
    return [w + (width - sum(wanted)) // len(wanted) for w in wanted]
