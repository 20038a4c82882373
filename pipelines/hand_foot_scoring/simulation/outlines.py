"""Geometry of bone outlines: where lines meet them, and how far they are from each other."""

from __future__ import annotations

import numpy as np

from pipelines.hand_foot_scoring.simulation.skeleton import Points


def rotated(vector: Points, angle: float) -> Points:
    """A vector (2,) turned clockwise on the picture."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1]])


def resampled(outline: Points, count: int = 96) -> Points:
    """Points at even distances along a closed outline."""
    closed = np.vstack((outline, outline[:1]))
    at = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))))
    even = np.linspace(0, at[-1], count, endpoint=False)
    return np.column_stack((np.interp(even, at, closed[:, 0]), np.interp(even, at, closed[:, 1])))


def space_between(first: Points, second: Points, middle: Points, axis: Points, half: float) -> float:
    """The free space between two outlines, read along an axis.

    Parameters
    ----------
    first
        (N, 2) outline of the bone behind.
    second
        (M, 2) outline of the bone in front.
    middle
        (2,) of the joint.
    axis
        (2,) unit vector from the first to the second.
    half
        How far to both sides of the middle it is read.

    Returns
    -------
    float
        Median over lines; negative where the outlines overlap, NaN where no line meets both.
    """
    across = np.array([-axis[1], axis[0]])
    gaps = []
    for offset in np.linspace(-half, half, 9):
        front, behind = (
            crossings(second - middle, axis, across, offset),
            crossings(first - middle, axis, across, offset),
        )
        if len(front) and len(behind):
            gaps.append(front.min() - behind.max())
    return float(np.median(gaps)) if gaps else float("nan")


def crossings(outline: Points, axis: Points, across: Points, offset: float) -> Points:
    """Where a line along an axis, `offset` beside it, meets a closed outline (N, 2): distances along the axis."""
    t, d = outline @ axis, outline @ across - offset
    t2, d2 = np.concatenate((t[1:], t[:1])), np.concatenate((d[1:], d[:1]))
    meets = (d < 0) != (d2 < 0)
    return np.asarray(t[meets] + (t2[meets] - t[meets]) * d[meets] / (d[meets] - d2[meets]))


def unit(vector: Points) -> Points:
    """A vector (2,) of length 1 in the same direction."""
    return np.asarray(vector / max(float(np.hypot(*vector)), 1e-9))
