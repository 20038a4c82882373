"""Shapes of bones and points on them, in the plane of a flat limb."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from pipelines.hand_foot_scoring.simulation.skeleton import Points


def unit_vector(angle: float) -> tuple[float, float]:
    """The direction `angle` radians from straight up, positive to +x."""
    return float(np.sin(angle)), float(-np.cos(angle))


def point_along(point: tuple[float, float], direction: tuple[float, float], distance: float) -> tuple[float, float]:
    """The point `distance` mm from a point in a direction."""
    return point[0] + distance * direction[0], point[1] + distance * direction[1]


def mean_point(*points: tuple[float, float]) -> tuple[float, float]:
    """The middle of some points."""
    x, y = np.mean(points, axis=0)
    return float(x), float(y)


def irregular_outline(rng: np.random.Generator, half: tuple[float, float], angle: float, power: float = 2.4) -> Points:
    """The outline of a short bone: a superellipse with irregularities.

    Parameters
    ----------
    rng
        Draws the irregularities.
    half
        Half axes, mm.
    angle
        Radians from +x to the first axis.
    power
        2 is an ellipse; more is squarer.

    Returns
    -------
    Points
        (32,) radii, from angle -pi.
    """
    theta = np.linspace(-np.pi, np.pi, 32, endpoint=False)
    turned = theta - angle
    radii = ((np.abs(np.cos(turned)) / half[0]) ** power + (np.abs(np.sin(turned)) / half[1]) ** power) ** (-1 / power)
    for harmonic in (2, 3, 4, 5):
        radii *= 1 + rng.normal(0, 0.05 / harmonic**0.5) * np.cos(harmonic * theta + rng.uniform(0, 2 * np.pi))
    return np.asarray(radii, np.float64)


def tube_profile(length: float, base: float, shaft: float, head: float) -> tuple[tuple[float, float], ...]:
    """Half-widths along a phalanx or metacarpal.

    Parameters
    ----------
    length
        Of the bone, mm.
    base
        Full width of the base, mm.
    shaft
        Full width of the shaft, mm.
    head
        Full width of the head, mm.

    Returns
    -------
    tuple
        Pairs of distance from the base and half-width, mm.
    """
    b, s, h = base / 2, shaft / 2, head / 2
    flare = min(0.28 * length, 1.25 * base)
    return (
        (0.0, 0.94 * b),
        (0.06 * length, b),
        (0.45 * flare + 0.06 * length, 0.62 * b + 0.38 * s),
        (flare + 0.06 * length, s * 1.06),
        (0.52 * length, s),
        (0.74 * length, 1.08 * s),
        (0.88 * length, 0.97 * h),
        (0.94 * length, h),
        (length, 0.9 * h),
    )


def smooth_profile(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """A smooth curve through points with no overshoot, as 33 points."""
    at, value = zip(*points, strict=True)
    fine = np.linspace(at[0], at[-1], 33)
    return tuple(zip(fine.tolist(), PchipInterpolator(at, value)(fine).tolist(), strict=True))
