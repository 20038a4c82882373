"""From readings to coded findings: sites, sums, change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydicom.sr.coding import Code

from dicom_sr.codes import private, score_range
from dicom_sr.findings import Evaluation, Finding, Measurement, NotEvaluable, Region, Site
from dicom_sr.words import capital
from pipelines.hand_foot_scoring import codes
from pipelines.hand_foot_scoring.film_sites import FilmSite, cells_of, film_sites, label
from pipelines.hand_foot_scoring.films import LimbFilm
from pipelines.hand_foot_scoring.scoring import Cell, NotScored, Progression, Reading, Reason, Scored, Total, total

_WHY = {
    Reason.BLOCKS: "WHY-QUALITY",
    Reason.BLUR: "WHY-QUALITY",
    Reason.CHILD: "WHY-IMMATURE",
    Reason.COVERED: "WHY-OVERLAP",
    Reason.CROPPED: "WHY-CROPPED",
    Reason.FUSED: "WHY-IMPLANT",
    Reason.GREY_LEVELS: "WHY-QUALITY",
    Reason.NOISE: "WHY-QUALITY",
    Reason.NO_IMAGE: "WHY-INPUT",
    Reason.NOT_FOUND: "WHY-NOTFOUND",
    Reason.PROSTHESIS: "WHY-IMPLANT",
    Reason.UNCERTAIN: "WHY-OOD",
    Reason.UNLIKE: "WHY-OOD",
    Reason.VIEW: "WHY-OVERLAP",
}


def findings(
    limbs: Sequence[LimbFilm],
    readings: Mapping[Cell, Reading],
    correlation: float,
    progress: Progression | None = None,
) -> tuple[tuple[Finding, ...], tuple[NotEvaluable, ...]]:
    """Findings of the sites that were scored, with their change; then sums for each limb and over all limbs.

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

    Returns
    -------
    tuple
        The findings, and a remark for each site that was not scored.
    """
    found: list[Finding] = []
    missing: list[NotEvaluable] = []
    for chosen in limbs:
        for site in film_sites(chosen):
            _sort_in(site, readings, progress, found, missing)
    summed = [c for c in limbs if any(isinstance(readings.get(cell), Scored) for cell in cells_of([c]))]
    found += [_limb_sum(chosen, readings, correlation) for chosen in summed]
    if summed:
        found.append(_all_sum(summed, readings, correlation))
    return tuple(found), tuple(missing)


def _sort_in(
    site: FilmSite,
    readings: Mapping[Cell, Reading],
    progress: Progression | None,
    found: list[Finding],
    missing: list[NotEvaluable],
) -> None:
    measurements = []
    for cell in site.cells:
        reading = readings.get(cell)
        if isinstance(reading, Scored):
            name = codes.SVH_ERO if cell.kind == "erosion" else codes.SVH_JSN
            unit = score_range(cell.maximum)
            measurements.append(
                Measurement(name, round(reading.expected, 2), unit, round(reading.standard_deviation, 2))
            )
    if measurements:
        changes, course = ((), ()) if progress is None else _course(site, progress)
        found.append(
            Finding(
                site.tracking_id,
                codes.SVH_JOINT,
                site.coded,
                site.region,
                (*measurements, *changes),
                course,
                image_label=label(site, readings),
            )
        )
        return
    missing.append(not_evaluable(site, readings))


def _course(site: FilmSite, progress: Progression) -> tuple[tuple[Measurement, ...], tuple[Evaluation, ...]]:
    """The change of each score of a site since the prior, and whether it is progression or impossible repair."""
    changes = tuple(
        Measurement(
            codes.SVH_ERO_CHANGE if cell.kind == "erosion" else codes.SVH_JSN_CHANGE,
            round(progress.cells[cell].difference, 2),
            codes.POINTS,
        )
        for cell in site.cells
        if cell in progress.cells
    )
    name = codes.SVH_COURSE
    course = []
    if any(cell in progress.progressed for cell in site.cells):
        course.append(Evaluation(name, codes.SVH_WORSE))
    if any(cell in progress.impossible for cell in site.cells):
        course.append(Evaluation(name, codes.SVH_REPAIRED))
    return changes, tuple(course)


def not_evaluable(site: FilmSite, readings: Mapping[Cell, Reading]) -> NotEvaluable:
    """The remark on a site that was not scored: why not."""
    chosen = site.chosen
    if chosen.contradictions:
        view_alone = chosen.contradictions == chosen.film.view_contradictions(chosen.reading)
        why, sentence = "WHY-OVERLAP" if view_alone else "WHY-LATERALITY", "; ".join(chosen.contradictions)
    else:
        reading = readings.get(site.cells[0])
        reason = reading.reason if isinstance(reading, NotScored) else Reason.NO_IMAGE
        if chosen.reading.too_small:
            why, sentence = "WHY-QUALITY", "the limb is too small on the picture to tell an early erosion"
        else:
            why, sentence = _WHY[reason], reason.value
    return NotEvaluable(
        site.tracking_id,
        codes.SVH_JOINT,
        private(why),
        capital(sentence) + ".",
        site.coded,
        site.region,
        label(site, readings),
    )


def sums(cells: Sequence[Cell], readings: Mapping[Cell, Reading], correlation: float) -> tuple[Total, Total, Total]:
    """Sums of the expected grades, with bounds and interval.

    Parameters
    ----------
    cells
        The cells to add up.
    readings
        Reading of each cell; a cell without one counts as not evaluable.
    correlation
        Between the errors of two cells of one patient, 0..1.

    Returns
    -------
    tuple
        Of erosion, of narrowing, and of both.
    """
    erosion = [c for c in cells if c.kind == "erosion"]
    narrowing = [c for c in cells if c.kind == "narrowing"]
    return (
        total(readings, erosion, correlation),
        total(readings, narrowing, correlation),
        total(readings, cells, correlation),
    )


def _number(name: Code, value: Total) -> Measurement:
    return Measurement(
        name,
        round(value.raw, 1),
        score_range(value.maximum),
        round(value.standard_deviation, 2),
        (round(value.interval[0], 1), round(value.interval[1], 1)),
    )


def _numbers(*sums_: tuple[Code, Total]) -> tuple[Measurement, ...]:
    """Those sums of which something was scored: one over nothing would read as a score of zero."""
    return tuple(_number(name, value) for name, value in sums_ if value.scored)


def _limb_sum(chosen: LimbFilm, readings: Mapping[Cell, Reading], correlation: float) -> Finding:
    limb, side = chosen.key
    erosion, narrowing, both = sums(cells_of([chosen]), readings, correlation)
    return Finding(
        f"SvH {side} {limb} sum",
        codes.SVH_SUM,
        Site(codes.HAND if limb == "hand" else codes.FOOT, side),
        _whole(chosen),
        _numbers((codes.SVH_ERO_LIMB, erosion), (codes.SVH_JSN_LIMB, narrowing)),
        (_completeness(both),),
        summary=f"{side} {limb} {_in_short(erosion, narrowing)}",
    )


def _in_short(erosion: Total, narrowing: Total) -> str:
    """Sums for where there is room for a few letters, e.g. ``E13 J7``."""
    return " ".join(f"{letter}{one.raw:.0f}" for letter, one in (("E", erosion), ("J", narrowing)) if one.scored)


def _whole(chosen: LimbFilm) -> Region:
    height, width = chosen.film.array.shape
    corners = [(0, 0), (width, 0), (width, height), (0, height), (0, 0)]
    return Region(chosen.film.image, np.array(corners, np.float64))


def _completeness(value: Total) -> Evaluation:
    return Evaluation(codes.SVH_COMPLETE, codes.SVH_FULL if value.complete else codes.SVH_PARTIAL)


def _all_sum(limbs: Sequence[LimbFilm], readings: Mapping[Cell, Reading], correlation: float) -> Finding:
    erosion, narrowing, both = sums(cells_of(limbs), readings, correlation)
    numbers = [
        *_numbers((codes.SVH_TOTAL, both), (codes.SVH_ERO_TOTAL, erosion), (codes.SVH_JSN_TOTAL, narrowing)),
        Measurement(codes.SVH_ASSESSED, float(both.scored), codes.NO_UNITS),
    ]
    if both.prorated is not None and not both.complete:
        unit = score_range(both.maximum)
        numbers.insert(1, Measurement(codes.SVH_PRORATED, round(both.prorated, 1), unit))
    hands = any(chosen.key[0] == "hand" for chosen in limbs)
    sides = {chosen.key[1] for chosen in limbs}
    return Finding(
        "SvH total",
        codes.SVH_SUM,
        Site(codes.HAND if hands else codes.FOOT, "B" if len(sides) == 2 else next(iter(sides))),
        _whole(limbs[0]),
        tuple(numbers),
        (_completeness(both),),
        summary=f"SvH total {both.raw:.0f} ({both.interval[0]:.0f} to {both.interval[1]:.0f})"
        + ("" if both.complete else ", partial"),
    )


def change(progress: Progression, chosen: LimbFilm) -> Finding:
    """The change of the totals since the prior reading, as a finding on the picture of one limb."""
    names = {"erosion": codes.SVH_ERO_DELTA, "narrowing": codes.SVH_JSN_DELTA}
    by_kind = {
        name: [c.difference for cell, c in progress.cells.items() if cell.kind == kind] for kind, name in names.items()
    }
    unit = codes.POINTS
    verdict = codes.SVH_CHANGED if progress.beyond_error else codes.SVH_STABLE
    return Finding(
        "SvH change",
        codes.SVH_SUM,
        Site(codes.HAND if chosen.key[0] == "hand" else codes.FOOT, "B"),
        _whole(chosen),
        (
            Measurement(codes.SVH_DELTA, round(progress.total.difference, 1), unit),
            *(Measurement(name, round(sum(each), 1), unit) for name, each in by_kind.items() if each),
        ),
        (Evaluation(codes.SVH_SDD, verdict),),
        summary=f"SvH change {progress.total.difference:+.0f}" + ("" if progress.beyond_error else ", within error"),
    )
