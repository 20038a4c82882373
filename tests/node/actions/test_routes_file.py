"""The routes of a configuration file are replaced, and nothing else in it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.actions.routes_file import ChangedMeanwhile, RoutesFile
from node.config import read
from node.config.routes_section import RoutesSection
from node.database.tables import ROUTES_CHANGED
from node.errors import ConfigurationError
from tests.node.actions.acting import Acting

HEAD = "# our node\nnode: {data: data}   # beside this file\n\n# who gets what\n"
ROUTES = """routes:
  knee:  # the knees
    when: {Modality: MR}
    pipeline: knee_super_resolution
    destinations: [out]
"""
TAIL = "\n# where to\ndestinations:\n  out: {kind: folder, path: out}\n  more: {kind: folder, path: more}\n"
NEW = """routes:
  # fewer
  knees:
    when: {Modality: MR, BodyPartExamined: KNEE}
    pipeline: knee_super_resolution
    destinations: [more]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + ROUTES + TAIL)
    path.chmod(0o640)
    return path


@pytest.fixture
def routes(file: Path, act: Acting) -> RoutesFile:
    return RoutesFile(file, act.database)


def test_only_the_routes_are_replaced_and_the_file_before_is_kept(file: Path, routes: RoutesFile, act: Acting) -> None:
    before = file.read_text()
    digest = RoutesSection.of(file).digest
    kept = routes.apply(NEW, "kim", seen=digest)
    assert file.read_text() == HEAD + NEW + TAIL
    assert kept.read_text() == before
    assert kept.name.startswith("config.yaml.20")
    assert {one.stat().st_mode & 0o777 for one in (file, kept)} == {0o640}
    assert list(read(file).routes) == ["knees"]
    ((what, who, detail),) = act.audited()
    assert (what, who) == (ROUTES_CHANGED, "kim")
    assert detail["change"] == {"before": digest, "after": RoutesSection.of(file).digest, "kept_as": kept.name}


def test_routes_without_their_heading_and_as_plain_values_are_taken_too(file: Path, routes: RoutesFile) -> None:
    content = "\n".join(line.removeprefix("  ") for line in NEW.split("\n")[1:])
    routes.apply(content, "kim", seen=RoutesSection.of(file).digest)
    assert file.read_text() == HEAD + NEW + TAIL
    plain = {
        "feet": {"when": {"Modality": "DX"}, "level": "study", "pipeline": "hand_foot_scoring", "destinations": ["out"]}
    }
    routes.apply(plain, "kim", seen=RoutesSection.of(file).digest)
    assert list(read(file).routes) == ["feet"]
    routes.apply({}, "kim", seen=RoutesSection.of(file).digest)
    assert read(file).routes == {}
    assert file.read_text() == f"{HEAD}routes: {{}}\n{TAIL}"


def test_a_file_without_routes_is_given_some(file: Path, routes: RoutesFile) -> None:
    file.write_text(HEAD + TAIL)
    routes.apply(NEW, "kim", seen=RoutesSection.of(file).digest)
    assert file.read_text() == f"{HEAD}{TAIL}{NEW}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "routes:\n  knee: {when: {}, pipeline: nothing, destinations: [out]}\n",
            r"config.yaml:\d+: routes.knee.pipeline",
        ),
        ("routes:\n  knee: {when: {}, pipeline: knee_super_resolution, destinations: [nowhere]}\n", "no destination"),
        ("routes: [a, b]\n", "routes"),
        ("routes: {a: [\n", "is not YAML"),
        ("just words", "should be routes by name"),
        ("routes: {}\npeers: {}\n", "routes.peers"),
    ],
)
def test_routes_that_cannot_be_used_change_nothing(file: Path, routes: RoutesFile, text: str, told: str) -> None:
    before, digest = file.read_text(), RoutesSection.of(file).digest
    with pytest.raises(ConfigurationError, match=told):
        routes.apply(text, "kim", seen=digest)
    assert file.read_text() == before
    assert [one.name for one in file.parent.iterdir() if one.is_file()] == ["config.yaml"], "nothing is left beside it"


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(file: Path, routes: RoutesFile) -> None:
    digest = RoutesSection.of(file).digest
    file.write_text(f"{file.read_text()}# by somebody else\n")
    with pytest.raises(ChangedMeanwhile, match="has been changed since"):
        routes.apply(NEW, "kim", seen=digest)
    assert file.read_text().endswith("# by somebody else\n")


def test_a_link_to_the_file_stays_one(file: Path, act: Acting) -> None:
    link = file.parent / "link.yaml"
    link.symlink_to(file)
    routes = RoutesFile(link, act.database)
    routes.apply(NEW, "kim", seen=RoutesSection.of(file).digest)
    assert link.is_symlink()
    assert file.read_text() == HEAD + NEW + TAIL


def test_a_file_in_brackets_is_left_to_be_changed_by_hand(file: Path, routes: RoutesFile) -> None:
    file.write_text('{"node": {"data": "data"}, "destinations": {"more": {"kind": "folder", "path": "more"}}}')
    with pytest.raises(ConfigurationError, match="written with brackets"):
        routes.apply(NEW, "kim", seen=RoutesSection.of(file).digest)
