"""Which joint a header names."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from pipelines.joint_classification.joints import joint


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
