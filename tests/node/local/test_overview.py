"""The page of a folder shows every result in it, and nothing that a header or a file's name smuggles in."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from node.local.overview import fragment, inline, write_index
from node.local.saving import Content, save

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e"


def saved(folder: Path, name: str, **summary: object) -> None:
    common = {"state": "done", "reason": "", "pipeline": "p", "folder": name, "about": "MR series 1.2"}
    save(Content(name, {**common, **summary}, captures=(b"png",)), folder)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pictures: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.pictures += [str(value) for name, value in attributes if name == "src"]


def test_the_page_shows_the_results_of_every_run_into_the_folder(tmp_path: Path) -> None:
    saved(tmp_path, "a b", conclusion=["A mean of 3."], limits=["Not for clinical use."])
    write_index(tmp_path)
    saved(tmp_path, "c", state="unsuitable", reason="needs an MR series")
    (tmp_path / "other").mkdir()
    text = write_index(tmp_path).read_text()
    for told in ("A mean of 3.", "Not for clinical use.", "needs an MR series", "MR series 1.2"):
        assert told in text
    assert Page(text).pictures == ["a%20b/captures/capture-1.png", "c/captures/capture-1.png"]


def test_nothing_of_others_becomes_markup_or_moves_text(tmp_path: Path) -> None:
    summary = {"state": "failed", "reason": HOSTILE, "pipeline": "p", "about": HOSTILE, "limits": [HOSTILE]}
    text = fragment(summary, ["a"])
    assert "script" not in Page(text).tags
    assert not {"\x1b", "\u202e"} & set(text)


def test_a_page_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html>my page</html>")
    with pytest.raises(FileExistsError) as refused:
        write_index(tmp_path)
    assert refused.value.strerror == "holds index.html, which is not replaced"
    assert (tmp_path / "index.html").read_text() == "<html>my page</html>"


def test_a_picture_in_the_page_itself_is_its_bytes() -> None:
    assert inline(b"\x89PNG") == "data:image/png;base64,iVBORw=="
