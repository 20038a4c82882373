"""Tiles that cover what is not air, and the work on them side by side.

Tiles are worked on one thread each. Threads that share the work of one convolution wait for one another after every
layer, and spin while they wait: where another process takes a core, both cores are lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

AIR = 0.02  # of the scaled intensity: columns that never exceed it hold nothing
MARGIN = 4  # pixels round what is not air

Box = tuple[int, int, int, int]  # top, bottom, left, right
Given = TypeVar("Given")
Made = TypeVar("Made")


def side_by_side(work: Callable[[Given], Made], given: Iterable[Given]) -> list[Made]:
    """What `work` makes of each, in as many threads as torch would use, each of which computes alone."""
    lanes, each = torch.get_num_threads(), list(given)
    if lanes == 1 or len(each) < 2:
        return [work(one) for one in each]

    def alone(one: Given) -> Made:
        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)  # of this thread, which has just begun
        with torch.inference_mode():
            return work(one)

    try:
        with ThreadPoolExecutor(min(lanes, len(each))) as pool:
            return list(pool.map(alone, each))
    finally:
        torch.set_num_threads(lanes)  # what threads that begin later start from


def box_of(weight: Tensor) -> Box | None:
    """The smallest box that holds every weight (H, W) above zero."""
    rows = torch.nonzero(weight.amax(dim=1) > 0)[:, 0]
    columns = torch.nonzero(weight.amax(dim=0) > 0)[:, 0]
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def boxes_of(weight: Tensor, tile: tuple[int, int]) -> list[Box]:
    """Tiles that cover what has weight (H, W), each cut down to what is not air."""
    whole = box_of(weight)
    if whole is None:
        return []
    boxes = []
    for top in range(whole[0], whole[1], tile[0]):
        for left in range(whole[2], whole[3], tile[1]):
            bottom, right = min(top + tile[0], whole[1]), min(left + tile[1], whole[3])
            found = box_of(weight[top:bottom, left:right])
            if found is not None:
                boxes.append((top + found[0], top + found[1], left + found[2], left + found[3]))
    return boxes


def content(thick: Tensor) -> Tensor:
    """How much a column of voxels is worth working on, 0 in air to 1, with soft edges: (C, H, W) to (H, W)."""
    inside = (thick.abs().amax(dim=0) > AIR).float()[None, None]
    grown = functional.max_pool2d(inside, 2 * MARGIN + 1, stride=1, padding=MARGIN)
    soft = functional.avg_pool2d(grown, MARGIN + 1, stride=1, padding=MARGIN // 2, count_include_pad=False)
    return soft[0, 0]


def widened(box: Box, margin: int, height: int, width: int) -> Box:
    """The box with a margin, as far as a picture of that height and width goes."""
    top, bottom, left, right = box
    return max(top - margin, 0), min(bottom + margin, height), max(left - margin, 0), min(right + margin, width)
