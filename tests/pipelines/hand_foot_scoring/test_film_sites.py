"""A site on its picture: the square round the joint and the text at it."""

from __future__ import annotations

import re

import numpy as np

from dicom_sr.findings import Result
from pipelines.hand_foot_scoring import codes
from pipelines.hand_foot_scoring.film_sites import cells_of


def test_squares_are_closed_and_as_large_as_each_other_on_one_limb(example_result: Result) -> None:
    hand = [
        f for f in example_result.findings if f.finding == codes.SVH_JOINT and f.tracking_id.startswith("SvH R MCP")
    ]
    assert len(hand) == 5
    sides = []
    for finding in hand:
        assert finding.region is not None
        outline = finding.region.outline
        np.testing.assert_array_equal(outline[0], outline[-1])
        sides.append(np.ptp(outline, axis=0))
    np.testing.assert_allclose(sides, np.full((5, 2), sides[0][0]), atol=1e-6)


def test_the_text_at_a_joint_names_it_and_its_grades(example_result: Result) -> None:
    labels = {f.tracking_id: f.image_label for f in example_result.findings if f.finding == codes.SVH_JOINT}
    assert re.fullmatch(r"MCP2 E\d J\d", labels["SvH R MCP2"])
    assert re.fullmatch(r"IP1 E\d", labels["SvH R IP1 hand"])  # the thumb has no narrowing score there
    assert re.fullmatch(r"IP1 E\d+ J\d", labels["SvH R IP1 foot"])


def test_without_a_limb_there_is_no_cell() -> None:
    assert cells_of(()) == []
