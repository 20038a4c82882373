"""What the network sees: a matrix of codes by weeks and a vector of static values, of a record or simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from pipelines.context import ClinicalContext, CodedEvent
from pipelines.knee_oa_risk.vocabulary import Coverage, MappedEvent, concepts, matrix_codes, translate
from pipelines.knee_oa_risk.window import DAYS_PER_YEAR, GAP, STATIC, WEEKS

Floats = NDArray[np.float32]

DIAGNOSIS_SCALE = 7.0  # days of a week
MEDICATION_SCALE = 28.0  # days of supply, the usual refill; both as in the review of Deep-KOA
KNOTS = (38.0, 48.0, 57.0, 66.0, 78.0)  # age, years
# typical value and spread, so that every static number reaches the network near unit scale
SCALE = {
    "bmi": (27.0, 5.0),
    "kl": (0.5, 0.7),
    "family": (0.25, 0.45),
    "old_injury": (0.1, 0.3),
    "urate": (5.4, 1.3),
    "crp": (0.6, 0.9),
    "hba1c": (5.6, 0.8),
}
STATIC_NAMES = (
    *(f"age {number}" for number in range(1, len(KNOTS))),
    "female",
    "visits",
    "codes",
    "observed",
    *STATIC,
    *(f"{name} missing" for name in STATIC),
)
DEFAULT_SUPPLY_DAYS = 28.0  # of a prescription that does not say how long it lasts


@dataclass(frozen=True)
class Batch:
    """Sparse matrices and static values of several people: the filled cells, sorted by person, none twice."""

    person: NDArray[np.int64]  # (C,) of each cell
    row: NDArray[np.int64]
    week: NDArray[np.int64]
    value: Floats  # (C,) in 0..1
    static: Floats  # (N, S)
    rows: int

    def __len__(self) -> int:
        return len(self.static)

    @classmethod
    def collect(
        cls,
        person: NDArray[np.int64],
        row: NDArray[np.int64],
        week: NDArray[np.int64],
        value: NDArray[np.float64],
        static: Floats,
        rows: int,
    ) -> Batch:
        """Events in any order, several in a cell added up and held at 1.

        Parameters
        ----------
        person, row, week
            (E,): where each event falls; row of the matrix, week of the window.
        value
            (E,): what it adds to its cell.
        static
            (N, S): see `static_vector`.
        rows
            Of the matrix.
        """
        key, place = np.unique((person * rows + row) * WEEKS + week, return_inverse=True)
        total = np.minimum(np.bincount(place, value, minlength=len(key)), 1.0).astype(np.float32)
        return cls(key // (rows * WEEKS), key // WEEKS % rows, key % WEEKS, total, static, rows)

    def cells(self, persons: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        """Index among `persons` and index among the cells, of each cell that one of `persons` fills."""
        first = np.searchsorted(self.person, persons)
        counts = np.searchsorted(self.person, persons, side="right") - first
        where = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
        return np.repeat(np.arange(len(persons)), counts), where

    def take(self, persons: NDArray[np.int64]) -> Batch:
        """The batch of `persons`, in that order, some more than once if they stand there more than once."""
        number, where = self.cells(persons)
        return Batch(number, self.row[where], self.week[where], self.value[where], self.static[persons], self.rows)

    @classmethod
    def joined(cls, batches: Sequence[Batch]) -> Batch:
        """Several batches of the same codes one after another."""
        counts = [len(batch) for batch in batches]
        offsets = np.cumsum([0, *counts[:-1]])
        return cls(
            np.concatenate([batch.person + offset for batch, offset in zip(batches, offsets, strict=True)]),
            np.concatenate([batch.row for batch in batches]),
            np.concatenate([batch.week for batch in batches]),
            np.concatenate([batch.value for batch in batches]),
            np.concatenate([batch.static for batch in batches]),
            batches[0].rows,
        )

    def dense(self, persons: NDArray[np.int64] | None = None) -> Floats:
        """The matrices of `persons` (all by default), (N, codes, weeks)."""
        chosen = np.arange(len(self)) if persons is None else persons
        number, where = self.cells(chosen)
        matrix = np.zeros((len(chosen), self.rows, WEEKS), np.float32)
        matrix[number, self.row[where], self.week[where]] = self.value[where]
        return matrix


def age_spline(age: NDArray[np.float64]) -> NDArray[np.float64]:
    """Restricted cubic spline with knots at `KNOTS`, (N, 4): linear below the first knot and above the last."""
    knots = np.asarray(KNOTS)
    t, last, before = age[:, None], knots[-1], knots[-2]

    def cube(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(x, 0.0) ** 3

    terms = [
        cube(t[:, 0] - knot)
        - cube(t[:, 0] - before) * (last - knot) / (last - before)
        + cube(t[:, 0] - last) * (before - knot) / (last - before)
        for knot in knots[:-2]
    ]
    scale = (last - knots[0]) ** 2 * 20.0
    return np.stack([(age - 57.0) / 15.0, *(term / scale for term in terms)], axis=1)


def static_vector(
    age: NDArray[np.float64],
    female: NDArray[np.float64],
    visits_per_year: NDArray[np.float64],
    codes: NDArray[np.float64],
    observed_weeks: NDArray[np.float64],
    static: dict[str, NDArray[np.float64]],
) -> Floats:
    """Static values in the order of `STATIC_NAMES`, (N, S); a missing value is 0 with its flag set.

    Parameters
    ----------
    age
        (N,), years.
    female
        (N,): 1, 0, or 0.5 where the record does not say.
    visits_per_year
        (N,): weeks with a diagnosis per observed year.
    codes
        (N,): different codes in the window.
    observed_weeks
        (N,): of the window.
    static
        (N,) each, in their own units; NaN where missing.
    """
    columns = [*age_spline(age).T, female, np.log1p(visits_per_year) - 2.1, np.log1p(codes) - 2.5]
    columns.append(observed_weeks / WEEKS)
    columns += [np.nan_to_num((static[name] - SCALE[name][0]) / SCALE[name][1], nan=0.0) for name in STATIC]
    columns += [np.isnan(static[name]).astype(float) for name in STATIC]
    return np.stack(columns, axis=1).astype(np.float32)


@dataclass(frozen=True)
class PatientRecord:
    """One patient's record as the network sees it, with what is needed to judge whether it may."""

    batch: Batch
    age: float
    observed_weeks: int
    visits_per_year: float
    static: dict[str, float]  # recorded values in their own units, NaN where missing
    coverage: Coverage
    outcome_before: bool  # a knee osteoarthritis or a knee replacement is already on record
    days: int  # of the window with any entry
    complaints: int  # events that follow rather than foretell the disease; seen, not used
    window: tuple[date, date]  # first and last day that the network sees


