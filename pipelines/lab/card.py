"""Model cards: sections between marks, written from what was measured and never by hand."""

from __future__ import annotations

from pathlib import Path


def write_section(card: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of a section; the section is added at the end where it is missing.

    Parameters
    ----------
    card
        The file, which need not exist yet.
    name
        Of the section, as its marks have it.
    text
        Markdown.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    whole = card.read_text(encoding="utf-8") if card.exists() else ""
    block = f"{begin}\n{text.strip()}\n{end}"
    if begin in whole and end in whole:
        before, rest = whole.split(begin, 1)
        whole = before + block + rest.split(end, 1)[1]
    else:
        whole = f"{whole.rstrip()}\n\n{block}\n"
    card.write_text(whole, encoding="utf-8")
