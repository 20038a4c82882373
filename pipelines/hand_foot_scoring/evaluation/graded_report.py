"""The report of a bundle on graded films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.hand_foot_scoring.evaluation import agreement, graded, pictures
from pipelines.hand_foot_scoring.evaluation.graded import ReadFilm
from pipelines.hand_foot_scoring.heads import MAXIMUM
from pipelines.hand_foot_scoring.scoring import SMALLEST_DETECTABLE_DIFFERENCE
from pipelines.lab import plots
from pipelines.lab.measures import likeliest, reliability
from pipelines.lab.plots import LimitsOfAgreement
from pipelines.lab.report_page import Report

WORST_FILMS, WORST_CELLS = 8, 24


def write(
    folder: Path, films: Sequence[ReadFilm], figures: Mapping[str, Any], correlation: float, trained_on: str
) -> Path:
    """Write pictures, tables and the page of a report.

    Parameters
    ----------
    folder
        To write to; it is made if missing.
    films
        As read.
    figures
        From `graded.figures`.
    correlation
        Between the errors of two cells, from the bundle's calibration.
    trained_on
        What the bundle says of itself.

    Returns
    -------
    Path
        The page.
    """
    report = Report(folder, f"Hands and feet on {figures['data']}")
    report.note(f"Bundle: {trained_on}.", f"Films: {figures['set']}.")
    report.figures(
        {
            "patients": figures["patients"],
            "films": figures["films"],
            "films that were not read": figures["films_not_read"],
            "graded cells": figures["graded_cells"],
            "of them read": figures["read_cells"],
        }
    )
    _totals(report, films, figures, correlation)
    _cells(report, films, figures)
    _places(report, figures)
    report.heading("What was not read")
    report.table(("reason", "graded cells"), list(figures["not_read"].items()), "not_read")
    _worst(report, films)
    _every_film(report, films)
    return report.write()


def _totals(report: Report, films: Sequence[ReadFilm], figures: Mapping[str, Any], correlation: float) -> None:
    sums = graded.totals(films, correlation)
    if not sums:
        return
    limits = LimitsOfAgreement.of([one.difference for one in sums])
    report.heading("Totals")
    report.note(
        "One point for each examination, over the cells that both have graded; 95 % of the differences are expected"
        " between the dashed lines (Bland and Altman 1986). The band is the smallest detectable difference between two"
        f" readings, {SMALLEST_DETECTABLE_DIFFERENCE:.0f} units. Thin lines are the 90 % intervals that were reported."
    )
    drawn = plots.bland_altman(
        [one.read for one in sums],
        [one.reference for one in sums],
        title="Totals: read against reference",
        unit="units",
        half_widths=[one.half_width for one in sums],
        band=SMALLEST_DETECTABLE_DIFFERENCE,
    )
    report.picture("bland_altman", drawn, "Differences of totals against their means")
    report.figures(
        {
            "examinations": limits.count,
            "bias, units": limits.bias,
            "standard deviation of the differences": limits.standard_deviation,
            "lower limit of agreement": limits.lower,
            "upper limit of agreement": limits.upper,
            "share of references within the 90 % interval": figures["interval_coverage"],
            "mean half width of the interval": figures["interval_half_width"],
        }
    )


def _cells(report: Report, films: Sequence[ReadFilm], figures: Mapping[str, Any]) -> None:
    report.heading("Grades of cells")
    report.note(
        "kappa: quadratic weighted kappa (Cohen 1968). mae and rmse: of the expected grade. rmse_damaged: over cells"
        " whose reference is above 0. balanced_accuracy: share read exactly, averaged over the grades of the reference."
    )
    report.table(
        ("head", "joints", *agreement.AGREEMENT_COLUMNS),
        [
            (head, family, *row.values())
            for head, families in figures["agreement"].items()
            for family, row in families.items()
        ],
        "agreement",
    )
    heads = graded.pairs_by_head(films)
    for head, pairs in heads.items():
        table = graded.confusion(pairs, MAXIMUM[head])
        drawn = plots.confusion(table, title=head.replace("_", " "))
        report.picture(f"confusion_{head}", drawn, f"Confusion of grades, {head}")
    report.heading("Reliability")
    report.note(
        "How often the likeliest grade is that of the reference, against the probability that it was given. On the"
        " diagonal probabilities hold. Numbers are cells. ECE: expected calibration error."
    )
    for head, pairs in heads.items():
        drawn = plots.reliability(
            reliability(*likeliest(pairs.probabilities, np.rint(pairs.truth).astype(np.int64))),
            title=f"{head.replace('_', ' ')}: ECE {figures['calibration_error'][head]:.3f}",
            labels=("confidence in the likeliest grade", "share that is right"),
        )
        report.picture(f"reliability_{head}", drawn, f"Reliability of {head}")


def _places(report: Report, figures: Mapping[str, Any]) -> None:
    if "places" in figures:
        report.heading("Places of joints")
        report.note("Joints whose places are marked, against where they were found, in lengths of the hand or foot.")
        report.figures(figures["places"])
    if "erosions" in figures:
        report.heading("Outlined erosions")
        report.note(
            "Erosions that are outlined on the films: how many lie in the square of a joint, and of how many the"
            f" erosion score of that joint was read as {graded.ERODED:g} or more."
        )
        report.figures(figures["erosions"])


def _worst(report: Report, films: Sequence[ReadFilm]) -> None:
    worst = graded.worst_films(films, WORST_FILMS)
    if worst:
        report.heading("Worst films")
        report.note("By the difference of totals. Left: as read. Right: the reference.")
        report.picture("worst_films", pictures.worst_films_sheet(worst), "Films whose totals differ most")
    cells = graded.worst_cells(films, WORST_CELLS)
    if cells:
        report.heading("Worst cells")
        report.note("By the difference of grades as a share of their scale.")
        report.picture("worst_cells", pictures.worst_cells_sheet(cells), "Joints whose grades differ most")


def _every_film(report: Report, films: Sequence[ReadFilm]) -> None:
    report.heading("Every film")
    rows = []
    for one in films:
        pairs = list(one.pairs)
        # a sum over nothing would read as a score of zero
        read = sum(r.expected for _, r, _ in pairs) if pairs else None
        reference = sum(grade for _, _, grade in pairs) if pairs else None
        name = one.film.picture.name
        limb = f"{one.film.side} {one.film.part}"
        rows.append((name, one.film.patient, limb, len(one.film.grades), len(pairs), read, reference, one.why_not))
    heading = ("film", "patient", "limb", "graded cells", "of them read", "read", "reference", "why not")
    report.table(heading, rows, "films_read")
