"""Results as HTML: one in a notebook, and all of a folder as a page. Nothing of it names a patient but the captures."""

from __future__ import annotations

import base64
import errno
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from dicom_sr.words import escaped
from node.local.saving import read_summary

INDEX = "index.html"
GENERATOR = '<meta name="generator" content="condyle run">'
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; max-width: 75rem; color: #222; background: #fff; }
section { border-top: 1px solid #ccc; padding: .5rem 0 1rem; }
h2 { font-size: 1.1rem; margin: .5rem 0; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; margin: .25rem 0; }
.done { color: #176b2c; } .unsuitable { color: #8a5a00; } .failed { color: #a11; }
"""


def inline(png: bytes) -> str:
    """The address of a picture that stands in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def fragment(summary: Mapping[str, object], pictures: Sequence[str]) -> str:
    """One result: what it is about, its state, what it says, and its captures.

    Parameters
    ----------
    summary
        As `summary.json` has it.
    pictures
        Addresses of the captures.
    """
    state, reason = str(summary["state"]), str(summary["reason"])
    why = f": {_text(reason)}" if reason else ""
    shown = "".join(f'<img src="{escape(picture)}" alt="capture {n}">' for n, picture in enumerate(pictures, start=1))
    return (
        f"<section><h2>{_text(summary['pipeline'])}: {_text(summary['about'])}</h2>"
        f'<p><strong class="{escape(state)}">{_text(state)}</strong>{why}</p>'
        f"{_list(summary.get('conclusion'))}{_list(summary.get('limits'))}{shown}</section>"
    )


def _text(value: object) -> str:
    return escape(escaped(str(value)))


def _list(lines: object) -> str:
    if not isinstance(lines, list | tuple) or not lines:
        return ""
    return f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>"


def write_index(folder: Path) -> Path:
    """Write a page that shows every result in a folder, those of earlier runs too; returns it.

    Raises
    ------
    FileExistsError
        If there is a page of that name that is none of ours.
    OSError
        If it cannot be written.
    """
    require_index(folder)
    sections = []
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        summary = read_summary(inner)
        if summary is not None:
            captures = summary.get("captures")
            names = captures if isinstance(captures, list) else []
            sections.append(fragment(summary, [quote(f"{inner.name}/{name}") for name in names]))
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{GENERATOR}<title>Results</title>'
        f"<style>{_STYLE}</style></head><body><h1>Results</h1>"
        f"<p>Research use only. Not for diagnosis.</p>{''.join(sections)}</body></html>\n"
    )
    path, part = folder / INDEX, folder / f".{INDEX}.part"
    part.write_text(page, encoding="utf-8", errors="replace")
    part.replace(path)
    return path


def require_index(folder: Path) -> None:
    """Make sure that the page of a folder may be written.

    Raises
    ------
    FileExistsError
        If there is a page of that name that is none of ours.
    """
    try:
        ours = GENERATOR in (folder / INDEX).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    if not ours:
        raise FileExistsError(errno.EEXIST, f"holds {INDEX}, which is not replaced", str(folder))
