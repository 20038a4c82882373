"""The sentences that a radiologist reads first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dicom_sr.words import capital, counted
from pipelines.hand_foot_scoring.film_sites import cells_of
from pipelines.hand_foot_scoring.films import LimbFilm
from pipelines.hand_foot_scoring.findings import sums
from pipelines.hand_foot_scoring.scoring import (
    SMALLEST_DETECTABLE_DIFFERENCE,
    Cell,
    NotScored,
    Progression,
    Reading,
    Scored,
    Total,
    sens,
)


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
    disagree = [line for chosen in limbs for line in not_counted(chosen)]
    if nothing := not_scored(cells, readings):
        return (nothing[0], *disagree, *nothing[1:])
    erosion, narrowing, both = sums(cells, readings, correlation)
    shown = ", ".join(c.reading.limb.name for c in limbs if not c.contradictions)
    damaged, scored = sens(readings, cells)
    lines = [
        f"Sharp/van der Heijde score of {shown}: {both.raw:.0f} of {both.maximum}"
        f" (erosion {_sum(erosion)}, narrowing {_sum(narrowing)}); 90 % interval"
        f" {both.interval[0]:.0f} to {both.interval[1]:.0f}.",
        *(line for chosen in limbs for line in _without_score(chosen, readings)),
        f"SENS {damaged} of {scored} scored cells.",
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


def not_counted(chosen: LimbFilm) -> tuple[str, ...]:
    """Why a limb was not counted whose header and picture disagree; nothing of another."""
    return tuple(f"{capital(text)}: this limb was not counted." for text in chosen.contradictions)


def _without_score(chosen: LimbFilm, readings: Mapping[Cell, Reading]) -> tuple[str, ...]:
    """That nothing of a limb was scored, and why: the sum over all limbs would read as its score too."""
    reasons = not_scored(cells_of([chosen]), readings)[1:]
    if chosen.contradictions or not reasons:
        return ()
    return (f"No joint of the {chosen.reading.limb.name} could be scored. {' '.join(reasons)}",)


def _sum(part: Total) -> str:
    """A sum in words: one over nothing would read as a score of zero."""
    return f"{part.raw:.0f}" if part.scored else "not scored"


def not_scored(cells: Sequence[Cell], readings: Mapping[Cell, Reading]) -> tuple[str, ...]:
    """That no cell was scored and why, the commonest reason first; nothing where one was."""
    if any(isinstance(readings.get(cell), Scored) for cell in cells):
        return ()
    reasons = Counter(r.reason.value for cell in cells if isinstance(r := readings.get(cell), NotScored))
    why = (f"{counted(number, 'cell')}: {reason}." for reason, number in reasons.most_common())
    return ("No joint could be scored.", *why)


def change_lines(progress: Progression) -> list[str]:
    """Sentences on how the joints changed since the prior reading."""
    if not progress.cells:
        return ["Change since the prior reading: none can be given, no cell was scored both times."]
    verdict = "more" if progress.beyond_error else "not more"
    lines = [
        f"Change since the prior reading: {progress.total.difference:+.1f} over"
        f" {counted(len(progress.cells), 'cell')} scored both times, {verdict} than the"
        f" smallest detectable difference of {SMALLEST_DETECTABLE_DIFFERENCE:.1f}."
    ]
    if progress.impossible:
        names = ", ".join(f"{c.side} {c.site} {c.kind}" for c in progress.impossible)
        lines.append(f"Cells that seem to have healed, which cannot be: {names}. Compare the pictures.")
    return lines
