"""What lies in a folder, and whether one folder lies in another, whatever names they have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.files import remove_folder
from node.folders import LINK, OWN_FOLDER, files_below, is_same, lies_in, no_file
from tests.deep_folders import make_deep


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder a with a/b and a/b/file, a2 beside it, and links to both."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    (tmp_path / "a2").mkdir()
    (tmp_path / "to-a").symlink_to("a")
    (tmp_path / "a2" / "to-file").symlink_to("../a/b/file")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("a", "a", True),
        ("a/b/file", "a", True),
        ("a/none/deeper", "a", True),
        ("a", "a/b", False),
        ("a2", "a", False),
        ("to-a", "a", True),
        ("a/b", "to-a", True),
        ("a2/to-file", "a", True),
        ("a2/../a/b", "a", True),
        ("none", "a", False),
        ("a", "none", False),
        ("a/b", "", True),
    ],
)
def test_a_folder_lies_in_another_by_any_name(top: Path, path: str, folder: str, expected: bool) -> None:
    assert lies_in(top / path, top / folder) is expected


def test_a_folder_that_is_mounted_elsewhere_too_is_the_same_one(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat, mounted = Path.stat, top / "a2"

    def as_mounted(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        return stat(top / "a" / "b" if self == mounted else self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", as_mounted)  # as after: mount --bind a/b a2
    assert lies_in(mounted / "file", top / "a")
    left: list[tuple[Path, str]] = []
    assert list(files_below(top, lambda *one: left.append(one), top / "a")) == []
    assert sorted(left) == [(top / "a", OWN_FOLDER), (top / "a2", OWN_FOLDER), (top / "to-a", LINK)]


def test_files_come_in_order_and_the_rest_is_told(top: Path) -> None:
    os.mkfifo(top / "a" / "pipe")
    (top / "z").touch()
    (top / "b").touch()
    (top / "nowhere").symlink_to("none")
    left: dict[Path, str] = {}
    found = files_below(top, left.__setitem__)
    assert [str(path.relative_to(top)) for path in found] == ["b", "z", "a/b/file"]
    assert left == {
        top / "to-a": LINK,
        top / "nowhere": LINK,
        top / "a2" / "to-file": LINK,
        top / "a" / "pipe": "is a pipe, and only files are read",
    }
    assert list(files_below(top / "to-a" / "b", left.__setitem__)) == [top / "to-a" / "b" / "file"]


def test_what_lies_deep_costs_nothing_beside_it_and_is_told_where_no_path_leads_to_it(top: Path) -> None:
    left: list[str] = []
    deep = top / "deep"
    make_deep(top, 1500)
    (deep / Path(*["deep"] * 700) / "file").touch()
    (top / "z").touch()
    try:
        found = list(files_below(top, lambda _path, reason: left.append(reason)))
    finally:
        remove_folder(deep)
    assert [path.name for path in found] == ["z", "file", "file"]
    assert left.count(LINK) == 2
    assert [reason for reason in left if reason != LINK] == ["cannot be read: File name too long"]


def test_only_what_is_there_is_the_same(top: Path) -> None:
    assert is_same(top / "a", top / "to-a")
    assert not is_same(top / "a", top / "a2")
    assert not is_same(top / "none", top / "none")


def test_a_device_is_no_file(top: Path) -> None:
    assert no_file(os.stat("/dev/null").st_mode) == "is a device, and only files are read"
    assert no_file((top / "a").stat().st_mode) == no_file((top / "a" / "b" / "file").stat().st_mode) == ""
