"""Whoever changes, removes, replaces or inserts a line of the files is found out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from node.audit import chain as chains
from node.audit.chain import Chain, Link, verify
from tests.node.audit.conftest import NOW


def filled(data: Path, count: int = 6) -> tuple[Chain, list[Link]]:
    chain, links = Chain(data), list[Link]()
    for number in range(count):
        links.append(Link.after(links[-1] if links else None, NOW, f"<m n='{number}'/>", 100 + number))
    chain.append(links)
    return chain, links


def changed(data: Path, change: Callable[[list[str]], list[str]]) -> list[str]:
    """What looking at the files says after their lines were changed."""
    chain, links = filled(data)
    (path,) = chain.files()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(change(lines)), encoding="utf-8")
    return verify(chain, head=(links[-1].number, links[-1].digest)).problems


def test_lines_as_they_were_written_are_whole(tmp_path: Path) -> None:
    chain, links = filled(tmp_path)
    found = verify(chain, head=(6, links[-1].digest), contains=links[2].digest)
    assert (found.count, found.problems, found.holds) == (6, [], True)
    assert found.first == links[0]
    assert found.last == links[-1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [one.replace("n='2'", "n='9'") for one in lines], "line 3 was changed: its digest is another"),
        (lambda lines: lines[:2] + lines[3:], "line 4 follows line 2: lines were removed, or inserted"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "line 3 follows line 3: lines were removed, or inserted"),
        (lambda lines: [*lines[:2], "{}\n", *lines[3:]], "line 3: is no line of an audit trail"),
        (lambda lines: lines[:4], "line 6 was written, and the last one that is there is line 4: the end is missing"),
        (lambda lines: [], "line 6 was written, and the last one that is there is line 0: the end is missing"),
    ],
    ids=["changed", "removed", "inserted", "spoilt", "cut", "emptied"],
)
def test_a_change_is_told_with_its_place(tmp_path: Path, change: Callable[[list[str]], list[str]], said: str) -> None:
    assert any(said in problem for problem in changed(tmp_path, change))


def test_a_whole_chain_that_was_written_anew_is_not_the_one_that_the_database_knows(tmp_path: Path) -> None:
    chain, links = filled(tmp_path)
    (path,) = chain.files()
    forged: list[Link] = []
    for link in links:
        forged.append(Link.after(forged[-1] if forged else None, link.at, link.message.replace("'3'", "'0'"), link.row))
    path.write_text("".join(f"{one.text()}\n" for one in forged), encoding="utf-8")
    found = verify(chain, head=(6, links[-1].digest), contains=links[-1].digest)
    assert len(found.problems) == 1
    assert "another line 6 than the one that was written" in found.problems[0]
    assert not found.holds
    assert verify(chain).problems == []  # by itself it looks whole


def test_lines_go_on_in_another_file_when_one_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "LARGEST_BYTES", 300)
    chain, links = Chain(tmp_path), list[Link]()
    for number in range(5):
        links.append(Link.after(links[-1] if links else None, NOW, f"<m n='{number}'/>", number))
        chain.append(links[-1:])
    assert len(chain.files()) > 1
    assert [link.number for link in chain.after(2)] == [3, 4, 5]
    assert list(chain.after(0)) == links
    assert verify(chain).problems == []


def test_a_line_that_was_cut_off_while_it_was_written_is_taken_away(tmp_path: Path) -> None:
    chain, links = filled(tmp_path)
    with chain.files()[0].open("a", encoding="utf-8") as file:
        file.write('{"number": 7, "at"')
    assert chain.last() == links[-1]
    assert verify(chain, head=(6, links[-1].digest)).problems == []


def test_old_files_are_deleted_and_the_last_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "LARGEST_BYTES", 1)
    chain, links = Chain(tmp_path), list[Link]()
    for number in range(3):
        links.append(Link.after(links[-1] if links else None, NOW, "<m/>", number))
        chain.append(links[-1:])
    assert chain.remove_before(NOW - timedelta(days=9000)) == 0
    assert chain.remove_before(NOW + timedelta(days=9000)) == 2
    assert verify(chain, head=(3, links[-1].digest)).problems == []  # what is left belongs together


def test_the_files_are_the_nodes_alone(tmp_path: Path) -> None:
    chain, _ = filled(tmp_path)
    assert chain.files()[0].stat().st_mode & 0o077 == 0
