"""People of a site's own records as training wants them, from folders of OMOP CDM tables or FHIR R4 exports.

Everybody is looked at once a year for as long as they are followed and free of the disease (landmarks; van Houwelingen
2007, doi 10.1111/j.1467-9469.2006.00529.x): at each such day the record up to then is what the network sees, and what
came after it is the outcome. A day is never chosen by what came after it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from dicom_sr.words import counted
from pipelines.knee_oa_risk.matrix import Batch, PatientRecord, from_context
from pipelines.knee_oa_risk.training.measures import censoring_weights
from pipelines.knee_oa_risk.vocabulary import translate
from pipelines.knee_oa_risk.window import DAYS_PER_YEAR, GAP, HORIZONS, OLDEST, STATIC, YOUNGEST
from pipelines.records.fhir import read_people
from pipelines.records.omop import read_tables
from pipelines.records.record import DAY_UNKNOWN, Record

ANY_LAYOUT = "any"
LAYOUTS = {  # what each is, for a help text
    ANY_LAYOUT: "told by the files",
    "omop": "OMOP CDM tables, in a folder or a zip file",
    "fhir": "FHIR R4 bundles (*.json) or bulk exports (*.ndjson)",
}
SHORTEST_WEEKS = 52  # of history, beside the wash-out
MOST_UNKNOWN = 0.3  # share of codes that no table knows
EVERY = timedelta(days=365)
PARTS = (0.70, 0.15, 0.15)  # of the people: to train on, to calibrate on, held out


@dataclass(frozen=True)
class Register:
    """Landmarks of people in records; arrays over landmarks (N,)."""

    batch: Batch
    person: NDArray[np.int64]  # number of the person; several landmarks have one
    age: NDArray[np.float64]
    female: NDArray[np.float64]  # 0.5 where the record does not say
    observed_weeks: NDArray[np.int64]
    visits_per_year: NDArray[np.float64]
    static: dict[str, NDArray[np.float64]]
    time: NDArray[np.float64]  # years to what came first
    status: NDArray[np.int64]  # 0 followed no further, 1 knee osteoarthritis, 2 died

    def __len__(self) -> int:
        return len(self.time)

    @property
    def people(self) -> int:
        """How many people the landmarks are of."""
        return len(np.unique(self.person))

    @property
    def diagnosed(self) -> int:
        """People whose diagnosis follows one of their landmarks by no more than the last horizon."""
        return len(np.unique(self.person[(self.status == 1) & (self.time <= HORIZONS[-1])]))

    def cases(self) -> tuple[int, ...]:
        """Landmarks with a diagnosis within each horizon."""
        return tuple(int(((self.status == 1) & (self.time <= horizon)).sum()) for horizon in HORIZONS)

    def take(self, landmarks: NDArray[np.int64]) -> Register:
        """The landmarks of these numbers, in that order."""
        return Register(
            self.batch.take(landmarks),
            self.person[landmarks],
            self.age[landmarks],
            self.female[landmarks],
            self.observed_weeks[landmarks],
            self.visits_per_year[landmarks],
            {name: values[landmarks] for name, values in self.static.items()},
            self.time[landmarks],
            self.status[landmarks],
        )

    def parts(self, seed: int) -> tuple[Register, Register, Register]:
        """To train on, to calibrate on and held out: every person is in one of them only."""
        people = np.random.default_rng(seed).permutation(np.unique(self.person))
        ends = np.round(np.cumsum(PARTS) * len(people)).astype(int)
        groups = np.split(people, ends[:-1])
        first, second, third = (self.take(np.flatnonzero(np.isin(self.person, group))) for group in groups)
        return first, second, third

    def resampled(self, rng: np.random.Generator) -> Register:
        """As many people drawn with replacement, each with all of their landmarks."""
        people, first, counts = np.unique(self.person, return_index=True, return_counts=True)
        drawn = rng.integers(0, len(people), len(people))
        return self.take(np.concatenate([first[n] + np.arange(counts[n]) for n in np.sort(drawn)]))


@dataclass(frozen=True)
class GatheredRecords:
    """What folders of records gave, and how many people could not be used for which reason."""

    register: Register | None  # None: nobody could be used
    people: int
    left_out: Counter[str]

    def usable(self) -> Register:
        """The landmarks.

        Raises
        ------
        UnsuitableInput
            If there are none.
        """
        if self.register is not None:
            return self.register
        reasons = [f"{people} left out: {reason}" for reason, people in self.left_out.most_common()]
        why = "; ".join(reasons) or "there is no Patient resource, and no row of PERSON"
        raise UnsuitableInput(f"nobody in these records can be used: {why}")


def read_folders(paths: Iterable[Path], layout: str = ANY_LAYOUT) -> Iterator[Record]:
    """One record per person of folders or zip files.

    Parameters
    ----------
    paths
        Folders, or zip files of OMOP tables.
    layout
        One of `LAYOUTS`.

    Raises
    ------
    UnsuitableInput
        If a folder does not hold what the layout says, or something in it is not what its name says.
    """
    for path in paths:
        tables = path.suffix.lower() == ".zip" or any(file.stem.lower() == "person" for file in path.glob("*.csv"))
        if tables if layout == ANY_LAYOUT else layout == "omop":
            if not tables:
                raise UnsuitableInput(f"{path.name}: holds no OMOP tables (PERSON.csv and others)")
            yield from read_tables(path)
            continue
        bundles, lines = sorted(path.rglob("*.json")), sorted(path.rglob("*.ndjson"))
        if not bundles and not lines:
            missing = (
                "no FHIR export" if layout == "fhir" else "no OMOP tables (PERSON.csv and others) and no FHIR export"
            )
            raise UnsuitableInput(f"{path.name}: holds {missing}")
        for file in bundles:
            yield from _people(file)
        if lines:
            entries = [{"resource": _json(line, file)} for file in lines for line in _lines(file)]
            yield from read_people({"resourceType": "Bundle", "entry": entries})


def _people(bundle: Path) -> list[Record]:
    try:
        return read_people(_json("".join(_lines(bundle)), bundle))
    except UnsuitableInput as error:
        raise UnsuitableInput(f"{bundle.name}: {str(error).removeprefix(f'{bundle.name}: ')}") from error


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file that hold anything."""
    try:
        with path.open(encoding="utf-8-sig") as stream:
            yield from (line for line in stream if line.strip())
    except UnicodeDecodeError:
        raise UnsuitableInput(f"{path.name}: not in UTF-8") from None


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UnsuitableInput(f"{path.name}: not JSON") from error
    return content if isinstance(content, dict) else {}


