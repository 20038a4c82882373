"""Tiles that cover what is not air."""

from __future__ import annotations

import torch

from pipelines.knee_super_resolution import tiles
from pipelines.knee_super_resolution.tiles import box_of, boxes_of, content, side_by_side, widened

torch.set_num_threads(1)


def weight() -> torch.Tensor:
    """Two islands."""
    made = torch.zeros(30, 40)
    made[3:9, 5:7] = 1
    made[20:28, 30:39] = 0.5
    return made


def test_a_box_holds_all_that_has_weight() -> None:
    assert box_of(weight()) == (3, 28, 5, 39)
    assert box_of(torch.zeros(4, 4)) is None


def test_tiles_cover_what_has_weight_once_and_leave_out_air() -> None:
    times = torch.zeros(30, 40)
    for top, bottom, left, right in boxes_of(weight(), (10, 10)):
        times[top:bottom, left:right] += 1
    assert int(times.max()) == 1
    assert bool((times[weight() > 0] == 1).all())
    assert int(times[:, 10:28].sum()) == 0
    assert boxes_of(torch.zeros(4, 4), (2, 2)) == []


def test_a_wider_box_ends_with_the_picture() -> None:
    assert widened((3, 28, 5, 39), 4, 30, 40) == (0, 30, 1, 40)


def test_content_is_soft_at_its_edge_and_nothing_in_air() -> None:
    thick = torch.zeros(3, 40, 40)
    thick[1, 20, 20] = 1
    found = content(thick)
    assert float(found[20, 20]) == 1
    assert 0 < float(found[20, 20 + tiles.MARGIN + 1]) < 1
    assert float(found[20, 20 + 2 * tiles.MARGIN]) == 0


def test_threads_give_their_answers_in_the_order_of_the_questions() -> None:
    torch.set_num_threads(3)
    try:
        assert side_by_side(lambda each: (each * 2, torch.get_num_threads()), range(9)) == [
            (each * 2, 1) for each in range(9)
        ]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
