"""Which joint a header names."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from pipelines.joint_classification.joints import joint, refusal


# ---- names
@pytest.mark.parametrize(
    ("description", "laterality", "label"),
    [
        ("MCP2 dorsal long", "L", "L MCP2"),
        ("RIGHT PIP III", "", "R PIP3"),
        ("mcp_4 left", "", "L MCP4"),
        ("hand", "R", "R joint"),
        ("L12-5 MSK", "", "joint"),
    ],
)
def test_the_joint_is_read_from_the_descriptions(description: str, laterality: str, label: str) -> None:
    header = Dataset()
    header.SeriesDescription, header.Laterality = description, laterality
    named = joint(header)
    assert named.label == label
    assert (named.site is None) is (label.endswith("joint"))


@pytest.mark.parametrize("part", ["LT HAND", "FINGERS", "MANO", "HANDGELENK", "EXTREMITY", "QX7", ""])
def test_an_image_that_may_show_a_finger_is_read(part: str) -> None:
    header = Dataset()
    header.BodyPartExamined = part
    assert refusal(header) is None


def test_an_image_of_another_part_is_refused_by_its_words() -> None:
    header = Dataset()
    header.BodyPartExamined = "GENOU"
    assert refusal(header) == "the header says GENOU, not a hand"


def test_the_side_of_a_joint_is_that_of_its_image_not_of_the_series() -> None:
    header = Dataset()
    header.SeriesDescription, header.ImageComments = "HANDS R", "MCP 2 LEFT"
    assert joint(header).label == "L MCP2"
