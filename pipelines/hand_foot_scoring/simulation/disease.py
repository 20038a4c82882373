"""Damage by grade: which grades a limb has, how large an erosion is, how wide a joint space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipelines.hand_foot_scoring.sites import FOOT_SITES, HAND_SITES, NO_EROSION, NO_NARROWING, Part

SYMMETRY = 0.6  # chance that a site is as ill as that of the other side


@dataclass(frozen=True)
class Disease:
    """The grades of the limb to be drawn."""

    erosion: Mapping[str, int] = field(default_factory=dict)
    narrowing: Mapping[str, int] = field(default_factory=dict)


def site_rates(part: Part, rng: np.random.Generator, severity: float) -> dict[str, float]:
    """How diseased each site of a limb is on average.

    Parameters
    ----------
    part
        Hand or foot.
    rng
        Draws the rates.
    severity
        Scale of the chances, 0..1.

    Returns
    -------
    dict
        Site to rate.
    """
    return {site: severity * rng.gamma(0.7, 1.4) for site in (HAND_SITES if part == "hand" else FOOT_SITES)}


def random_disease(
    part: Part, rng: np.random.Generator, severity: float, other_side: Mapping[str, float] | None = None
) -> Disease:
    """Grades for every site as in a clinic.

    Parameters
    ----------
    part
        Hand or foot.
    rng
        Draws the grades.
    severity
        Scale of the chances, 0..1; erosion and narrowing of a site go together.
    other_side
        Rates of the patient's other side: a site shares its own with a chance of `SYMMETRY`, since rheumatoid arthritis
        is more or less symmetrical. How much so is our choice.
    """
    local = site_rates(part, rng, severity)
    if other_side is not None:
        local = {site: other_side[site] if rng.random() < SYMMETRY else rate for site, rate in local.items()}
    top = 5 if part == "hand" else 10
    erosion = {s: min(top, rng.poisson(1.2 * rate * (top / 5))) for s, rate in local.items() if s not in NO_EROSION}
    narrowing = {s: min(4, rng.poisson(1.1 * rate)) for s, rate in local.items() if s not in NO_NARROWING[part]}
    return Disease(erosion, narrowing)


def uniform_disease(part: Part, rng: np.random.Generator) -> Disease:
    """Grades that cover every value about equally, half of them none: for training the heads."""
    sites = HAND_SITES if part == "hand" else FOOT_SITES
    top = 5 if part == "hand" else 10
    erosion = {s: int(rng.integers(1, top + 1)) if rng.random() < 0.6 else 0 for s in sites if s not in NO_EROSION}
    narrowing = {s: int(rng.integers(1, 5)) if rng.random() < 0.6 else 0 for s in sites if s not in NO_NARROWING[part]}
    return Disease(erosion, narrowing)


# radius of a single erosion by its own grade, mm at adult size: discrete, larger, past the midline of the bone
LESION_RADIUS = {1: (1.0, 1.5), 2: (1.7, 2.3), 3: (2.7, 3.5), 5: (4.6, 6.0)}
# share of the joint space that is left, by grade
GAP_LEFT = {0: (0.9, 1.15), 1: (0.68, 0.82), 2: (0.48, 0.62), 3: (0.1, 0.38), 4: (-0.15, 0.0)}


def lesion_grades(grade: int, rng: np.random.Generator) -> list[int]:
    """Single erosions that add up to `grade` on one side of a joint, e.g. 4 as 3 + 1."""
    if grade >= 5:
        return [5]
    parts: list[int] = []
    while grade > 0:
        part = min(grade, int(rng.integers(1, 4)))
        parts.append(part)
        grade -= part
    return parts
