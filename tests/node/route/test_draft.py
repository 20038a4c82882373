"""Routes that are being written: their mistakes with lines, and the configuration that they would make."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.config.routes_section import RoutesSection
from node.route.draft import draft

FILE = """\
node: {data: data}
destinations: {out: {kind: folder, path: out}}
routes:
  knee:
    when: {Modality: MR}
    pipeline: knee_super_resolution
    settings: {method: learned}
    destinations: [out]
"""


@pytest.fixture
def section(tmp_path: Path) -> RoutesSection:
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    return RoutesSection.of(path)


def test_routes_that_are_right_make_a_configuration(section: RoutesSection) -> None:
    said = draft(section, section.text.replace("MR", "CT").replace("\n", "\r\n"))
    assert said.configuration is not None
    assert said.configuration.routes["knee"].when == {"Modality": "CT"}
    assert (said.mistakes, said.doubts) == ((), ())


@pytest.mark.parametrize(
    ("before", "after", "line", "key", "told"),
    [
        ("Modality", "Modalty", 3, "routes.knee.when.Modalty", "did you mean 'Modality'?"),
        ("learned", "learnt", 5, "routes.knee.settings.method", "'learnt': should be one of"),
        ("[out]", "[pacs]", 6, "routes.knee.destinations.0", "'pacs': no destination is called so; there are: out"),
        ("knee_super_resolution", "knee", 4, "routes.knee.pipeline", "no pipeline is called 'knee'"),
        ("    settings", "    setings", 5, "routes.knee.setings", "did you mean 'settings'?"),
        ("{method", "[method", 5, "routes", "the bracket [ is not closed"),
    ],
)
def test_a_mistake_is_told_with_its_line_its_key_its_value_and_what_would_be_right(
    section: RoutesSection, before: str, after: str, line: int, key: str, told: str
) -> None:
    said = draft(section, section.text.replace(before, after))
    assert said.configuration is None
    assert (said.mistakes[0].line, said.mistakes[0].key) == (line, key)
    assert told in said.mistakes[0].sentence


def test_what_is_doubtful_is_told_and_hinders_nothing(section: RoutesSection) -> None:
    said = draft(section, section.text.replace("{Modality: MR}", "{}"))
    assert said.configuration is not None
    (doubt,) = said.doubts
    assert (doubt.line, doubt.key, doubt.sentence) == (3, "routes.knee.when", "is empty: every series matches")


def test_mistakes_elsewhere_in_the_file_are_no_mistakes_of_the_routes(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(FILE.replace("node: {data: data}", "node: {dta: data}"))
    section = RoutesSection.of(path)
    assert draft(section, section.text).mistakes == ()
