"""The routes of a configuration file as text: taken out, changed and put back, with what else is written there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from node.config.routes_section import (
    MOST_ALIASES,
    NoRoutes,
    RoutesSection,
    routes_in,
    with_route,
    without_route,
)

FILE = """\
node: {data: data}

# what runs on what
routes:
  knee:  # thick slices
    when: {Modality: MR}
    pipeline: knee_super_resolution
    destinations: [out]

  # for the hand clinic
  hands:
    when: {Modality: DX}  # radiographs
    pipeline: hand_foot_scoring
    destinations: [out]

# where to
destinations:
  out: {kind: folder, path: out}
"""


def section(tmp_path: Path, text: str = FILE) -> RoutesSection:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return RoutesSection.of(path)


def test_the_section_is_taken_out_and_put_back_as_it_was(tmp_path: Path) -> None:
    found = section(tmp_path)
    assert found.text.startswith("routes:\n  knee:")
    assert found.text.endswith("destinations: [out]\n")
    assert found.lines_before == 3
    assert found.whole(found.text) == FILE


def test_a_file_without_routes_gets_them_at_its_end(tmp_path: Path) -> None:
    found = section(tmp_path, "node: {data: data}")
    assert routes_in(found.text) == {}
    whole = found.whole(with_route(found.text, "a", {"when": {"Modality": "MR"}, "pipeline": "p"}))
    assert yaml.safe_load(whole) == {
        "node": {"data": "data"},
        "routes": {"a": {"when": {"Modality": "MR"}, "pipeline": "p"}},
    }


def test_one_route_is_replaced_and_the_lines_of_others_stay(tmp_path: Path) -> None:
    found = section(tmp_path)
    values = {**routes_in(found.text)["knee"], "when": {"Modality": ["MR", "CT"], "EchoTime": {"min": 5}}}
    text = with_route(found.text, "knees", values, before="knee")
    assert "  # for the hand clinic\n  hands:\n    when: {Modality: DX}  # radiographs\n" in text
    assert routes_in(text) == {"knees": values, "hands": routes_in(found.text)["hands"]}


def test_a_new_route_comes_last_and_one_can_be_taken_out(tmp_path: Path) -> None:
    found = section(tmp_path)
    text = with_route(found.text, "new", {"when": {"Modality": "US"}, "pipeline": "p", "destinations": []})
    assert list(routes_in(text)) == ["knee", "hands", "new"]
    assert "# thick slices" in text
    text = without_route(without_route(without_route(text, "knee"), "new"), "hands")
    assert routes_in(text) == {}


def test_routes_in_brackets_are_written_anew(tmp_path: Path) -> None:
    text = with_route("routes: {a: {pipeline: p}}", "b", {"pipeline": "q"})
    assert routes_in(text) == {"a": {"pipeline": "p"}, "b": {"pipeline": "q"}}
    assert routes_in(without_route(text, "a")) == {"b": {"pipeline": "q"}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1: is empty; should begin with a line 'routes:', below which the routes stand, indented"),
        ("knee: {}\n", "1: should begin with a line 'routes:'"),
        ("routes: 3\n", "1: routes: should be a section"),
        ("routes: {}\npeers: {}\n", "2: peers: only routes are changed here"),
        ("routes:\n  a: [\n", "3: : a bracket is not closed"),
        ("routes:\n  a: {}\n  a: {}\n", "3: routes.a: the key is there already, on line 2"),
        (f"routes:\n  a: &a {{}}\n  b: [{'*a, ' * (MOST_ALIASES + 1)}]\n", "1: has more than 16 aliases"),
    ],
)
def test_what_is_no_section_of_routes_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(NoRoutes) as error:
        routes_in(text)
    assert str(error.value).startswith(told)
