"""The panels of a page as cards, each with its title and caption."""

from __future__ import annotations

from PIL import Image, ImageDraw

from dicom_sr.capture.bars import draw_bars
from dicom_sr.capture.drawing import (
    BODY,
    CARD,
    MUTED,
    SMALL,
    blank,
    draw_paragraphs,
    paragraph_height,
)
from dicom_sr.capture.picture import colour_bar_width, draw_picture, picture_size
from dicom_sr.capture.plots import draw_curves, draw_scatter
from dicom_sr.capture.table import draw_table
from dicom_sr.findings import BarPanel, ImagePanel, LinePanel, Panel, ScatterPanel, TablePanel

PAD = 14  # pixels between a card's edge and what it holds


def title_height(panel: Panel, width: int) -> int:
    """Height that the title of a card `width` pixels wide takes."""
    return paragraph_height((panel.title,), BODY, width - 2 * PAD, bold=True) + 8 if panel.title else 0


def bar_space(panel: Panel) -> int:
    """Width that the colour bar of a picture takes."""
    return colour_bar_width(panel) if isinstance(panel, ImagePanel) else 0


def card_height(
    panel: Panel, width: int, image_height: int, title: int, bar: int, others: dict[tuple[int, int], int]
) -> int:
    """Height of the card that `render` would draw, pixels; pictures are not drawn for it.

    Parameters
    ----------
    others
        Heights of what had to be drawn because it is no picture, by panel and width.
    """
    inner = width - 2 * PAD
    if isinstance(panel, ImagePanel):
        body = picture_size(panel, inner, image_height, bar)[1]
    else:
        key = (id(panel), inner)
        if key not in others:
            others[key] = _body(panel, inner, image_height, bar).height
        body = others[key]
    return PAD + title + body + _caption_height(panel, inner) + PAD


def render(panel: Panel, width: int, image_height: int, title: int | None = None, bar: int = 0) -> Image.Image:
    """`panel` as a card `width` pixels wide; pictures in it are at most `image_height` pixels high.

    Parameters
    ----------
    title
        Height reserved for the title, so that neighbouring cards align; None: the height of this title.
    bar
        Width reserved for a colour bar, so that pictures with and without one have the same size.
    """
    inner = width - 2 * PAD
    top = PAD + (title_height(panel, width) if title is None else title)
    body = _body(panel, inner, image_height, bar)
    card = blank(width, top + body.height + _caption_height(panel, inner) + PAD, CARD)
    draw = ImageDraw.Draw(card)
    if panel.title:
        draw_paragraphs(draw, (PAD, PAD - 2), (panel.title,), BODY, inner, bold=True)
    card.paste(body, (PAD + (inner - body.width) // 2, top))
    if panel.caption:
        draw_paragraphs(draw, (PAD, top + body.height + 8), (panel.caption,), SMALL, inner, MUTED)
    return card


def _caption_height(panel: Panel, inner: int) -> int:
    return paragraph_height((panel.caption,), SMALL, inner) + 8 if panel.caption else 0


def _body(panel: Panel, width: int, image_height: int, bar: int) -> Image.Image:
    match panel:
        case ImagePanel():
            return draw_picture(panel, width, image_height, bar)
        case BarPanel():
            return draw_bars(panel, width)
        case ScatterPanel():
            return draw_scatter(panel, width)
        case LinePanel():
            return draw_curves(panel, width)
        case TablePanel():
            return draw_table(panel, width)
