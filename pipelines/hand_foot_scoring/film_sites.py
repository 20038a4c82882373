"""A site on the picture of its limb: its cells, its square, its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_sr.findings import Region, Site
from pipelines.hand_foot_scoring.films import LimbFilm
from pipelines.hand_foot_scoring.scoring import CELLS, Cell, Reading, Scored
from pipelines.hand_foot_scoring.sites import Part, Side
from pipelines.svh_sites import SVH_SITES, svh_site

SQUARE = 0.072  # side of a joint's square as a share of the limb's length: 14 mm on a mean adult


def tracking_id(side: Side, limb: Part, site: str) -> str:
    """What a site of a patient is called in every report."""
    suffix = f" {limb}" if site == "IP1" else ""  # a hand and a foot both have one
    return f"SvH {side} {site}{suffix}"


@dataclass(frozen=True)
class FilmSite:
    """A site of one limb, on the picture of that limb."""

    chosen: LimbFilm
    name: str

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The one or two cells of the site."""
        limb, side = self.chosen.key
        return tuple(c for c in CELLS if (c.side, c.limb, c.site) == (side, limb, self.name))

    @property
    def tracking_id(self) -> str:
        """The same text in every reading of the patient, e.g. "SvH L MCP2"."""
        limb, side = self.chosen.key
        return tracking_id(side, limb, self.name)

    @property
    def coded(self) -> Site:
        """The site as the report codes it."""
        limb, side = self.chosen.key
        site = svh_site(limb, self.name)
        return Site(site.region, side, site.modifier)

    @property
    def outline(self) -> NDArray[np.float64]:
        """Closed square (5, 2) round the joint: column and row, clipped to the picture."""
        limb = self.chosen.reading.limb
        centre = limb.centres.get(self.name)
        x, y = limb.expected[self.name] if centre is None else centre.point
        half = SQUARE * limb.length / 2
        height, width = self.chosen.film.array.shape
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
        points = [(x + 0.5 + dx * half, y + 0.5 + dy * half) for dx, dy in corners]
        return np.asarray(np.clip(np.array(points), 0, [width, height]), np.float64)

    @property
    def region(self) -> Region:
        """The square round the joint, on the picture."""
        return Region(self.chosen.film.image, self.outline)


def film_sites(chosen: LimbFilm) -> tuple[FilmSite, ...]:
    """The sites of a limb, in the order of the code table."""
    limb, _ = chosen.key
    return tuple(FilmSite(chosen, site.id) for site in SVH_SITES if site.limb == limb)


def label(site: FilmSite, readings: Mapping[Cell, Reading]) -> str:
    """The text at a joint, e.g. ``MCP2 E2 J1``."""
    parts = [site.name]
    for cell in site.cells:
        reading = readings.get(cell)
        if isinstance(reading, Scored):
            parts.append(f"{'E' if cell.kind == 'erosion' else 'J'}{reading.expected:.0f}")
    return " ".join(parts) if len(parts) > 1 else f"{site.name} n/e"


def cells_of(limbs: Sequence[LimbFilm]) -> list[Cell]:
    """The cells of limbs whose header and picture agree."""
    keys = {chosen.key for chosen in limbs if not chosen.contradictions}
    return [cell for cell in CELLS if (cell.limb, cell.side) in keys]
