"""Where OHIF is to write the labels of a report, so that none covers another.

OHIF writes in letters of a fixed size on the screen and moves no label out of another's way, so each finding gets a
place for its label and an arrow from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import cos, hypot, inf, pi, sin

# All lengths are pixels of a screen on which the viewport is this small: on a larger one labels lie further apart
_CANVAS = (1100.0, 800.0)  # width and height
_SHIFT = (25.0, 28.0)  # from where OHIF is told to write to the upper left of the text
_LETTER, _LINE = 8.8, 22.0  # width of a letter, and height of a line with the space round it
_RING = 9.0  # radius of the ring that OHIF draws at a corner, with some space round it
_LARGER = 0.85  # a pixel of a common screen, in those of the small one
_GAP = 8.0  # between a leader and its label
_FIRST_ROW = 125.0  # from the top of the image: above it OHIF writes what the image is, and asks its question
_REACH = (28, 40, 55, 72, 92, 115, 140, 170, 205, 245, 290)  # how far leaders may go
_DIRECTIONS = 32
_COVERS, _CROSSES, _OUTSIDE, _TO_THE_LEFT = 60.0, 90.0, 400.0, 25.0  # what it costs
_WIDE = 0.5  # of the image: what is wider is marked at its left edge, since its right edge may be off the screen
_TINY = 1e-6  # pixels of the image
_STEPS = 12  # of a line that is looked at point by point

Point = tuple[float, float]  # column, row


@dataclass(frozen=True)
class Box:
    """A rectangle on an image, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> Point:
        """Its centre."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def corners(self) -> list[Point]:
        """Clockwise from the upper left."""
        return [(self.left, self.top), (self.right, self.top), (self.right, self.bottom), (self.left, self.bottom)]

    def grown_by(self, margin: float) -> Box:
        """The same with a margin all round."""
        return Box(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def edge_towards(self, point: Point) -> Point:
        """Where a line from the middle to a point outside leaves the box."""
        (x, y), half = self.middle, ((self.right - self.left) / 2, (self.bottom - self.top) / 2)
        across, down = point[0] - x, point[1] - y
        way = 1 / max(abs(across) / max(half[0], _TINY), abs(down) / max(half[1], _TINY), _TINY)
        return x + across * way, y + down * way

    def overlaps(self, other: Box) -> bool:
        """Whether the two have more than an edge in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, point: Point) -> bool:
        """Whether the point lies in it."""
        return self.left <= point[0] <= self.right and self.top <= point[1] <= self.bottom


@dataclass(frozen=True)
class Leader:
    """An arrow to a finding and the square round it."""

    tip: Point
    tail: Point
    square: Box | None  # None: the finding is as good as the whole image
    label_at: Point  # where OHIF is told to write the label

    @property
    def outline(self) -> list[Point]:
        """Arrow and square in one line: first the tip, then the tail."""
        if (box := self.square) is None:
            return [self.tip, self.tail]
        if box.left < self.tip[0] < box.right:  # it comes from above or below
            first = 1 if self.tip[1] < box.middle[1] else 3
        else:
            first = 2 if self.tip[0] > box.middle[0] else 0
        return [self.tip, self.tail, self.tip, *box.corners[first:], *box.corners[:first], self.tip]

    @property
    def length(self) -> float:
        """From label to finding, pixels of the image."""
        return hypot(self.tail[0] - self.tip[0], self.tail[1] - self.tip[1])

    @cached_property
    def line(self) -> list[Point]:
        """Points along the arrow."""
        (x, y), (to_x, to_y) = self.tip, self.tail
        return [(x + (to_x - x) * n / _STEPS, y + (to_y - y) * n / _STEPS) for n in range(_STEPS + 1)]


def leaders(outlines: Sequence[Box], labels: Sequence[str], size: tuple[int, int]) -> list[Leader]:
    """A leader for each outline on one image.

    Parameters
    ----------
    outlines
        What the labels belong to.
    labels
        The text of each.
    size
        Rows and columns of the image.
    """
    sheet = _Sheet(outlines, size)
    found: dict[int, Leader] = {}
    for row, index in enumerate(index for index, box in enumerate(outlines) if sheet.is_wide(box)):
        found[index] = sheet.put(sheet.at_left_edge(outlines[index], labels[index], row), labels[index])
    small = (index for index in range(len(outlines)) if index not in found)
    for index in sorted(small, key=lambda index: (-outlines[index].right, outlines[index].top)):
        found[index] = sheet.put(sheet.best(outlines[index], labels[index]), labels[index])
    return [found[index] for index in range(len(outlines))]


