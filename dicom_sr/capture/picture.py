"""Pictures of a page: an image with heat, marks and a colour bar."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_sr.capture.drawing import (
    CARD,
    GROUND,
    HEAT_MAP,
    LARGE,
    MUTED,
    RULE,
    SMALL,
    TEXT,
    blank,
    coloured,
    font,
    level_colour,
    line_height,
    number,
    pill,
    ticks,
    width_of,
)
from dicom_sr.findings import ImagePanel, Mark

Scale = tuple[str, float, float, str]  # colour map, range and unit
_BAR_WIDTH, _BAR_GAP = 18, 12  # of a colour bar
_LEAST_BAR = 72  # of its height with the room below it: two numbers fit beside it
_HEAT_ALPHA = 0.6  # anatomy stays visible under the strongest heat
_HEAT_FADE = 0.2  # the part of the heat's range over which it fades in above its threshold
_CALLOUTS_FROM = 4  # more labels than this go to the gutters with leader lines


def draw_picture(panel: ImagePanel, width: int, height: int, bar_width: int) -> Image.Image:
    """An image with what lies on it and beside it.

    Parameters
    ----------
    panel
        The image with its heat and marks.
    width
        Of the result, pixels.
    height
        The most that the image itself may take, pixels.
    bar_width
        The least room beside the image, pixels: where a neighbour has a colour bar, pictures are of one size.
    """
    scale = _colour_scale(panel)
    labelled = [mark for mark in panel.marks if mark.label]
    callouts = len(labelled) > _CALLOUTS_FROM
    size, whole, (left, right) = _layout(panel, scale, width, height, bar_width)
    picture, height = Image.fromarray(_pixels(panel, size)), whole[1]
    body = blank(*whole, CARD)
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


def picture_size(panel: ImagePanel, width: int, height: int, bar_width: int) -> tuple[int, int]:
    """Width and height of what `draw_picture` gives for the same arguments, pixels."""
    return _layout(panel, _colour_scale(panel), width, height, bar_width)[1]


def _layout(
    panel: ImagePanel, scale: Scale | None, width: int, height: int, bar_width: int
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Size of the image, size of the whole, and the room left and right of the image for labels."""
    bar = 0 if scale is None else _bar_space(scale)
    labelled = [mark for mark in panel.marks if mark.label]
    left, right = _gutters(labelled) if len(labelled) > _CALLOUTS_FROM else (0, 0)
    size = _fitted(panel, width - max(bar, bar_width) - left - right, height)
    whole = size[1] if scale is None else max(size[1], _bar_top(scale) + _LEAST_BAR)  # a flat picture, too, has a bar
    return size, (left + size[0] + right + bar, whole), (left, right)


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


def _colour_scale(panel: ImagePanel) -> Scale | None:
    """Colour map, range and unit of what is shown in colour."""
    if panel.heat is not None:
        return HEAT_MAP, *panel.heat_range, panel.heat_unit
    if panel.colour_map is not None:
        return panel.colour_map, *_window(panel), panel.value_unit
    return None


def _bar_space(scale: Scale) -> int:
    _, low, high, unit = scale
    texts = [number(v) for v in (*ticks(low, high, 3), low, high)]
    return _BAR_GAP + _BAR_WIDTH + 8 + max(width_of(text, font(SMALL)) for text in [*texts, *unit.split()]) + 2


def _bar_top(scale: Scale) -> int:
    """Where the bar begins: below its unit."""
    return line_height(SMALL) * len(scale[3].split()) + 12


def _draw_bar(draw: ImageDraw.ImageDraw, scale: Scale, x: int, height: int) -> None:
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


def _sides(labelled: list[Mark]) -> tuple[list[Mark], list[Mark]]:
    """The marks whose labels go left and right, from top to bottom."""
    ordered = sorted(labelled, key=lambda mark: float(np.mean(np.asarray(mark.outline)[:, 0])))
    half = len(ordered) // 2

    def top(mark: Mark) -> float:
        return float(np.mean(np.asarray(mark.outline)[:, 1]))

    return sorted(ordered[:half], key=top), sorted(ordered[half:], key=top)


def _gutters(labelled: list[Mark]) -> tuple[int, int]:
    widths = [max((width_of(mark.label, font(SMALL)) for mark in side), default=0) + 24 for side in _sides(labelled)]
    return widths[0], widths[1]


def _draw_callouts(
    draw: ImageDraw.ImageDraw, labelled: list[Mark], ratio: NDArray[np.float64], left: int, size: tuple[int, int]
) -> None:
    """Labels beside the picture, each at the height of its mark as far as they let each other, with a thin line."""
    face = font(SMALL)
    middles = {id(mark): np.asarray(mark.outline, np.float64).mean(0) * ratio for mark in labelled}
    for side, marks in zip(("left", "right"), _sides(labelled), strict=True):
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


def colour_bar_width(panel: ImagePanel) -> int:
    """Width that the colour bar takes, 0 where there is none, pixels."""
    scale = _colour_scale(panel)
    return 0 if scale is None else _bar_space(scale)
