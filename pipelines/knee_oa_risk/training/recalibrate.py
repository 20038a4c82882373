"""Calibration of risks to people whose outcomes are known, and the recalibration of the shipped model to a site."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_oa_risk.model import RiskCalibration
from pipelines.knee_oa_risk.training.measures import calibration_fit, censoring_weights
from pipelines.knee_oa_risk.window import HORIZONS

CASES_TO_CALIBRATE = 20  # diagnoses by each horizon, at least


def recalibrate(table: Path, output: Path, source: str) -> RiskCalibration:
    """A site's own calibration from a csv with columns risk_1y, risk_3y, risk_5y, time_years, event.

    `event` is 1 for a diagnosis of knee osteoarthritis, 2 for death, 0 for the end of follow-up, at `time_years`
    after the risk was given. The risks are those that the reports gave before any recalibration.

    Parameters
    ----------
    table
        The csv file.
    output
        Where the calibration is written, as JSON.
    source
        What it was fitted on, for the report.

    Raises
    ------
    ValueError
        If a row is not that, or there are too few diagnoses.
    """
    with table.open(encoding="utf-8-sig", newline="") as stream:
        outcomes = [_outcome(row, f"{table.name}: row {n}") for n, row in enumerate(csv.DictReader(stream), 2)]
    risk = np.array([risks for risks, _, _ in outcomes]).reshape(len(outcomes), len(HORIZONS))
    time_ = np.array([years for _, years, _ in outcomes])
    status = np.array([event for _, _, event in outcomes], dtype=np.int64)
    cases = [int(((status == 1) & (time_ <= horizon)).sum()) for horizon in HORIZONS]
    if min(cases) < CASES_TO_CALIBRATE:
        raise ValueError(f"{table.name}: needs at least {CASES_TO_CALIBRATE} diagnoses by each horizon, has {cases}")
    calibration = fit_calibration(risk, time_, status, source)
    calibration.write(output)
    return calibration


def _outcome(row: dict[str, str | None], where: str) -> tuple[list[float], float, int]:
    """Risks, years and event of one row; errors name row and column."""
    values: dict[str, float] = {}
    for column in (*(f"risk_{horizon}y" for horizon in HORIZONS), "time_years", "event"):
        try:
            values[column] = float(row[column] or "")
        except KeyError:
            raise ValueError(f"{where}: no column {column}") from None
        except ValueError:
            raise ValueError(f"{where}: {column} is no number") from None
    risks = [values[f"risk_{horizon}y"] for horizon in HORIZONS]
    if not all(0.0 <= value <= 1.0 for value in risks):
        raise ValueError(f"{where}: a risk should be a share from 0 to 1")
    if not 0.0 <= values["time_years"] < 150.0:
        raise ValueError(f"{where}: time_years should be years since the risk was given")
    if values["event"] not in (0.0, 1.0, 2.0):
        raise ValueError(f"{where}: event should be 0, 1 or 2")
    return risks, values["time_years"], int(values["event"])


def fit_calibration(
    risk: NDArray[np.float64], time_: NDArray[np.float64], status: NDArray[np.int64], source: str
) -> RiskCalibration:
    """Intercept and slope per horizon by weighted logistic regression on the logit of the risk.

    Parameters
    ----------
    risk
        (N, H): uncalibrated.
    time_, status
        (N,): years to whatever came first; 0 left, 1 knee osteoarthritis, 2 died.
    source
        What it is fitted on, for the report.
    """
    fits = []
    for number, horizon in enumerate(HORIZONS):
        weight, case = censoring_weights(time_, status, horizon)
        fits.append(calibration_fit(risk[:, number], case, weight))
    return RiskCalibration(tuple(a for a, _ in fits), tuple(b for _, b in fits), source)
