"""Tables of short texts."""

from __future__ import annotations

from PIL import Image, ImageDraw

from dicom_sr.capture.drawing import (
    CARD,
    MUTED,
    RULE,
    SMALL,
    STRIPE,
    TEXT,
    blank,
    font,
    line_height,
    width_of,
    wrapped,
)
from dicom_sr.findings import TablePanel


def draw_table(panel: TablePanel, width: int) -> Image.Image:
    """The rows below each other, striped, `width` pixels wide."""
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
    """Widths that fill `width` to within a pixel each.

    What the texts need, the widest giving way first, no word broken if it can be.
    """
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
