"""What an evaluation measured, one row per volume, axis, factor and method, and the tables made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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


def bootstrap(values: Sequence[float], seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """95 % interval of the mean, by drawing rows with replacement.

    Parameters
    ----------
    values
        One per row.
    seed, draws
        Of the random draws, and how many.
    """
    random = np.random.default_rng(seed)
    array = np.asarray(values)
    means = array[random.integers(len(array), size=(draws, len(array)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True)
class Cell:
    """One figure of one method at one factor."""

    mean: float
    low: float
    high: float
    rows: int


def summary(rows: Sequence[Row], figure: str) -> dict[tuple[int, str], Cell]:
    """Mean and 95 % interval over volumes and axes, for each factor and method."""
    cells = {}
    for factor in sorted({row.factor for row in rows}):
        for method in dict.fromkeys(row.method for row in rows):
            values = [getattr(row, figure) for row in rows if (row.factor, row.method) == (factor, method)]
            if values:
                cells[factor, method] = Cell(float(np.mean(values)), *bootstrap(values), len(values))
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
        pairs: dict[tuple[str, int], dict[str, float]] = {}
        for row in rows:
            if row.factor == factor:
                pairs.setdefault((row.volume, row.axis), {})[row.method] = getattr(row, figure)
        differences = [pair["learned"] - pair[against] for pair in pairs.values() if {"learned", against} <= set(pair)]
        if differences:
            p = float(wilcoxon(differences).pvalue) if len(differences) > 1 and any(differences) else 1.0
            found[factor] = Cell(float(np.mean(differences)), *bootstrap(differences), len(differences)), p
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


def rows_of(path: Path) -> list[Row]:
    """The rows that an evaluation wrote."""
    read: list[dict[str, Any]] = json.loads(path.read_text())
    return [Row(**each) for each in read]
