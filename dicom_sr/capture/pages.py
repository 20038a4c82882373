"""Pages of a result drawn as RGB pictures."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from dicom_sr.capture.drawing import (
    ACCENT,
    LARGE,
    MUTED,
    RULE,
    SMALL,
    TEXT,
    TITLE,
    WARNING,
    blank,
    draw_paragraphs,
    font,
    line_height,
    paragraph_height,
    width_of,
)
from dicom_sr.capture.panels import bar_space, card_height, render, title_height
from dicom_sr.findings import NotRun, Page, Panel, Result, TablePanel
from dicom_sr.profile import RESEARCH_USE
from dicom_sr.words import unit_in_words

PAGE_WIDTH = 1024  # pixels; shown 512 wide its smallest text is still 10 px high
MAXIMUM_HEIGHT = 2048  # pixels; larger pages are slow or refused in older viewers
_MARGIN, _GAP = 28, 14
_IMAGE_HEIGHT = 900  # pixels, of a picture on a page with room; less where the page would grow too high
_LEAST_IMAGE_HEIGHT = 160


@dataclass(frozen=True)
class Imprint:
    """What every page says about where its result comes from; nothing of it names the patient."""

    origin: str  # model, date and a label of the study: one line below the title
    institution: str  # at the right end of that line, where there is room for it
    notes: tuple[str, ...]  # below the warning at the foot: what the model was trained on, and limits


def pages(result: Result | NotRun) -> tuple[Page, ...]:
    """The pages to be drawn: the result's own, or one of words where it brings none."""
    if isinstance(result, NotRun):
        return (Page(f"{result.title}: not performed", (), summary=_not_run(result)),)
    return result.pages or (_page_of_words(result),)


def _not_run(result: NotRun) -> tuple[str, ...]:
    return (
        f"{result.title} was due for this study and was not performed.",
        f"Reason: {result.reason}",
        "This is not a finding: these images have not been analysed.",
    )


def _page_of_words(result: Result) -> Page:
    rows = [("What", "Value")]
    for finding in result.findings:
        rows += [
            (f"{finding.tracking_id}: {m.name.meaning}", f"{m.value:.4g} {unit_in_words(m.unit.value)}")
            for m in finding.measurements
        ]
        rows += [(f"{finding.tracking_id}: {e.name.meaning}", e.value.meaning) for e in finding.evaluations]
    rows += [(item.tracking_id, f"Not evaluable: {item.sentence}") for item in result.not_evaluable]
    panels = (TablePanel("", tuple(rows)),) if len(rows) > 1 else ()
    return Page(result.title, panels, columns=1, summary=result.conclusion)


def draw_page(page: Page, imprint: Imprint) -> Image.Image:
    """`page` as an RGB picture, `PAGE_WIDTH` wide and at most `MAXIMUM_HEIGHT` high where pictures can give way."""
    image_height = _IMAGE_HEIGHT
    others: dict[tuple[int, int], int] = {}
    while image_height > _LEAST_IMAGE_HEIGHT and _height(page, imprint, image_height, others) > MAXIMUM_HEIGHT:
        image_height = max(int(image_height * 0.8), _LEAST_IMAGE_HEIGHT)
    return _draw(page, imprint, image_height)


def _height(page: Page, imprint: Imprint, image_height: int, others: dict[tuple[int, int], int]) -> int:
    """Height of the page, without drawing its pictures; `others` keeps heights of panels that are no pictures."""
    inner = PAGE_WIDTH - 2 * _MARGIN
    height = _head_height(page, inner) + _foot_height(imprint, inner)
    for row in _rows(page, inner):
        height += max(card_height(panel, row.width, image_height, row.title, row.bar, others) for panel in row.panels)
        height += _GAP
    return height


