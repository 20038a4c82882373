"""What may be meant by the beginning of a word, where the cursor stands."""

from __future__ import annotations

import pytest

from node.config import Configuration
from node.status.completions import MOST, in_text, of_field

CONFIGURATION = Configuration.model_validate(
    {
        "destinations": {"pacs": {"kind": "folder", "path": "/x"}, "paper": {"kind": "folder", "path": "/y"}},
        "routes": {"knee": {"when": {}, "pipeline": "knee_super_resolution", "destinations": []}},
    }
)
TEXT = """\
routes:
  knee:
    when:
      Modality: MR
      any_of:
        - series.body_part: knee
    pipeline: knee_super_resolution
    settings:
      method: learned
    destinations: []
"""


def words(text: str) -> list[str]:
    """What is offered at the mark in a text."""
    at = text.index("|")
    return [one.word for one in in_text(text.replace("|", ""), at, CONFIGURATION)[1]]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("Modality: MR", "Slice|", "SliceThickness"),
        ("Modality: MR", "series.thi|", "series.thickness_mm"),
        ("Modality: MR", "thicknessgrad|", None),
        ("Modality: MR", "thickness|", "series.thickness_mm"),
        ("Modality: MR", "Modality: D|", "DX"),
        ("- series.body_part: knee", "- series.body_part: an|", "hand"),
        ("- series.body_part: knee", "- Receive|", "ReceiveCoilName"),
        ("    pipeline: knee_super_resolution", "    pipeline: hand|", "hand_foot_scoring"),
        ("    pipeline: knee_super_resolution", "    pri|", "priority"),
        ("method: learned", "spac|", "spacing"),
        ("destinations: []", "destinations: [pap|", "paper"),
        ("destinations: []", "level: st|", "study"),
    ],
)
def test_what_fits_the_place_is_offered(before: str, after: str, expected: str | None) -> None:
    found = words(TEXT.replace(before, after, 1))
    assert (expected in found) if expected else not found


def test_the_beginning_of_the_word_is_what_is_replaced() -> None:
    typed, found = in_text("routes:\n  a:\n    when:\n      SliceTh", 38, CONFIGURATION)
    assert typed == "SliceTh"
    assert (found[0].word, found[0].after) == ("SliceThickness", ": ")


def test_no_more_is_offered_than_can_be_looked_through() -> None:
    assert len(of_field("when", "a", "", CONFIGURATION)) == MOST
    assert len(of_field("when", "", "", CONFIGURATION)) == MOST


def test_fields_of_the_form_are_completed_too() -> None:
    assert of_field("when", "SeriesDesc", "", CONFIGURATION)[0].word == "SeriesDescription"
    assert "method" in [one.word for one in of_field("settings", "", "knee_super_resolution", CONFIGURATION)]
    assert of_field("settings", "x", "no_pipeline", CONFIGURATION) == []