def gather(records: Iterable[Record]) -> GatheredRecords:
    """The landmarks of all people of whom there are any."""
    seen: list[tuple[int, PatientRecord, float, float, int]] = []
    left_out: Counter[str] = Counter()
    number = -1
    for number, record in enumerate(records):
        landmarks = list(_landmarks(record))
        usable = [mark for mark in landmarks if mark[0].coverage.unknown_share <= MOST_UNKNOWN]
        if not usable:
            left_out[_why_not(record) if not landmarks else f"more than {MOST_UNKNOWN:.0%} unknown codes"] += 1
        female = {"F": 1.0, "M": 0.0}.get(record.identity.sex, 0.5)
        seen += [(number, patient, female, time, status) for patient, time, status in usable]
    return GatheredRecords(_register(seen) if seen else None, number + 1, left_out)


def _register(seen: list[tuple[int, PatientRecord, float, float, int]]) -> Register:
    patients = [patient for _, patient, _, _, _ in seen]
    return Register(
        Batch.joined([patient.batch for patient in patients]),
        np.array([number for number, *_ in seen]),
        np.array([patient.age for patient in patients]),
        np.array([female for _, _, female, _, _ in seen]),
        np.array([patient.observed_weeks for patient in patients]),
        np.array([patient.visits_per_year for patient in patients]),
        {name: np.array([patient.static[name] for patient in patients]) for name in STATIC},
        np.array([time for *_, time, _ in seen]),
        np.array([status for *_, status in seen]),
    )


@dataclass(frozen=True)
class _FollowUp:
    begins: date  # first entry
    ends: date  # what came first: diagnosis, death or the last entry
    status: int


def _follow_up(record: Record) -> _FollowUp | None:
    """None for an empty record. An entry dated after the death is not believed."""
    # a family history without a date stands before everything, and what is dated ahead has not happened
    born = record.identity.birth_date or date.min
    events = [event for event in record.events if born < event.start <= date.today()]
    starts = [event.start for event in events]
    if not starts:
        return None
    ends_of = [event.end for event in events if event.kind == "encounter" and event.end]
    last = min(max(starts + ends_of), date.today())
    mapped, _ = translate(events)
    diagnoses = [found.event.start for found in mapped if found.concept.role == "outcome"]
    ends = [(last, 2, 0)] if record.died is None else [(record.died, 1, 2)]
    ends += [(min(diagnoses), 0, 1)] if diagnoses else []
    day, _, status = min(ends)  # on one day the diagnosis comes before the death
    return _FollowUp(min(starts), day, status)


def _landmarks(record: Record) -> Iterator[tuple[PatientRecord, float, int]]:
    """The record at each landmark, years until the end of follow-up and how it ended."""
    seen = _follow_up(record)
    born = record.identity.birth_date
    if seen is None or born is None or record.died == DAY_UNKNOWN:
        return
    day = seen.begins + timedelta(weeks=SHORTEST_WEEKS + GAP)
    while day < seen.ends:
        age = (day - born).days / DAYS_PER_YEAR
        if YOUNGEST <= age < OLDEST + 1:
            patient = from_context(record.context(day))
            yield patient, (seen.ends - day).days / DAYS_PER_YEAR, seen.status
        day += EVERY


def _why_not(record: Record) -> str:
    seen = _follow_up(record)
    if record.identity.birth_date is None:
        return "no birth date"
    if record.died == DAY_UNKNOWN:
        return "died, and no day of it on record"
    if seen is None:
        return "nothing recorded"
    if (seen.ends - seen.begins) <= timedelta(weeks=SHORTEST_WEEKS + GAP):
        words = {0: "too short a record", 1: "diagnosed before there was enough history", 2: "died before that"}
        return words[seen.status]
    return f"never {YOUNGEST} to {OLDEST} years old while followed"


def too_few(register: Register, parts: tuple[Register, ...], to_train: int, to_calibrate: int) -> str | None:
    """In words, why nothing can be learned from so little; None where there is enough.

    Parameters
    ----------
    to_train
        Diagnosed people that the part to train on must hold.
    to_calibrate
        Landmarks with a diagnosis within each horizon that the part to calibrate on must hold, and as many without.
    """
    training, calibration = parts[:2]
    if training.diagnosed < to_train:
        return (
            f"training needs at least {to_train} people with a first diagnosis of knee osteoarthritis after a year of "
            f"history; these records have {register.diagnosed}, {training.diagnosed} of them in the part to train on"
        )
    for horizon, cases in zip(HORIZONS, calibration.cases(), strict=True):
        weight, case = censoring_weights(calibration.time, calibration.status, horizon)
        others = int(((weight > 0) & ~case).sum())
        if min(cases, others) < to_calibrate:
            return (
                f"calibration needs at least {to_calibrate} landmarks with and without a diagnosis within "
                f"{counted(horizon, 'year')}; its part of these records has {cases} and {others}"
            )
    return None
