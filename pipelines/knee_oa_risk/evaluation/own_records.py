"""What a model is worth on a site's own records: measures with intervals, reliability and decision curve, as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_sr.words import counted
from pipelines.knee_oa_risk.model import Ensemble, RiskCalibration
from pipelines.knee_oa_risk.training.measures import (
    auprc,
    auroc,
    brier,
    calibration_fit,
    censoring_weights,
    in_the_large,
    net_benefit,
    reliability,
)
from pipelines.knee_oa_risk.training.register import ANY_LAYOUT, Register, gather, read_folders
from pipelines.knee_oa_risk.window import HORIZONS
from pipelines.lab import plots
from pipelines.lab.measures import Rows, bootstrap
from pipelines.lab.report_page import Report
from pipelines.lab.training_data import digest_of_folders

Floats = NDArray[np.float64]
DRAWS, SEED = 500, 0
FEWEST_PEOPLE = 10  # with and without a diagnosis; from fewer, no figure says anything
THRESHOLDS = np.linspace(0.02, 0.5, 25)
MEASURES = ("AUROC", "average precision", "Brier score", "observed over expected")


@dataclass(frozen=True)
class HorizonFigures:
    """What was measured at one horizon."""

    horizon: int  # years
    landmarks: int  # whose outcome is known by then
    cases: int
    values: dict[str, tuple[float, float, float]]  # by name: measured, and its 95 % interval; none from too few people
    intercept: float = 0.0  # of the outcome's log odds on those of the risk; 0 and 1 are perfect
    slope: float = 1.0


def measured(risk: Floats, people: Register, draws: int = DRAWS, seed: int = SEED) -> list[HorizonFigures]:
    """The figures of each horizon; intervals by bootstrap over people, each with all of their landmarks.

    Parameters
    ----------
    risk
        (N, H) of the landmarks of `people`.
    people
        The register.
    draws, seed
        Bootstrap samples, and their seed.
    """
    found = []
    for place, horizon in enumerate(HORIZONS):
        weight, case = censoring_weights(people.time, people.status, horizon)
        known = weight > 0
        figures = HorizonFigures(horizon, int(known.sum()), int(case.sum()), {})
        if min(len(np.unique(people.person[one])) for one in (case, known & ~case)) >= FEWEST_PEOPLE:
            mine = risk[:, place]
            measure = partial(_measure, mine, case, weight)
            ends = bootstrap(measure, people.person, draws, seed)
            values = {name: (value, *ends[name]) for name, value in (measure() or {}).items()}
            intercept, slope = calibration_fit(mine, case, weight)
            figures = HorizonFigures(horizon, figures.landmarks, figures.cases, values, intercept, slope)
        found.append(figures)
    return found


def _measure(
    risk: Floats, case: NDArray[np.bool_], weight: Floats, rows: Rows | slice = slice(None)
) -> dict[str, float] | None:
    """The figures of some landmarks; None where all or none of those that are known were diagnosed."""
    mine, cases, weights = risk[rows], case[rows], weight[rows]
    if not cases.any() or not (~cases & (weights > 0)).any():
        return None
    measures = zip(MEASURES, (auroc, auprc, brier, in_the_large), strict=True)
    return {name: measure(mine, cases, weights) for name, measure in measures}


def evaluate_records(
    paths: Sequence[Path],
    layout: str,
    bundle: Path,
    folder: Path,
    say: Callable[[str], None],
    site: RiskCalibration | None = None,
    draws: int = DRAWS,
) -> list[HorizonFigures]:
    """Measure a model on a site's records and write ``report.html`` with its pictures.

    Where the bundle was trained on exactly these files, only the people are measured whom it did not learn from.

    Parameters
    ----------
    paths, layout
        Of the records.
    bundle
        Of the model.
    folder
        For the page.
    say
        Called with lines for whoever waits.
    site
        The site's recalibration.
    draws
        Bootstrap samples of each interval.

    Raises
    ------
    UnsuitableInput
        If nobody in the records can be used.
    """
    ensemble = Ensemble.load(bundle)
    gathered = gather(read_folders(paths, layout or ANY_LAYOUT))
    register = gathered.usable()
    people, which = _unseen(register, ensemble, digest_of_folders(paths))
    risk = ensemble.risk(people.batch, site).value
    figures = measured(risk, people, draws)
    _page(folder, figures, risk, people, which, ensemble, gathered.left_out).write()
    say(which)
    for one in figures:
        words = ", ".join(
            f"{name} {value:.3f} ({low:.3f} to {high:.3f})" for name, (value, low, high) in one.values.items()
        )
        say(f"{counted(one.horizon, 'year')}: {one.landmarks} landmarks, {one.cases} diagnosed: {words or 'too few'}")
    return figures


def _unseen(register: Register, ensemble: Ensemble, digest: str) -> tuple[Register, str]:
    """The people to measure on, and a sentence on who they are."""
    card = ensemble.description
    if card.data_sha256 and card.data_sha256 == digest:
        held_out = register.parts(card.seed)[2]
        return (
            held_out,
            f"{held_out.people} people whom the model did not learn from, of the {register.people} it was made of",
        )
    whose = "records" if card.data_sha256 else "simulated people"
    remark = "; whether some of these people are among them is not known" if card.data_sha256 else ""
    return register, f"all {register.people} people; the model was trained on other {whose}{remark}"


def _page(
    folder: Path,
    figures: Sequence[HorizonFigures],
    risk: Floats,
    people: Register,
    which: str,
    ensemble: Ensemble,
    left_out: Counter[str],
) -> Report:
    page = Report(folder, "Knee osteoarthritis risk: measured on records")
    page.note(f"Measured on {which}. {len(people)} landmarks: each person is looked at once a year.")
    page.note(f"The model was trained on {ensemble.description.trained_on}. Research use only, not for clinical use.")
    page.heading("Figures")
    page.note(f"With 95 % intervals by bootstrap over people. Fewer than {FEWEST_PEOPLE} of a kind give no figure.")
    rows = [
        (
            f"{counted(one.horizon, 'year')}",
            one.landmarks,
            one.cases,
            *(_interval(one.values.get(name)) for name in MEASURES),
            *((f"{one.intercept:+.2f}", f"{one.slope:.2f}") if one.values else ("", "")),
        )
        for one in figures
    ]
    page.table(("within", "landmarks", "diagnosed", *MEASURES, "intercept", "slope"), rows, "figures")
    for place, one in enumerate(figures):
        if not one.values:
            continue
        years = counted(one.horizon, "year")
        weight, case = censoring_weights(people.time, people.status, one.horizon)
        known, mine = weight > 0, risk[:, place]
        page.heading(f"Within {years}")
        page.note(
            "The curve counts landmarks whose outcome is known by then; the table also weighs for those who left."
        )
        page.picture(
            f"roc-{one.horizon}y",
            plots.roc(case[known], {"model": mine[known]}, groups=people.person[known], title=f"ROC, {years}"),
            f"ROC of the risk within {years}",
        )
        page.picture(
            f"reliability-{one.horizon}y",
            plots.reliability(
                reliability(mine, case, weight), title=f"Reliability, {years}", labels=("risk", "share diagnosed")
            ),
            f"Risk against what happened within {years}",
        )
        curves = {
            "model": [1000 * net_benefit(mine, case, weight, at) for at in THRESHOLDS],
            "everybody": [1000 * net_benefit(np.ones(len(mine)), case, weight, at) for at in THRESHOLDS],
        }
        page.picture(
            f"decision-{one.horizon}y",
            plots.curves(
                THRESHOLDS,
                curves,
                title=f"Decision curve, {years}",
                labels=("threshold of the risk", "net benefit per 1000 people"),
            ),
            f"Net benefit of acting on the risk within {years}; acting on nobody is 0",
        )
    if left_out:
        page.heading("People left out")
        page.table(("reason", "people"), left_out.most_common())
    return page


def _interval(values: tuple[float, float, float] | None) -> str:
    return "" if values is None else f"{values[0]:.3f} ({values[1]:.3f} to {values[2]:.3f})"