def _draw(page: Page, imprint: Imprint, image_height: int) -> Image.Image:
    inner = PAGE_WIDTH - 2 * _MARGIN
    cards = _cards(page, inner, image_height)
    head, foot_height = _head_height(page, inner), _foot_height(imprint, inner)
    picture = blank(PAGE_WIDTH, head + sum(row[0] + _GAP for row in cards) + foot_height)
    draw = ImageDraw.Draw(picture)
    y = _draw_head(draw, page, imprint, inner)
    for height, row in cards:
        for x, card in row:
            picture.paste(card, (_MARGIN + x, y))
        y += height + _GAP
    draw.line((_MARGIN, y + 4, PAGE_WIDTH - _MARGIN, y + 4), RULE)
    y = draw_paragraphs(draw, (_MARGIN, y + 14), (RESEARCH_USE,), LARGE, inner, WARNING, bold=True)
    draw_paragraphs(draw, (_MARGIN, y), imprint.notes, SMALL, inner, MUTED)
    return picture


@dataclass(frozen=True)
class _Row:
    """Panels side by side."""

    panels: tuple[Panel, ...]
    width: int  # of each card
    title: int  # height of the titles
    bar: int  # width of the colour bars


def _rows(page: Page, width: int) -> list[_Row]:
    columns = max(min(page.columns, len(page.panels)), 1)
    bar = max((bar_space(panel) for panel in page.panels), default=0)
    rows = []
    for start in range(0, len(page.panels), columns):
        panels = page.panels[start : start + columns]
        # a last row that is not full takes the whole width
        card_width = (width - (len(panels) - 1) * _GAP) // len(panels)
        title = max(title_height(panel, card_width) for panel in panels)
        rows.append(_Row(panels, card_width, title, bar if len(panels) > 1 else 0))
    return rows


def _cards(page: Page, width: int, image_height: int) -> list[tuple[int, list[tuple[int, Image.Image]]]]:
    """Rows of cards, each with its height and with the x of every card; cards of a row are made equally high."""
    rows = []
    for row in _rows(page, width):
        cards = [render(panel, row.width, image_height, row.title, row.bar) for panel in row.panels]
        height = max(card.height for card in cards)
        rows.append((height, [(i * (row.width + _GAP), _grown(card, height)) for i, card in enumerate(cards)]))
    return rows


def _grown(card: Image.Image, height: int) -> Image.Image:
    if card.height == height:
        return card
    grown = blank(card.width, height, card.getpixel((0, 0)))  # type: ignore[arg-type]
    grown.paste(card, (0, 0))
    return grown


def _head_height(page: Page, inner: int) -> int:
    return (
        _MARGIN
        + paragraph_height((page.title,), TITLE, inner, bold=True)
        + line_height(SMALL)
        + 12
        + paragraph_height(page.summary, LARGE, inner - 18)
        + (24 if page.summary else 0)
    )


def _foot_height(imprint: Imprint, inner: int) -> int:
    warning = paragraph_height((RESEARCH_USE,), LARGE, inner, bold=True)
    return warning + paragraph_height(imprint.notes, SMALL, inner) + 40


def _draw_head(draw: ImageDraw.ImageDraw, page: Page, imprint: Imprint, inner: int) -> int:
    y = draw_paragraphs(draw, (_MARGIN, _MARGIN - 6), (page.title,), TITLE, inner, bold=True)
    draw.text((_MARGIN, y), imprint.origin, MUTED, font(SMALL))
    room = inner - width_of(imprint.origin, font(SMALL)) - 30
    if imprint.institution and width_of(imprint.institution, font(SMALL)) <= room:
        draw.text((PAGE_WIDTH - _MARGIN, y), imprint.institution, MUTED, font(SMALL), anchor="ra")
    y += line_height(SMALL) + 12 + 6
    if page.summary:
        bottom = y + paragraph_height(page.summary, LARGE, inner - 18)
        draw.rectangle((_MARGIN, y + 2, _MARGIN + 4, bottom - 2), ACCENT)
        draw_paragraphs(draw, (_MARGIN + 18, y), page.summary, LARGE, inner - 18, TEXT)
        y = bottom + 24
    return y
