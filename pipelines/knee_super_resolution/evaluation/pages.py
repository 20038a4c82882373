"""The page of an evaluation: figures, gains by factor, coverage, and the worst cases with maps of their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.bundle_configs import inference_digest, trained_on
from pipelines.knee_super_resolution import metrics
from pipelines.knee_super_resolution.evaluation.methods import Weights, restored
from pipelines.knee_super_resolution.evaluation.rows import FIGURES, Row, gains, summary, write_rows
from pipelines.knee_super_resolution.training.tasks import degraded
from pipelines.knee_super_resolution.training.volumes import ThinVolume
from pipelines.lab import plots
from pipelines.lab.report_page import Report

WORST = 3  # cases that are shown
OURS, SPLINE = "learned", "tricubic"
WORDS = {"ssim": "SSIM", "psnr_db": "pSNR, dB", "rmse": "RMSE", "highband_error": "error above Nyquist"}


@dataclass(frozen=True)
class Case:
    """One volume, axis and factor."""

    subject: str
    volume: str
    axis: int
    factor: int
    gain_db: float  # of ours over the spline


def write_page(
    folder: Path, rows: Sequence[Row], volumes: Sequence[ThinVolume], weights: Weights, kind: str = "fir"
) -> Path:
    """Write report.html and its pictures.

    Parameters
    ----------
    folder
        To write to.
    rows
        What was measured.
    volumes
        That it was measured on.
    weights
        That it was measured with.
    kind
        Sensitivity of a thick slice.
    """
    page = Report(folder, "Knee super-resolution: evaluation")
    subjects, measured = {row.whose for row in rows}, {(row.subject, row.volume) for row in rows}
    page.note(
        f"{len(measured)} volumes of {len(subjects)} subjects, each made thick along each of its thin axes ({kind}"
        " profile) and restored.",
        "Intensities are over the 99.9th percentile of the thick slices; figures are over the foreground.",
        "Intervals hold 95 % of means over subjects drawn with replacement; with one subject there is none.",
        f"Weights {inference_digest(weights.bundle)[:12]}: {trained_on(weights.bundle)}.",
    )
    _figures(page, rows)
    _gains(page, rows)
    _coverage(page, rows)
    _worst(page, rows, volumes, weights, kind)
    write_rows(folder / "rows.json", rows)
    return page.write()


def cases(rows: Sequence[Row]) -> list[Case]:
    """Every case that ours and the spline were measured on, the least gain first."""
    found: dict[tuple[str, str, int, int], dict[str, float]] = {}
    for row in rows:
        found.setdefault((row.subject, row.volume, row.axis, row.factor), {})[row.method] = row.psnr_db
    both = [(key, each) for key, each in found.items() if {OURS, SPLINE} <= set(each)]
    return sorted((Case(*key, each[OURS] - each[SPLINE]) for key, each in both), key=lambda case: case.gain_db)


def _figures(page: Report, rows: Sequence[Row]) -> None:
    tables = {figure: summary(rows, figure) for figure in FIGURES}
    page.heading("Figures")
    lines = []
    for factor, method in tables["ssim"]:
        cells = [tables[figure][factor, method] for figure in FIGURES]
        lines.append((factor, method, *(f"{cell.mean:.4f} ({cell.low:.4f} to {cell.high:.4f})" for cell in cells)))
    page.table(("k", "method", *(WORDS[figure] for figure in FIGURES)), lines, "figures")


def _gains(page: Report, rows: Sequence[Row]) -> None:
    others = [method for method in dict.fromkeys(row.method for row in rows) if method != OURS]
    found = {other: gains(rows, other) for other in others}
    if not any(found.values()):
        return
    page.heading("Gain in pSNR")
    page.table(
        ("k", "against", "gain of learned, dB", "Wilcoxon p", "pairs"),
        [
            (factor, other, f"{cell.mean:+.2f} ({cell.low:+.2f} to {cell.high:+.2f})", f"{p:.2g}", cell.rows)
            for other, by_factor in found.items()
            for factor, (cell, p) in by_factor.items()
        ],
        "gains",
    )
    over_spline: dict[str, Mapping[int, float]] = {
        method: {factor: -cell.mean for factor, (cell, _) in found[method].items()}
        for method in others
        if method != SPLINE
    }
    if SPLINE in found:
        ours = {factor: cell.mean for factor, (cell, _) in found[SPLINE].items()}
        lines = {OURS: list(ours.values())}
        for method, behind in over_spline.items():
            if set(behind) == set(ours):
                lines[method] = [ours[factor] + behind[factor] for factor in ours]
        figure = plots.curves(
            list(ours), lines, title="Gain over the cubic spline", labels=("thin slices per thick slice", "dB")
        )
        page.picture("gain", figure, "Gain in pSNR over the cubic spline by factor, a line for each method")


def _coverage(page: Report, rows: Sequence[Row]) -> None:
    covered = [row for row in rows if row.coverage_90 is not None]
    if not covered:
        return
    page.heading("Uncertainty")
    page.note("Share of the foreground inside its 90 % interval, of plus and minus 1.645 standard deviations.")
    shares = {
        factor: [row.coverage_90 for row in covered if row.factor == factor and row.coverage_90 is not None]
        for factor in sorted({row.factor for row in covered})
    }
    lines = [(factor, float(np.mean(each)), min(each), max(each)) for factor, each in shares.items()]
    page.table(("k", "mean", "least", "most"), lines, "coverage")


def _worst(page: Report, rows: Sequence[Row], volumes: Sequence[ThinVolume], weights: Weights, kind: str) -> None:
    found = cases(rows)
    if not found:
        return
    page.heading("Cases, the least gain first")
    page.table(
        ("subject", "volume", "axis", "k", "gain over the spline, dB"),
        [(case.subject, case.volume, case.axis, case.factor, case.gain_db) for case in found],
        "cases",
    )
    by_name = {(volume.subject, volume.name): volume for volume in volumes}
    for number, case in enumerate(found[:WORST], start=1):
        shown, errors = error_maps(by_name[case.subject, case.volume], case.axis, case.factor, weights, kind)
        name = f"{case.subject} {case.volume}, axis {case.axis}, k = {case.factor}, {case.gain_db:+.2f} dB"
        top = float(np.percentile(errors["error of the spline"], 99.5)) or 1.0
        page.picture(f"worst_{number}", plots.panels(shown, title=name, limits=(0.0, 1.0)), f"{name}: restored")
        page.picture(
            f"worst_{number}_errors",
            plots.panels(errors, colour_map="inferno", limits=(0.0, top), label="of the scaled intensity"),
            f"{name}: errors of the spline and of ours, and the standard deviation that ours gives",
        )


Planes = Mapping[str, NDArray[np.float32]]


def error_maps(
    volume: ThinVolume, axis: int, factor: int, weights: Weights, kind: str = "fir"
) -> tuple[Planes, Planes]:
    """Pictures, and maps of errors, of the plane across the slices in which the spline errs most; (F, H) each.

    Parameters
    ----------
    volume, axis, factor
        The volume, which of its axes is made thick, and how much.
    weights
        Of ours.
    kind
        Sensitivity of a thick slice.
    """
    task, truth = degraded(volume, axis, factor, kind)
    spline, _ = restored(SPLINE, task, weights)
    ours, spread = restored(OURS, task, weights)
    mask = metrics.foreground(truth)
    column = int(np.argmax((np.abs(spline - truth) * mask).sum(axis=(0, 1))))
    thick = task.thick[np.rint(task.fine / factor).astype(int)]  # each thin slice as the nearest acquired one
    shown = {"thick slices": thick, "spline": spline, "learned": ours, "truth": truth}
    errors = {"error of the spline": np.abs(spline - truth), "error of learned": np.abs(ours - truth)}
    if spread is not None:
        errors["standard deviation"] = spread
    return (
        {name: each[:, :, column] for name, each in shown.items()},
        {name: each[:, :, column] for name, each in errors.items()},
    )