class _Sheet:
    """An image with the labels that have their place."""

    def __init__(self, outlines: Sequence[Box], size: tuple[int, int]) -> None:
        self._rows, self._columns = size
        self._pixel = max(self._columns / _CANVAS[0], self._rows / _CANVAS[1])  # of the screen, in those of the image
        self._squares = [box for box in outlines if not self.is_wide(box)]
        self._leaders: list[Leader] = []
        self._texts: list[Box] = []

    def is_wide(self, box: Box) -> bool:
        return box.right - box.left > _WIDE * self._columns

    def put(self, leader: Leader, label: str) -> Leader:
        self._leaders.append(leader)
        self._texts.append(self._text(leader, label))
        return leader

    def at_left_edge(self, box: Box, label: str, row: int) -> Leader:
        """A short arrow to the left edge of what is as good as the whole image, one line of text below the last."""
        y = max(box.top, 0) + (_FIRST_ROW + row * _LINE) * self._pixel
        return self._leader((box.left, y), (box.left + _REACH[0] * self._pixel, y), None, label)

    def best(self, box: Box, label: str) -> Leader:
        """The cheapest leader of those whose label covers the fewest others."""
        possible = sorted(self._possible(box, label), key=lambda leader: leader.length)
        best, least = possible[0], self._cost(possible[0], label)
        for leader in possible[1:]:
            if least < (0, inf) and leader.length / self._pixel >= least[1]:
                break  # it costs its length at least
            cost = self._cost(leader, label)
            if cost < least:
                best, least = leader, cost
        return best

    def _possible(self, box: Box, label: str) -> Iterator[Leader]:
        x, y = box.middle
        for n in range(_DIRECTIONS):
            across, down = cos(2 * pi * n / _DIRECTIONS), sin(2 * pi * n / _DIRECTIONS)
            edge = box.edge_towards((x + across, y + down))
            for reach in _REACH:
                far = reach * self._pixel
                yield self._leader(edge, (edge[0] + across * far, edge[1] + down * far), box, label)

    def _leader(self, tip: Point, tail: Point, square: Box | None, label: str) -> Leader:
        x, y = self._inside(tail)
        leftwards = square is not None and tail[0] < square.left
        left = x - self._width(label) - _GAP * self._pixel if leftwards else x + _GAP * self._pixel
        pixel = _LARGER * self._pixel  # so that it fits on a common screen rather than on the smallest
        told = left - _SHIFT[0] * pixel, y - (_LINE / 2 + _SHIFT[1]) * pixel
        return Leader(self._inside(tip), (x, y), square, self._inside(told))

    def _inside(self, point: Point) -> Point:
        return min(max(point[0], 0.0), float(self._columns)), min(max(point[1], 0.0), float(self._rows))

    def _width(self, label: str) -> float:
        return len(label) * _LETTER * self._pixel

    def _text(self, leader: Leader, label: str) -> Box:
        left, top = (at + shift * self._pixel for at, shift in zip(leader.label_at, _SHIFT, strict=True))
        return Box(left, top, left + self._width(label), top + _LINE * self._pixel)

    def _cost(self, leader: Leader, label: str) -> tuple[int, float]:
        """How many labels it covers, and what else is against it, in screen pixels of leader."""
        text, line = self._text(leader, label), leader.line
        margin = max(0.0, (_CANVAS[0] * self._pixel - self._columns) / 2)
        cost = leader.length / self._pixel
        near = text.grown_by(_RING * self._pixel)
        cost += _COVERS * sum(near.overlaps(square) for square in self._squares if square != leader.square)
        cost += _COVERS * sum(near.holds(corner) for square in self._squares for corner in square.corners)
        cost += _CROSSES * sum(any(text.holds(point) for point in other.line) for other in self._leaders)
        cost += _CROSSES * sum(any(other.holds(point) for point in line) for other in self._texts)
        cost += _CROSSES * sum(_cross(leader, other) for other in self._leaders)
        if leader.square is not None and leader.tail[0] < leader.square.left:
            cost += _TO_THE_LEFT
        if text.left < -margin or text.right > self._columns + margin or text.bottom > self._rows:
            cost += _OUTSIDE
        return sum(text.overlaps(other) for other in self._texts), cost


def _cross(one: Leader, other: Leader) -> bool:
    """Whether two arrows cross: each has its ends on two sides of the other."""
    apart = _side(one, other.tip) * _side(one, other.tail), _side(other, one.tip) * _side(other, one.tail)
    return apart[0] < 0 and apart[1] < 0


def _side(leader: Leader, point: Point) -> float:
    (x, y), (to_x, to_y) = leader.tip, leader.tail
    return (to_x - x) * (point[1] - y) - (to_y - y) * (point[0] - x)