def from_context(context: ClinicalContext, with_leaks: bool = False) -> PatientRecord:
    """The record up to the wash-out before `context.index_date`.

    Raises
    ------
    ValueError
        If the record has no birth date.
    """
    if context.birth_date is None:
        raise ValueError("the record has no birth date")
    last = context.index_date - timedelta(weeks=GAP)
    first = last - timedelta(weeks=WEEKS)
    # what stands before the birth has no date (a family history) or a wrong one
    past = [event for event in context.events if context.birth_date <= event.start <= context.index_date]
    undated = [event for event in context.events if event.start < context.birth_date]
    mapped, _ = translate([*undated, *past])
    _, coverage = translate([event for event in past if (event.end or event.start) >= first])
    rows = {code: row for row, code in enumerate(matrix_codes(with_leaks))}
    cells: dict[tuple[int, int], float] = {}
    for found in _each_once(mapped):
        for week, value in _cells(found, first, last):
            row = rows.get(found.concept.code)
            if row is not None:
                cells[(row, week)] = cells.get((row, week), 0.0) + value
    visits = {week for (row, week) in cells if concepts()[matrix_codes(with_leaks)[row]].kind == "condition"}
    observed = _observed_weeks(past, first, last)
    static = _static_values(mapped, context.index_date)
    age = (context.index_date - context.birth_date).days / DAYS_PER_YEAR
    female = {"F": 1.0, "M": 0.0}.get(context.sex, 0.5)
    per_year = len(visits) / max(observed / 52.0, 1 / 52.0)
    vector = static_vector(
        np.array([age]),
        np.array([female]),
        np.array([per_year]),
        np.array([float(len({row for row, _ in cells}))]),
        np.array([float(observed)]),
        {name: np.array([value]) for name, value in static.items()},
    )
    keys = sorted(cells)
    batch = Batch.collect(
        np.zeros(len(keys), np.int64),
        np.array([row for row, _ in keys], np.int64),
        np.array([week for _, week in keys], np.int64),
        np.array([cells[key] for key in keys], np.float64),
        vector,
        len(rows),
    )
    return PatientRecord(
        batch=batch,
        age=age,
        observed_weeks=observed,
        visits_per_year=per_year,
        static=static,
        coverage=coverage,
        outcome_before=any(found.concept.role == "outcome" for found in mapped),
        days=len({event.start for event in past if first <= event.start < last}),
        complaints=sum(found.concept.role == "leak" for found in mapped),
        window=(first, last),
    )


def _each_once(mapped: tuple[MappedEvent, ...]) -> list[MappedEvent]:
    """One event per concept and day, the longest supply: several sources and repeated messages tell the same thing."""
    longest: dict[tuple[str, date], MappedEvent] = {}
    for found in mapped:
        key = (found.concept.code, found.event.start)
        if key not in longest or (found.event.days_supply or 0.0) > (longest[key].event.days_supply or 0.0):
            longest[key] = found
    return list(longest.values())


