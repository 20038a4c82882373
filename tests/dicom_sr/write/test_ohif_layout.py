"""Labels lie apart: worked out from how OHIF draws, on screens of several sizes."""

from __future__ import annotations

from itertools import combinations

import pytest

from dicom_sr.write.ohif_layout import Box, Leader, leaders

ROWS, COLUMNS = 900, 720
LETTER, LINE = 8.4, 18.0  # as OHIF 3.13.2 draws them, screen pixels
SHIFT = (25.0, 28.0)
# a hand: joints of fingers far apart, and bones of the wrist one on the other
FINGERS = [(233, 424), (327, 402), (411, 425), (489, 464), (134, 524), (209, 287), (323, 248), (428, 279), (534, 348)]
WRIST = [(x, y) for x in (230, 268, 306, 344) for y in (620, 655, 690, 725)]
SQUARES = [Box(x, y, x + 50, y + 50) for x, y in (*FINGERS, *WRIST)]
LABELS = [f"MCP{number} E{number % 5} J{number % 4}" for number in range(len(SQUARES))]


def text_boxes(placed: list[Leader], labels: list[str], window: tuple[int, int]) -> list[Box]:
    """Where the labels are, in screen pixels, in a viewport of so many columns and rows."""
    scale = min(window[0] / COLUMNS, window[1] / ROWS)
    boxes = []
    for leader, label in zip(placed, labels, strict=True):
        left, top = (at * scale + shift for at, shift in zip(leader.label_at, SHIFT, strict=True))
        boxes.append(Box(left, top, left + len(label) * LETTER, top + LINE))
    return boxes


@pytest.mark.parametrize("window", [(1100, 800), (1590, 1020), (2400, 1300)])
def test_no_label_covers_another_however_near_the_findings_are(window: tuple[int, int]) -> None:
    boxes = text_boxes(leaders(SQUARES, LABELS, (ROWS, COLUMNS)), LABELS, window)
    assert [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])] == []


def test_a_leader_goes_from_its_label_to_the_edge_of_its_square_and_all_points_lie_on_the_image() -> None:
    for leader, square in zip(leaders(SQUARES, LABELS, (ROWS, COLUMNS)), SQUARES, strict=True):
        assert leader.square == square
        assert square.grown_by(0.01).holds(leader.tip)
        assert not square.holds(leader.tail)
        assert leader.outline[:2] == [leader.tip, leader.tail]
        assert set(square.corners) <= set(leader.outline)
        for x, y in [*leader.outline, leader.label_at]:
            assert 0 <= x <= COLUMNS
            assert 0 <= y <= ROWS


def test_what_is_said_of_the_whole_image_stands_in_lines_at_its_left_edge() -> None:
    whole = Box(0, 0, COLUMNS, ROWS)
    labels = ["R hand E13 J7", "SvH total 56 (37 to 74), partial", "SvH change +19"]
    placed = leaders([whole] * 3, labels, (ROWS, COLUMNS))
    assert [leader.square for leader in placed] == [None] * 3
    assert {leader.tip[0] for leader in placed} == {0.0}
    boxes = text_boxes(placed, labels, (1590, 1020))
    assert [a.overlaps(b) for a, b in combinations(boxes, 2)] == [False] * 3


def test_the_same_findings_get_the_same_places() -> None:
    assert leaders(SQUARES, LABELS, (ROWS, COLUMNS)) == leaders(SQUARES, LABELS, (ROWS, COLUMNS))


def test_an_outline_without_any_width_is_no_trouble() -> None:
    (leader,) = leaders([Box(10, 10, 10, 10)], ["x"], (1, 100))
    assert leader.square == Box(10, 10, 10, 10)
