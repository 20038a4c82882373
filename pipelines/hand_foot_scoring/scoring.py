"""The rules of the Sharp/van der Heijde score: cells, ranges, totals over what could be assessed, change, SENS.

van der Heijde, J Rheumatol 2000;27:261-263; sites and ranges are those of `pipelines.svh_sites.SVH_SITES`. No rule for
joints that are missing, replaced or not shown was found in print: here a cell is scored, not evaluable for a reason, or
not present, and never an imputed zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.svh_sites import SVH_SITES, SvhSite, svh_site

Kind = Literal["erosion", "narrowing"]

# Smallest detectable difference of the total, units: Bruynesteyn et al., Arthritis Rheum 2002;46:913
SMALLEST_DETECTABLE_DIFFERENCE = 5.0
# A cell that falls by this much or more has not healed: another film, another angle or a wrong reading
IMPOSSIBLE_REPAIR = 2.0
INTERVAL_LEVEL = 0.9
INTERVAL_SPREAD = float(ndtri((1 + INTERVAL_LEVEL) / 2))  # standard deviations either side that hold it


@dataclass(frozen=True, order=True)
class Cell:
    """One of the 86 numbers of a complete reading."""

    side: Side
    limb: Part
    site: str  # as in pipelines.svh_sites, e.g. MCP2
    kind: Kind

    @property
    def maximum(self) -> int:
        """Highest grade: erosion 5 in the hand and 10 (5 on each bone side) in the foot, narrowing 4."""
        place = svh_site(self.limb, self.site)
        return place.erosion_maximum if self.kind == "erosion" else place.jsn_maximum

    @property
    def column(self) -> str:
        """Name of the cell in the tables of the RA2-DREAM challenge, e.g. ``LH_mcp_E__ip``."""
        return f"{self.side}{'H' if self.limb == 'hand' else 'F'}_{_stem(self)}"


def _stem(cell: Cell) -> str:
    letter = "E" if cell.kind == "erosion" else "J"
    name = cell.site
    if cell.limb == "foot":
        return f"mtp_{letter}__{'ip' if name == 'IP1' else name[-1]}"
    if name == "IP1":
        return f"mcp_{letter}__ip"
    if name[:3] in ("MCP", "PIP"):
        return f"{name[:3].lower()}_{letter}__{name[-1]}"
    wrist = {
        "MC1B": "mc1",
        "MULT": "mul",
        "NAV": "nav",
        "LUN": "lunate",
        "ULN": "ulna",
        "RAD": "radius",
        "CMC3": "cmc3",
        "CMC4": "cmc4",
        "CMC5": "cmc5",
        "MULTNAV": "mna",
        "CAPNAVLUN": "capnlun",
        "RADCARP": "radcar",
    }
    return f"wrist_{letter}__{wrist[name]}"


def _cells(site: SvhSite, side: Side) -> Iterable[Cell]:
    if site.erosion_maximum:
        yield Cell(side, site.limb, site.id, "erosion")
    if site.jsn_maximum:
        yield Cell(side, site.limb, site.id, "narrowing")


CELLS: tuple[Cell, ...] = tuple(cell for side in ("L", "R") for site in SVH_SITES for cell in _cells(site, side))


class Reason(Enum):
    """Why a cell has no number."""

    BLOCKS = "the picture is compressed too heavily, or coarsely enlarged: its blocks look like outlines of bones"
    BLUR = "the picture is blurred, or enlarged from a small one: no fine detail is left"
    CHILD = "growth plates are open: the score is defined for grown joints"
    COVERED = "a cast, ring or other object covers the joint"
    CROPPED = "the joint lies outside the picture"
    FUSED = "the joint was fused by an operation"
    GREY_LEVELS = (
        "the picture has too few grey levels, or bone is saturated: borders of flat areas look like outlines of bones"
    )
    NOISE = "the picture is too noisy: its grain looks like damage of bones"
    NO_IMAGE = "no picture of this limb is in the study"
    NOT_FOUND = "the joint was not found on the picture"
    PROSTHESIS = "the joint was replaced"
    UNCERTAIN = "the joint looks like nothing the model knows"
    UNLIKE = "the joint looks unlike the training data"
    VIEW = "oblique view, or part or view in doubt: the score is read on posteroanterior hands and dorsoplantar feet"


@dataclass(frozen=True)
class Scored:
    """A grade as a distribution over 0..maximum."""

    probabilities: tuple[float, ...]

    @cached_property
    def _grades(self) -> NDArray[np.float64]:
        return np.arange(len(self.probabilities), dtype=np.float64)

    @property
    def expected(self) -> float:
        """The weighted mean over the grades, the score as the paper gives it."""
        return float(self._grades @ np.asarray(self.probabilities))

    @property
    def standard_deviation(self) -> float:
        """Of the grade."""
        return float(np.sqrt(max(0.0, (self._grades**2) @ np.asarray(self.probabilities) - self.expected**2)))

    @property
    def grade(self) -> int:
        """The likeliest grade."""
        return int(np.argmax(self.probabilities))


@dataclass(frozen=True)
class NotScored:
    """Looked for and not assessable."""

    reason: Reason
    score: float | None = None  # with UNLIKE: how unlike; above 1 too much


@dataclass(frozen=True)
class NotPresent:
    """The joint is not there, as after an amputation: no number can belong to it."""


Reading = Scored | NotScored | NotPresent


def certain(cell: Cell, grade: float) -> Scored:
    """A reading without doubt, as a human reader gives it; a half grade (mean of two readers) lies between two.

    Raises
    ------
    ValueError
        If the cell has no such grade.
    """
    if not 0 <= grade <= cell.maximum:
        raise ValueError(f"{cell.column} is graded 0 to {cell.maximum}, not {grade:g}")
    low = min(int(grade), cell.maximum - 1)
    probabilities = np.zeros(cell.maximum + 1)
    probabilities[low + 1] = grade - low
    probabilities[low] = 1 - probabilities[low + 1]
    return Scored(tuple(probabilities.tolist()))


@dataclass(frozen=True)
class Total:
    """A sum over cells, with what it leaves out."""

    raw: float  # sum of the expected grades of the scored cells, rounded nowhere
    scored: int  # number of scored cells
    cells: int  # number of cells asked for
    maximum: int  # of all cells asked for
    prorated: float | None  # raw scaled to all cells by the maxima of the scored ones; None where nothing was scored
    bounds: tuple[float, float]  # the cells that were not evaluable all 0, and all at their maximum
    standard_deviation: float
    interval: tuple[float, float]  # of the raw sum, nominally 90 %

    @property
    def complete(self) -> bool:
        """Whether every cell was scored."""
        return self.scored == self.cells


def total(readings: Mapping[Cell, Reading], cells: Iterable[Cell] = CELLS, correlation: float = 0.0) -> Total:
    """Sum over cells.

    A joint that is not present has no grade that one could guess: it is left out of the raw sum and of both bounds, and
    the prorated total treats it as the mean of the others.

    Parameters
    ----------
    readings
        Reading of each cell; a cell without one counts as not evaluable.
    cells
        The cells to add up.
    correlation
        Between the errors of two cells of one patient, 0..1; it widens the interval, since errors that go together do
        not cancel. Estimated when the heads are calibrated.
    """
    wanted = tuple(cells)
    scored = [(cell, reading) for cell in wanted if isinstance(reading := readings.get(cell), Scored)]
    missing = sum(cell.maximum for cell in wanted if not isinstance(readings.get(cell), Scored | NotPresent))
    raw = sum(reading.expected for _, reading in scored)
    maximum = sum(cell.maximum for cell in wanted)
    assessed = sum(cell.maximum for cell, _ in scored)
    spreads = np.array([reading.standard_deviation for _, reading in scored])
    variance = (1 - correlation) * float((spreads**2).sum()) + correlation * float(spreads.sum()) ** 2
    deviation = float(np.sqrt(variance))
    return Total(
        raw,
        len(scored),
        len(wanted),
        maximum,
        raw * maximum / assessed if assessed else None,
        (raw, raw + missing),
        deviation,
        (max(0.0, raw - INTERVAL_SPREAD * deviation), min(float(assessed), raw + INTERVAL_SPREAD * deviation)),
    )


def sens(readings: Mapping[Cell, Reading], cells: Iterable[Cell] = CELLS) -> tuple[int, int]:
    """The Simple Erosion Narrowing Score: how many cells are damaged at all, and how many were scored (at most 86)."""
    grades = [reading.expected for cell in cells if isinstance(reading := readings.get(cell), Scored)]
    return sum(grade >= 0.5 for grade in grades), len(grades)


@dataclass(frozen=True)
class Change:
    """One cell or total now against before; only what was scored both times."""

    before: float
    now: float

    @property
    def difference(self) -> float:
        """Now minus before."""
        return self.now - self.before


@dataclass(frozen=True)
class Progression:
    """A study against its prior."""

    cells: Mapping[Cell, Change]
    total: Change  # over the cells scored both times
    left_out: int  # cells scored once only

    @property
    def beyond_error(self) -> bool:
        """Whether the total changed by more than the smallest detectable difference of 5.0 units."""
        return abs(self.total.difference) > SMALLEST_DETECTABLE_DIFFERENCE

    @property
    def impossible(self) -> tuple[Cell, ...]:
        """Cells that fell so far that it cannot be repair: the two films have to be looked at together."""
        return tuple(cell for cell, change in self.cells.items() if change.difference <= -IMPOSSIBLE_REPAIR)

    @property
    def progressed(self) -> tuple[Cell, ...]:
        """Cells that rose by a whole grade or more."""
        return tuple(cell for cell, change in self.cells.items() if change.difference >= 1.0)


def progression(before: Mapping[Cell, Reading], now: Mapping[Cell, Reading]) -> Progression:
    """Pair two readings cell by cell."""
    earlier = {cell: reading.expected for cell, reading in before.items() if isinstance(reading, Scored)}
    later = {cell: reading.expected for cell, reading in now.items() if isinstance(reading, Scored)}
    both = {cell: Change(earlier[cell], later[cell]) for cell in CELLS if cell in earlier and cell in later}
    sums = Change(sum(c.before for c in both.values()), sum(c.now for c in both.values()))
    return Progression(both, sums, len(earlier.keys() ^ later.keys()))
