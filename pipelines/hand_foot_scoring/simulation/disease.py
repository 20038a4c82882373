"""Damage by grade: which grades a limb has, how large an erosion is, how wide a joint space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipelines.hand_foot_scoring.sites import FOOT_SITES, HAND_SITES, NO_EROSION, NO_NARROWING, Part

WRIST_JOINTS = ("CMC3", "CMC4", "CMC5", "MULTNAV", "CAPNAVLUN", "RADCARP")
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

# A beam that does not pass along a joint space shows a healthy one narrower than it is; in the wrist it shows the bones
# over each other. This share of the healthy joints of a film is seen so, with what is left of their space.
OBLIQUE_SHARE = 0.4
OBLIQUE_LEFT, OBLIQUE_LEFT_IN_WRIST = (0.5, 0.95), (-0.4, 0.95)
# The thumb lies aslant and the little finger is mostly bent on a film of a flat hand: their spaces are often shut.
ASLANT, OBLIQUE_LEFT_ASLANT = ("MCP1", "IP1", "PIP5"), (0.05, 0.95)


def seen_space(site: str, grade: int, rng: np.random.Generator) -> float:
    """How much of a joint space is seen on a film, as a share of the healthy one.

    Parameters
    ----------
    site
        Name of the site.
    grade
        Of narrowing.
    rng
        Draws it.
    """
    left = float(rng.uniform(*GAP_LEFT[grade]))
    if grade == 0 and rng.random() < OBLIQUE_SHARE:
        finger = OBLIQUE_LEFT_ASLANT if site in ASLANT else OBLIQUE_LEFT
        return left * float(rng.uniform(*(OBLIQUE_LEFT_IN_WRIST if site in WRIST_JOINTS else finger)))
    return left


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
