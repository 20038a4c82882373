"""Output of the commands: results on standard output, problems on standard error.

Everything that a command prints goes through `SafeConsole`, so that no value of a header and no file's name can move
the cursor, turn the line or begin another.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.highlighter import JSONHighlighter
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from dicom_sr.words import escaped, escaped_json

PIPE_WIDTH = 160  # columns of a table in a file or a pipe


class SafeConsole(Console):
    """A console whose texts, also those in tables and trees, are escaped; see `dicom_sr.words.escaped`.

    Parameters
    ----------
    keep
        Characters that stay as they are, such as the line ends of texts that only we write.
    options
        Of `rich.console.Console`.
    """

    def __init__(self, *, keep: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._keep = keep

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as rich text, escaped."""
        return safe(super().render_str(text, **options), self._keep)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces that are printed of something."""
        return super().render(safe(renderable, self._keep) if isinstance(renderable, Text) else renderable, options)

    def print_json(self, json_text: str) -> None:  # type: ignore[override]
        """Print JSON that says the same, indented, with what has to be escaped in JSON's own form."""
        text = escaped_json(json.dumps(json.loads(json_text), indent=2, ensure_ascii=False))
        highlight = JSONHighlighter()
        for line in text.split("\n"):
            self.print(highlight(Text(line)), soft_wrap=True)


def safe(text: Text, keep: str = "") -> Text:
    """`text`, escaped but for the characters in `keep`, each piece in the style it had."""
    marks = [at for at, character in enumerate(text.plain) if escaped(character, keep) != character]
    if not marks:
        return text
    pieces = text.divide(sorted({at for mark in marks for at in (mark, mark + 1)}))
    for piece in pieces:
        if (plain := escaped(piece.plain, keep)) != piece.plain:
            style = piece.spans[-1].style if piece.spans else ""
            piece.plain = plain
            piece.stylize(style)
    return text.blank_copy().join(pieces)


def console(*, error: bool = False) -> Console:
    """A console as wide as the terminal, or `PIPE_WIDTH` wide if there is none; then each problem is a line."""
    stream = sys.stderr if error else sys.stdout
    piped = not stream.isatty()
    return SafeConsole(stderr=error, width=PIPE_WIDTH if piped else None, soft_wrap=error and piped, highlight=False)


def whole(out: Console, table: Table) -> Table:
    """Make the columns with `no_wrap` of a table as wide as they have to be, also on a narrow terminal: ids, UIDs."""
    for column in table.columns:
        if column.no_wrap:
            column.min_width = max(out.measure(cell).maximum for cell in (column.header, *column.cells))
    needed = sum((column.min_width or 1) + 2 for column in table.columns)  # 2: the padding of a column
    if needed > out.width:
        table.width = needed
    return table


def print_whole(out: Console, table: Table) -> None:
    """Print a table, also beyond the edge of a narrow terminal; see `whole`."""
    out.print(whole(out, table), crop=False)