def _cells(found: MappedEvent, first: date, last: date) -> list[tuple[int, float]]:
    """The weeks and values that one event adds to the matrix."""
    if found.concept.role not in ("input", "leak"):
        return []
    event = found.event
    if found.concept.kind == "medication":
        return _refills(event.start, event.end, event.days_supply, first, last)
    if not first <= event.start < last:
        return []
    return [((event.start - first).days // 7, 1.0 / DIAGNOSIS_SCALE)]


def _refills(
    start: date, end: date | None, days_supply: float | None, first: date, last: date
) -> list[tuple[int, float]]:
    """A prescription without days of supply but with an end is taken as refilled every four weeks until then."""
    supply = days_supply if days_supply is not None and days_supply > 0 else None  # nor is NaN above 0
    if supply is not None or end is None or (end - start).days <= DEFAULT_SUPPLY_DAYS:
        fills = [(start, supply or DEFAULT_SUPPLY_DAYS)]
    else:  # only those in the window: an end may lie in the year 9999
        numbers = range(max(0, (first - start).days // 28), (min(end, last) - start).days // 28 + 1)
        fills = [(start + timedelta(days=28 * number), 28.0) for number in numbers]
    return [((day - first).days // 7, days / MEDICATION_SCALE) for day, days in fills if first <= day < last]


def _observed_weeks(past: list[CodedEvent], first: date, last: date) -> int:
    """Weeks between the oldest entry and the end of the window, at most the whole window."""
    starts = [event.start for event in past if event.start < last]
    if not starts:
        return 0
    return min((last - max(min(starts), first)).days // 7, WEEKS)


def _static_values(mapped: tuple[MappedEvent, ...], index_date: date) -> dict[str, float]:
    """The latest recorded value of each static quantity, in the unit of the simulator; NaN where missing."""
    values: dict[str, float] = dict.fromkeys(STATIC, float("nan"))
    latest: dict[str, tuple[date, float]] = {}
    for found in mapped:
        event, code = found.event, found.concept.code
        if found.concept.role == "static" and (event.value is not None or event.kind == "condition"):
            value = 1.0 if event.value is None else _in_our_unit(code, event.value, event.unit)
            low, high = PLAUSIBLE[code]
            # a value that nobody can have is a slip or in another unit: it is left out, and so is NaN
            if low <= value <= high and (code not in latest or event.start >= latest[code][0]):
                latest[code] = (event.start, value)
    recent = {code: value for code, (day, value) in latest.items() if (index_date - day).days <= 5 * 366}
    if "BMI" not in recent and {"WEIGHT", "HEIGHT"} <= recent.keys():
        recent["BMI"] = recent["WEIGHT"] / (recent["HEIGHT"] / 100.0) ** 2
    low, high = PLAUSIBLE["BMI"]
    if low <= recent.get("BMI", 0.0) <= high:
        values["bmi"] = min(max(recent["BMI"], 16.0), 50.0)
    if "CRP" in recent:
        values["crp"] = float(np.log(recent["CRP"]))
    for code, name in (("URATE", "urate"), ("HBA1C", "hba1c")):
        if code in recent:
            values[name] = recent[code]
    for code, name, most in (
        ("KL_GRADE", "kl", 2.0),
        ("FAMILY_HISTORY", "family", 1.0),
        ("OLD_KNEE_INJURY", "old_injury", 1.0),
    ):
        if code in latest:
            values[name] = min(latest[code][1], most)
    return values


# to the unit of the table: (code, unit) -> factor
UNITS = {
    ("HEIGHT", "m"): 100.0,
    ("HEIGHT", "[in_i]"): 2.54,
    ("WEIGHT", "g"): 0.001,
    ("WEIGHT", "[lb_av]"): 0.45359237,
    ("URATE", "umol/L"): 1 / 59.48,
    ("CRP", "mg/dL"): 10.0,
}
# in the unit of the table: what a living adult can have, widely drawn
PLAUSIBLE = {
    "BMI": (10.0, 80.0),
    "WEIGHT": (20.0, 400.0),
    "HEIGHT": (90.0, 250.0),
    "KL_GRADE": (0.0, 4.0),
    "FAMILY_HISTORY": (0.0, 1.0),
    "OLD_KNEE_INJURY": (0.0, 1.0),
    "URATE": (0.5, 25.0),
    "CRP": (0.01, 600.0),
    "HBA1C": (2.0, 22.0),
}


def _in_our_unit(code: str, value: float, unit: str) -> float:
    if (code, unit) == ("HBA1C", "mmol/mol"):  # IFCC to NGSP, per cent (doi 10.1373/clinchem.2008.105684)
        return 0.0915 * value + 2.15
    return value * UNITS.get((code, unit), 1.0)
