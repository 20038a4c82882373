"""Fonts, colours, colour maps and wrapped text for captures."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

# dark, as a reading room wants it; every text colour has a contrast of at least 4.5 to both grounds (WCAG 2.1)
GROUND: Colour = (13, 16, 20)
CARD: Colour = (22, 27, 33)
STRIPE: Colour = (29, 35, 43)
RULE: Colour = (58, 68, 80)
TEXT: Colour = (233, 238, 243)
MUTED: Colour = (164, 177, 190)
ACCENT: Colour = (86, 180, 233)  # Okabe and Ito's sky blue: colour-blind readers tell it from WARNING
WARNING: Colour = (240, 180, 60)
# Okabe and Ito 2008, lightened where a dark ground asks for it: groups of points and curves
SERIES: tuple[Colour, ...] = ((86, 180, 233), (230, 159, 0), (0, 190, 145), (204, 121, 167), (240, 228, 66))

# at least 20 px on a page 1024 px wide, so that a page shown 512 px wide has text of 10 px
SMALL, BODY, LARGE, TITLE = 20, 22, 26, 36
HEAT_MAP = "inferno"  # perceptually uniform, read the same by colour-blind eyes
LEVEL_MAP = "plasma"  # for marks: calm to severe


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib ships."""
    file = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / file), size)


@cache
def _table(colour_map: str) -> NDArray[np.uint8]:
    table: NDArray[np.float64] = np.asarray(matplotlib.colormaps[colour_map](np.linspace(0, 1, 256)))
    return np.rint(255 * table[:, :3]).astype(np.uint8)


def coloured(values: NDArray[np.generic], colour_map: str) -> NDArray[np.uint8]:
    """`values` in 0..1 (...) as RGB (..., 3)."""
    index = np.array(values, np.float64)  # changed in place
    index[np.isnan(index)] = 0
    np.clip(index, 0, 1, out=index)
    np.rint(np.multiply(index, 255, out=index), out=index)
    return np.take(_table(colour_map), index.astype(np.uint8), axis=0)


def level_colour(level: float | None) -> Colour:
    """The colour of a mark: calm to severe, or neutral."""
    if level is None:
        return ACCENT
    # the dark end of the map does not show on a dark image
    red, green, blue = coloured(np.array(0.45 + 0.5 * min(max(level, 0.0), 1.0)), LEVEL_MAP)
    return int(red), int(green), int(blue)


def width_of(text: str, face: ImageFont.FreeTypeFont) -> int:
    """Width of `text`, pixels."""
    return int(np.ceil(face.getlength(text)))


def line_height(size: int) -> int:
    """Distance between two lines of text, pixels."""
    return round(1.35 * size)


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """`text` in lines of at most `width` pixels, broken between words, and inside one only where it must be.

    Parameters
    ----------
    text
        What is to be written; runs of white space count as one space.
    face
        The font.
    width
        Of the lines, pixels.
    """
    return list(_wrapped(text, face, width))


@lru_cache(maxsize=512)  # a page asks for the height of its texts before it draws them
def _wrapped(text: str, face: ImageFont.FreeTypeFont, width: int) -> tuple[str, ...]:
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and width_of(f"{line} {word}", face) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
        while width_of(line, face) > width:
            fit = next(n for n in range(len(line) - 1, 0, -1) if n == 1 or width_of(line[:n], face) <= width)
            lines.append(line[:fit])
            line = line[fit:]
    return (*lines, line) if line else tuple(lines)


def paragraph_height(texts: tuple[str, ...], size: int, width: int, bold: bool = False) -> int:
    """Height that `draw_paragraphs` needs.

    Parameters
    ----------
    texts
        Paragraphs.
    size
        Of the font, pixels.
    width
        Of the lines, pixels.
    bold
        Whether the font is bold.
    """
    return sum(len(wrapped(text, font(size, bold), width)) for text in texts) * line_height(size)


def draw_paragraphs(
    draw: ImageDraw.ImageDraw,
    xy: tuple[int, int],
    texts: tuple[str, ...],
    size: int,
    width: int,
    colour: Colour = TEXT,
    bold: bool = False,
) -> int:
    """Draw `texts`, wrapped at `width`, and return the y below them.

    Parameters
    ----------
    draw
        The picture.
    xy
        Upper left corner, column and row, pixels.
    texts
        Paragraphs.
    size
        Of the font, pixels.
    width
        Of the lines, pixels.
    colour
        Of the text, RGB.
    bold
        Whether the font is bold.
    """
    x, y = xy
    for text in texts:
        for line in wrapped(text, font(size, bold), width):
            draw.text((x, y), line, colour, font(size, bold))
            y += line_height(size)
    return y


def blank(width: int, height: int, colour: Colour = GROUND) -> Image.Image:
    """An empty picture.

    Parameters
    ----------
    width, height
        Pixels.
    colour
        Of the ground, RGB.
    """
    return Image.new("RGB", (width, height), colour)


def pill(
    draw: ImageDraw.ImageDraw,
    xy: tuple[int, int],
    text: str,
    colour: Colour = TEXT,
    size: int = SMALL,
    bold: bool = True,
) -> None:
    """Text on a dark rounded ground, its upper left corner at `xy`.

    Parameters
    ----------
    draw
        The picture.
    xy
        Column and row, pixels.
    text
        One line.
    colour
        Of the text, RGB.
    size
        Of the font, pixels.
    bold
        Whether the font is bold.
    """
    face = font(size, bold)
    x, y = xy
    draw.rounded_rectangle((x, y, x + width_of(text, face) + 12, y + line_height(size)), 6, GROUND, None)
    draw.text((x + 6, y + line_height(size) / 2), text, colour, face, anchor="lm")


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers from `low` to `high`.

    Parameters
    ----------
    low, high
        Ends of the axis.
    count
        How many numbers are wanted.
    """
    if not high > low:
        return [low]
    raw = (high - low) / max(count - 1, 1)
    magnitude = 10.0 ** np.floor(np.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first = np.ceil(low / step - 1e-9) * step
    return [float(v) for v in np.arange(first, high + 1e-9 * step, step)]


def number(value: float) -> str:
    """A number for an axis."""
    return f"{0.0 if abs(value) < 1e-12 else value:.4g}"
