"""The report of a training or an evaluation: pictures as PNG files, and one page that holds them all."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
FULL = 40_000_000  # bytes of pictures in a page; further ones are shown from their files
_STYLE = """
:root { color-scheme: light dark; --ground: light-dark(#f6f8fa, #0d1014); --text: light-dark(#14181d, #e9eef3);
  --muted: light-dark(#4b5764, #a4b1be); --rule: light-dark(#c3ccd5, #3a4450) }
body { font: 16px/1.5 system-ui, sans-serif; background: var(--ground); color: var(--text); margin: 2rem auto;
  max-width: 1400px; padding: 0 1rem; overflow-wrap: break-word }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2.5rem }
.table { overflow-x: auto }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .8rem; text-align: left; border-bottom: 1px solid var(--rule); vertical-align: top }
th { color: var(--muted); font-weight: 600 } p.note { color: var(--muted); max-width: 60rem }
a { display: inline-block; vertical-align: top; max-width: 100%; margin-right: 1rem }
img { max-width: 100%; display: block; margin: 1rem 0; border-radius: 4px }
@media print, (prefers-color-scheme: light) { img.plot { filter: invert(1) hue-rotate(180deg) } }
@media print {
  :root { color-scheme: light }
  body { margin: 0; max-width: none }
  h2, p.note { break-after: avoid } tr, img { break-inside: avoid } img { max-height: 24cm }
  .table { overflow: visible } table { font-size: 80% }
}
"""


@dataclass
class Report:
    """A page under construction, in a folder."""

    folder: Path
    title: str
    _parts: list[str] = field(default_factory=list)
    _bytes: int = 0  # of the pictures

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def heading(self, text: str) -> None:
        """A heading."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def note(self, *sentences: str) -> None:
        """A paragraph."""
        self._parts.append(f'<p class="note">{escape(" ".join(sentences))}</p>')

    def table(self, heading: Sequence[str], rows: Sequence[Sequence[object]], name: str = "") -> None:
        """A table; with a name it is written to ``<name>.csv`` too."""
        head = "".join(f"<th>{escape(text)}</th>" for text in heading)
        body = "".join("<tr>" + "".join(f"<td>{escape(_text(v))}</td>" for v in row) + "</tr>" for row in rows)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        self._parts.append(f'<div class="table">{table}</div>')
        if name:
            with (self.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
                writer = csv.writer(stream)
                writer.writerow(heading)
                writer.writerows([[_text(value) for value in row] for row in rows])

    def figures(self, values: Mapping[str, object]) -> None:
        """Names and values, one a row."""
        self.table(("", "value"), [(name.replace("_", " "), value) for name, value in values.items()])

    def picture(self, name: str, image: Image.Image | Figure, described: str) -> None:
        """A picture, written to ``<name>.png`` and into the page, where it leads to that file in its full size.

        Into a page that is full goes only its address. Curves and points are dark on light where the page is, too.

        Parameters
        ----------
        name
            Of the file.
        image
            The picture, or a figure as `plots` draws it.
        described
            What it shows, for those who do not see it.
        """
        stream = io.BytesIO()
        kind = ""
        if isinstance(image, Image.Image):
            image.save(stream, "PNG", optimize=True)
        else:
            image.savefig(stream, format="png")
            kind = "" if any(axes.images for axes in image.axes) else ' class="plot"'
        (self.folder / f"{name}.png").write_bytes(stream.getvalue())
        self._bytes += len(stream.getvalue())
        source, loaded = f"{name}.png", ' loading="lazy"'
        if self._bytes <= FULL:
            loaded = ""  # at once: one that waits until it is scrolled to might not be printed
            source = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
        self._parts.append(f'<a href="{name}.png"><img{kind} src="{source}" alt="{escape(described)}"{loaded}></a>')

    def write(self) -> Path:
        """Write the page; unless it is full, it needs no other file."""
        path = self.folder / PAGE
        path.write_text(
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title>"
            f"<style>{_STYLE}</style></head>\n<body><h1>{escape(self.title)}</h1>\n"
            + "\n".join(self._parts)
            + "\n</body></html>\n",
            encoding="utf-8",
        )
        return path


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
