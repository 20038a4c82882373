"""Contact sheets: films with the squares and grades that were read, and with those of the reference beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from dicom_sr.capture.drawing import (
    ACCENT,
    CARD,
    GROUND,
    MUTED,
    SMALL,
    TEXT,
    WARNING,
    Colour,
    blank,
    font,
    line_height,
    wrapped,
)
from dicom_sr.capture.picture import draw_picture
from dicom_sr.findings import ImagePanel, Mark
from pipelines.hand_foot_scoring.crops import CROP, crop_window
from pipelines.hand_foot_scoring.evaluation.film_reading import FilmReading
from pipelines.hand_foot_scoring.evaluation.graded import ReadFilm
from pipelines.hand_foot_scoring.film_sites import film_sites, label
from pipelines.hand_foot_scoring.films import Film, LimbFilm
from pipelines.hand_foot_scoring.scoring import Cell, Reading, Scored, certain
from pipelines.hand_foot_scoring.training.graded_crops import place
from pipelines.hand_foot_scoring.windows import Pyramid

TILE = (720, 760)  # of one film with its labels, pixels
LIMB_HEIGHT = 330  # the least of one of several limbs on a film: half of its labels fit beside it
MARGIN = 0.2  # of a limb's length: what is shown round the sites of one of several
COLUMNS, ROWS = 3, 3  # of a sheet
GAP = 12


def film_picture(
    film: Film, limbs: Sequence[tuple[LimbFilm, Mapping[Cell, Reading]]], size: tuple[int, int]
) -> Image.Image:
    """A film with a square and a label at every site of its limbs; several limbs each by itself, below each other.

    Parameters
    ----------
    film
        The picture.
    limbs
        Each limb with the readings of its cells; a site without any is dashed.
    size
        Room for the picture with its labels, pixels; several limbs may take more of its height.
    """
    if len(limbs) < 2:
        marks = tuple(_mark(limb, site.name, readings) for limb, readings in limbs for site in film_sites(limb))
        return _drawn(film, marks, size, "".join(limb.key[1] for limb, _ in limbs))
    height = max(size[1] // len(limbs), LIMB_HEIGHT)
    parts = [_limb_picture(film, limb, readings, (size[0], height)) for limb, readings in limbs]
    whole = blank(max(part.width for part in parts), sum(part.height for part in parts) + GAP * (len(parts) - 1), CARD)
    y = 0
    for part in parts:
        whole.paste(part, ((whole.width - part.width) // 2, y))
        y += part.height + GAP
    return whole


def _limb_picture(film: Film, limb: LimbFilm, readings: Mapping[Cell, Reading], size: tuple[int, int]) -> Image.Image:
    """One of several limbs on a film with its name, sides of the film cut off that are far from it."""
    left, top, right, bottom = limb.reading.limb.box
    margin = MARGIN * limb.reading.limb.length
    height, width = film.array.shape
    first = np.floor(np.clip([left - margin, top - margin], 0, None)).astype(int)
    last = np.ceil(np.clip([right + margin, bottom + margin], 1, [width, height])).astype(int)
    near = replace(film, array=film.array[first[1] : last[1], first[0] : last[0]])
    marks = (_mark(limb, site.name, readings) for site in film_sites(limb))
    moved = tuple(replace(mark, outline=np.asarray(mark.outline, np.float64) - first) for mark in marks)
    line = line_height(SMALL)
    picture = _drawn(near, moved, (size[0], size[1] - line), limb.reading.limb.side)
    named = blank(size[0], picture.height + line, CARD)
    ImageDraw.Draw(named).text((0, 0), limb.reading.limb.name, TEXT, font(SMALL, True))
    named.paste(picture, ((size[0] - picture.width) // 2, line))
    return named


def _drawn(film: Film, marks: tuple[Mark, ...], size: tuple[int, int], laterality: str) -> Image.Image:
    array = film.array
    low, high = np.quantile(array[::4, ::4], (0.005, 0.998))
    window = (float(low), float(max(high, low + 1e-6)))
    return draw_picture(ImagePanel("", array, window, marks=marks, laterality=laterality), size[0], size[1], 0)


def _mark(limb: LimbFilm, name: str, readings: Mapping[Cell, Reading]) -> Mark:
    site = next(one for one in film_sites(limb) if one.name == name)
    levels = [
        reading.expected / cell.maximum for cell in site.cells if isinstance(reading := readings.get(cell), Scored)
    ]
    if not levels:
        return Mark(site.outline, f"{name} n/e", dashed=True)
    return Mark(site.outline, label(site, readings), level=max(levels))


# ---------------------------------------------------------------- films without grades
def sheet(tiles: Sequence[Image.Image], columns: int = COLUMNS) -> Image.Image:
    """Tiles beside and below each other.

    Parameters
    ----------
    tiles
        At least one.
    columns
        How many lie beside each other.
    """
    rows = [tiles[k : k + columns] for k in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) for row in rows]
    width = max(sum(tile.width + GAP for tile in row) for row in rows) + GAP
    whole = blank(width, sum(heights) + GAP * (len(rows) + 1), GROUND)
    y = GAP
    for row, height in zip(rows, heights, strict=True):
        x = GAP
        for tile in row:
            whole.paste(tile, (x, y))
            x += tile.width + GAP
        y += height + GAP
    return whole


def film_tile(one: FilmReading) -> Image.Image:
    """A film with its squares and grades, and what was found in words."""
    lines: list[tuple[str, Colour]] = [(f"{one.path.name}  {one.size}", TEXT)]
    if one.film is None:
        return _card(None, [*lines, (one.refusal, WARNING)])
    lines.append((f"taken for {one.shown}", MUTED))
    if one.refusal:
        lines.append((f"refused: {one.refusal}", WARNING))
    elif not one.scored:
        lines.append((one.result, WARNING))
    else:
        lines.append((one.result, ACCENT))
        lines += [(f"{text}: not counted", WARNING) for text in one.contradictions]
        lines += [(f"{count} x {reason}", MUTED) for reason, count in one.reasons.items()]
    lines += [(remark, WARNING) for remark in one.remarks]
    shown = [(limb, one.cells) for limb in one.limbs]
    return _card(film_picture(one.film, shown, (TILE[0] - 2 * GAP, TILE[1])), lines)


def _card(picture: Image.Image | None, lines: Sequence[tuple[str, Colour]], width: int = TILE[0]) -> Image.Image:
    """A picture under some lines of text."""
    text = [
        (part, colour, index == 0)
        for index, (line, colour) in enumerate(lines)
        for part in wrapped(line, font(SMALL, index == 0), width - 2 * GAP)
    ]
    head = len(text) * line_height(SMALL) + 2 * GAP
    card = blank(width, head + (0 if picture is None else picture.height + GAP), CARD)
    draw = ImageDraw.Draw(card)
    for row, (part, colour, bold) in enumerate(text):
        draw.text((GAP, GAP // 2 + row * line_height(SMALL)), part, colour, font(SMALL, bold))
    if picture is not None:
        card.paste(picture, (max(GAP, (width - picture.width) // 2), head))
    return card


# ---------------------------------------------------------------- films with grades
def worst_films_sheet(films: Sequence[ReadFilm]) -> Image.Image:
    """Each film twice: with the grades that were read on the left, with those of the reference on the right."""
    tiles: list[Image.Image] = []
    for one in map(ReadFilm.with_pixels, films):
        limb = one.limb
        assert limb is not None
        pairs = list(one.pairs)
        read = sum(reading.expected for _, reading, _ in pairs)
        reference = sum(grade for _, _, grade in pairs)
        name = one.film.picture.name
        size = (TILE[0] - 2 * GAP, TILE[1])
        left = film_picture(limb.film, [(limb, one.cells)], size)
        truth = {cell: certain(cell, grade) for cell, grade in one.film.grades.items()}
        right = film_picture(limb.film, [(limb, truth)], size)
        cells = f"over {len(pairs)} of {len(one.film.grades)} graded cells"
        tiles += [
            _card(left, [(name, TEXT), (f"read: {read:.1f} {cells}", ACCENT)]),
            _card(
                right, [(f"{name}, reference", TEXT), (f"reference: {reference:g}, read {one.difference:+.1f}", MUTED)]
            ),
        ]
    return sheet(tiles, 2)


CELL_TILE = 168  # of a crop, pixels


def worst_cells_sheet(rows: Sequence[tuple[ReadFilm, Cell, Scored, float]]) -> Image.Image:
    """The crops of single joints with the grade that was read and that of the reference."""
    tiles = []
    for one, cell, reading, grade in rows:
        limb = one.with_pixels().limb
        assert limb is not None
        point = place(one.film, limb.reading.limb, cell.site) or limb.reading.limb.expected[cell.site]
        pyramid = Pyramid.of(np.ascontiguousarray(limb.film.array))
        image = pyramid.sample(crop_window(limb.reading.limb, cell.site, point), (CROP, CROP))
        low, high = np.quantile(image, (0.01, 0.99))
        grey = np.asarray(np.clip((image - low) / max(float(high - low), 1e-6), 0, 1) * 255, np.uint8)
        crop = Image.fromarray(grey).resize((CELL_TILE, CELL_TILE), Image.Resampling.BICUBIC).convert("RGB")
        lines: list[tuple[str, Colour]] = [
            (f"{cell.side} {cell.site}", TEXT),
            (cell.kind, MUTED),
            (f"read {reading.expected:.1f}, ref. {grade:g}", ACCENT),
            (one.film.picture.name, MUTED),
        ]
        tiles.append(_card(crop, lines, CELL_TILE + 4 * GAP))
    return sheet(tiles, 6)
