"""What an evaluation measured, one row per volume, axis, factor and method, and the tables made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.lab.measures import bootstrap

FIGURES = ("ssim", "psnr_db", "rmse", "highband_error")


@dataclass(frozen=True)
class Row:
    """One volume, degraded along one axis by one factor, restored by one method."""

    volume: str
    axis: int
    factor: int
    method: str
    ssim: float
    psnr_db: float
    rmse: float
    highband_error: float
    seconds: float
    profile: str = "fir"
    kind: str = "real"  # or simulated
    coverage_90: float | None = None  # of our nominal 90 % intervals, over the foreground
    subject: str = ""  # whose the volume is; the volume itself, where it is not known

    @property
    def whose(self) -> str:
        """The subject, or the volume as one of its own."""
        return self.subject or self.volume


def interval(values: Sequence[float], subjects: Sequence[str], draws: int = 2000) -> tuple[float, float]:
    """95 % interval of the mean, by drawing subjects with replacement: axes and echoes of one are no news.

    Parameters
    ----------
    values
        One per row.
    subjects
        Whose each row is.
    draws
        Samples.
    """
    array = np.asarray(values)
    found = bootstrap(lambda rows: {"mean": float(array[rows].mean())}, np.asarray(subjects), draws)
    return found["mean"]


@dataclass(frozen=True)
class Cell:
    """One figure of one method at one factor."""

    mean: float
    low: float
    high: float
    rows: int


def summary(rows: Sequence[Row], figure: str) -> dict[tuple[int, str], Cell]:
    """Mean over volumes and axes with its 95 % interval over subjects, for each factor and method."""
    cells = {}
    for factor in sorted({row.factor for row in rows}):
        for method in dict.fromkeys(row.method for row in rows):
            chosen = [row for row in rows if (row.factor, row.method) == (factor, method)]
            values = [getattr(row, figure) for row in chosen]
            if values:
                low, high = interval(values, [row.whose for row in chosen])
                cells[factor, method] = Cell(float(np.mean(values)), low, high, len(values))
    return cells


def gains(rows: Sequence[Row], against: str, figure: str = "psnr_db") -> dict[int, tuple[Cell, float]]:
    """Ours minus another method, paired by volume and axis, with the p of Wilcoxon's signed-rank test.

    Parameters
    ----------
    rows
        Of all methods.
    against
        Name of the other method.
    figure
        Which figure of a row is compared.
    """
    from scipy.stats import wilcoxon

    found = {}
    for factor in sorted({row.factor for row in rows}):
        pairs: dict[tuple[str, str, int], dict[str, float]] = {}
        for row in rows:
            if row.factor == factor:
                pairs.setdefault((row.whose, row.volume, row.axis), {})[row.method] = getattr(row, figure)
        both = {key: pair for key, pair in pairs.items() if {"learned", against} <= set(pair)}
        differences = [pair["learned"] - pair[against] for pair in both.values()]
        if differences:
            p = float(wilcoxon(differences).pvalue) if len(differences) > 1 and any(differences) else 1.0
            low, high = interval(differences, [subject for subject, *_ in both])
            found[factor] = Cell(float(np.mean(differences)), low, high, len(differences)), p
    return found


def markdown(rows: Sequence[Row]) -> str:
    """The table of a set of rows."""
    lines = ["| k | method | SSIM | pSNR dB | RMSE | error above Nyquist | rows |", "|---|---|---|---|---|---|---|"]
    tables = {figure: summary(rows, figure) for figure in FIGURES}
    for factor, method in tables["ssim"]:
        cells = [tables[figure][factor, method] for figure in FIGURES]
        shown = [
            f"{cell.mean:.{digits}f} ({cell.low:.{digits}f}-{cell.high:.{digits}f})"
            for cell, digits in zip(cells, (4, 2, 4, 3), strict=True)
        ]
        lines.append(f"| {factor} | {method} | " + " | ".join(shown) + f" | {cells[0].rows} |")
    return "\n".join(lines)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows for `rows_of` to read."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def rows_of(path: Path) -> list[Row]:
    """The rows that an evaluation wrote."""
    read: list[dict[str, Any]] = json.loads(path.read_text())
    return [Row(**each) for each in read]
