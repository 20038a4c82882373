"""The sentences that a radiologist reads first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.hand_foot_scoring.film_sites import SIDE_NAMES, cells_of
from pipelines.hand_foot_scoring.films import LimbFilm
from pipelines.hand_foot_scoring.findings import sums
from pipelines.hand_foot_scoring.scoring import SMALLEST_DETECTABLE_DIFFERENCE, Cell, Progression, Reading, Scored, sens


def conclusion(
    limbs: Sequence[LimbFilm], readings: Mapping[Cell, Reading], correlation: float, progress: Progression | None
) -> tuple[str, ...]:
    """The sentences that a radiologist reads first.

    Parameters
    ----------
    limbs
        The picture of each limb.
    readings
        Reading of each cell; a cell without one counts as not evaluable.
    correlation
        Between the errors of two cells of one patient, 0..1.
    progress
        Change since the prior reading; None without one.
    """
    cells = cells_of(limbs)
    disagree = [
        f"{text[0].upper()}{text[1:]}: this limb was not counted." for chosen in limbs for text in chosen.contradictions
    ]
    if not any(isinstance(readings.get(cell), Scored) for cell in cells):
        return ("No joint could be scored.", *disagree)
    erosion, narrowing, both = sums(cells, readings, correlation)
    shown = ", ".join(f"{SIDE_NAMES[c.key[1]]} {c.key[0]}" for c in limbs if not c.contradictions)
    damaged, counted = sens(readings, cells)
    lines = [
        f"Sharp/van der Heijde score of {shown}: {both.raw:.0f} of {both.maximum}"
        f" (erosion {erosion.raw:.0f}, narrowing {narrowing.raw:.0f}); 90 % interval"
        f" {both.interval[0]:.0f} to {both.interval[1]:.0f}.",
        f"SENS {damaged} of {counted} scored cells.",
    ]
    if not both.complete:
        prorated = "" if both.prorated is None else f"; prorated {both.prorated:.0f}"
        lines.append(
            f"{both.cells - both.scored} of {both.cells} cells could not be scored: the total lies between"
            f" {both.bounds[0]:.0f} and {both.bounds[1]:.0f}{prorated}."
        )
    lines += disagree
    if progress is not None:
        lines += change_lines(progress)
    return tuple(lines)


def change_lines(progress: Progression) -> list[str]:
    """Sentences on how the joints changed since the prior reading."""
    verdict = "more" if progress.beyond_error else "not more"
    lines = [
        f"Change since the prior reading: {progress.total.difference:+.1f} over {len(progress.cells)} cells scored both"
        f" times, {verdict} than the smallest detectable difference of {SMALLEST_DETECTABLE_DIFFERENCE:.1f}."
    ]
    if progress.impossible:
        names = ", ".join(f"{c.side} {c.site} {c.kind}" for c in progress.impossible)
        lines.append(f"Cells that seem to have healed, which cannot be: {names}. Compare the pictures.")
    return lines
