"""What is recorded of the simulated people, week by week: diagnoses, prescriptions, codes that follow the disease."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.knee_oa_risk.odds import expit
from pipelines.knee_oa_risk.simulation.rates import ROW
from pipelines.knee_oa_risk.window import GAP, WEEKS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TIMELINE = WEEKS + 52  # weeks of a simulated record: wash-outs of 0 to 52 weeks can be tried on the same people


@dataclass(frozen=True)
class Events:
    """What is recorded, sorted by person: value is days with a diagnosis in the week, or days of supply given out."""

    person: NDArray[np.int32]
    row: NDArray[np.int16]
    week: NDArray[np.int16]  # 0 is the oldest of TIMELINE
    value: NDArray[np.float32]

    def where(self, keep: Bools) -> Events:
        """The entries that `keep` marks."""
        return Events(self.person[keep], self.row[keep], self.week[keep], self.value[keep])


def leaking_codes(
    rng: np.random.Generator, age: Floats, time: Floats, status: Ints, usage: Floats, start: Ints
) -> Events:
    """Codes that follow the disease, recorded some weeks before it is named, over a background of common knee pain.

    Parameters
    ----------
    rng
        Where chance comes from.
    age
        (N,), years.
    time, status
        (N,): years to the first event, and which it is; 1 is knee osteoarthritis.
    usage
        (N,): use of care, 1 on average.
    start
        (N,): week in which the person is first seen.
    """
    n = len(age)
    kinds = {
        "KNEE_PAIN": (0.85, 2.5, 0.06),
        "KNEE_EFFUSION": (0.35, 1.2, 0.010),
        "KNEE_IMAGING": (0.70, 1.3, 0.025),
        "KNEE_INJECTION": (0.25, 1.5, 0.004),
        "HYALURONATE": (0.10, 1.5, 0.002),
        "ORTHO_REFERRAL": (0.45, 1.1, 0.020),
    }
    parts = []
    for code, (share, mean, background) in kinds.items():
        ill = (status == 1) & np.isfinite(time) & (rng.random(n) < share)
        counts = np.where(ill, 1 + rng.poisson(mean, n), 0)
        person = np.repeat(np.arange(n), counts)
        before = 1 + rng.exponential(18.0, len(person))
        week = np.floor(TIMELINE + 52.0 * time[person] - before).astype(np.int64)
        parts.append((code, person, week))
        counts = rng.poisson(background * usage * np.exp(0.2 * (age - 50) / 10) * TIMELINE / 52.0)
        person = np.repeat(np.arange(n), counts)
        parts.append((code, person, rng.integers(0, TIMELINE, len(person))))
    events = [_events(person, ROW[code], week, 28.0 if code == "HYALURONATE" else 1.0) for code, person, week in parts]
    both = joined(events)
    return both.where((both.week >= start[both.person]) & (both.week < TIMELINE))


def _events(person: Ints, row: int, week: Ints, value: float | NDArray[np.float32]) -> Events:
    values = np.broadcast_to(np.asarray(value, np.float32), person.shape)
    rows = np.full(person.shape, row, np.int16)
    return Events(person.astype(np.int32), rows, week.astype(np.int16), values.astype(np.float32))


def joined(parts: list[Events]) -> Events:
    """Several lists of entries as one, sorted by person; entries of a person keep their order."""
    person = np.concatenate([part.person for part in parts])
    order = np.argsort(person, kind="stable")
    return Events(
        person[order],
        np.concatenate([part.row for part in parts])[order],
        np.concatenate([part.week for part in parts])[order],
        np.concatenate([part.value for part in parts])[order],
    )


class EventSampler:
    """Draws what is recorded, code by code, from the week a person is first seen to the index date.

    Weeks are those of the timeline: 0 is the oldest, `TIMELINE` that of the index date. People are named by their
    numbers, 0 to N - 1.

    Parameters
    ----------
    rng
        Where chance comes from.
    start
        (N,): week in which the person is first seen.
    observed
        (N,): weeks of the window, which ends with the wash-out, in which the person is seen.
    """

    def __init__(self, rng: np.random.Generator, start: Ints, observed: Ints) -> None:
        self.rng = rng
        self.start = start
        self.observed = observed
        self.n = len(start)
        self.parts: dict[str, list[Events]] = {}

    def add(self, code: str, person: Ints, week: Ints, value: float | NDArray[np.float32] = 1.0) -> None:
        """Record entries from the week the person is first seen to the index date; others are dropped.

        Parameters
        ----------
        code
            Of the vocabulary.
        person, week
            (E,): whose each entry is, and when.
        value
            (E,) or one for all: days with the diagnosis, or days of supply.
        """
        inside = (week >= self.start[person]) & (week < TIMELINE)
        values = np.broadcast_to(np.asarray(value, np.float32), person.shape)[inside]
        self.parts.setdefault(code, []).append(_events(person[inside], ROW[code], week[inside], values))

    def visits(self, code: str, has: Bools, per_year: Floats) -> None:
        """Visits for a lasting condition: at least one where the model can see it.

        Parameters
        ----------
        code
            Of the condition.
        has
            (N,): who has it.
        per_year
            (N,): visits per year, of those who have it.
        """
        who = np.flatnonzero(has)
        first = TIMELINE - GAP - self.observed[who] + np.floor(self.rng.random(len(who)) * self.observed[who])
        self.add(code, who, first.astype(np.int64))
        self.episodes(code, np.where(has, per_year, 0.0))

    def episodes(self, code: str, per_year: Floats) -> None:
        """Episodes at a yearly rate of each person (N,), at random weeks."""
        length = TIMELINE - self.start
        person = np.repeat(np.arange(self.n), self.rng.poisson(per_year * length / 52.0))
        week = self.start[person] + np.floor(self.rng.random(len(person)) * length[person]).astype(np.int64)
        self.add(code, person, week)

    def refills(self, code: str, who: Bools, adherence: float = 0.85) -> None:
        """A refill of 28 days every four weeks, some missed, for some beginning in the middle.

        Parameters
        ----------
        code
            Of the medication.
        who
            (N,): who takes it.
        adherence
            Share of the refills that are fetched.
        """
        person = np.flatnonzero(who)
        begin = np.where(self.rng.random(len(person)) < 0.3, self.rng.integers(0, TIMELINE, len(person)), 0)
        self.course(code, person, begin, np.full(len(person), TIMELINE), adherence)

    def course(self, code: str, person: Ints, begin: Ints, weeks: Ints, adherence: float = 0.9) -> None:
        """Refills of 28 days every four weeks, for some time.

        Parameters
        ----------
        code
            Of the medication.
        person
            (P,): who takes it; a person may take several courses.
        begin, weeks
            (P,): week in which the course begins, and how many it lasts.
        adherence
            Share of the refills that are fetched.
        """
        slots = TIMELINE // 4 + 1
        phase = self.rng.integers(0, 4, len(person))
        week = (begin + phase)[:, None] + 4 * np.arange(slots)[None, :]
        taken = (week < (begin + weeks)[:, None]) & (self.rng.random(week.shape) < adherence)
        self.add(code, np.repeat(person, slots)[taken.ravel()], week[taken], 28.0)

    def prescriptions(self, code: str, condition: str, share: float, days: int) -> None:
        """Prescriptions for some of the recorded episodes of a condition.

        Parameters
        ----------
        code
            Of the medication.
        condition
            Code of the condition that it is prescribed for.
        share
            Of the episodes, that lead to a prescription.
        days
            Of supply.
        """
        for events in self.parts.get(condition, ()):
            chosen = self.rng.random(len(events.person)) < share
            self.add(code, events.person[chosen].astype(np.int64), events.week[chosen].astype(np.int64), float(days))

    def pain(self, age: Floats, has: dict[str, Bools]) -> None:
        """Painkillers: some now and then, some in episodes, some begun and kept up; the last matter most."""
        rng, n = self.rng, self.n
        need = 0.02 * (age - 50) + 0.9 * has["OA_OTHER"] + 0.9 * has["BACK_PAIN"] + 0.5 * has["GOUT"]
        for code, base in (("NSAID", -0.7), ("PARACETAMOL", -1.2), ("OPIOID", -2.9)):
            user = rng.random(n) < expit(base + need)
            kind = rng.choice(3, n, p=[0.45, 0.30, 0.25])
            person = np.repeat(np.arange(n), np.where(user & (kind == 0), rng.poisson(3.0, n), 0))
            self.add(code, person, rng.integers(0, TIMELINE, len(person)), 14.0)
            person = np.repeat(np.arange(n), np.where(user & (kind == 1), 1 + rng.poisson(0.8, n), 0))
            self.course(code, person, rng.integers(0, TIMELINE, len(person)), rng.integers(6, 26, len(person)))
            person = np.flatnonzero(user & (kind == 2))
            self.course(code, person, rng.integers(0, TIMELINE, len(person)), np.full(len(person), TIMELINE))
        topical = np.flatnonzero(rng.random(n) < 0.12)
        self.course(
            "NSAID_TOPICAL", topical, rng.integers(0, TIMELINE, len(topical)), rng.integers(4, 16, len(topical))
        )

    def rehabilitation(self) -> None:
        """Physiotherapy for some weeks after some of the injuries, surgery after a few of them."""
        for code, surgery in (("KNEE_SPRAIN", 0.0), ("KNEE_MENISCUS", 0.35), ("KNEE_LIGAMENT", 0.45)):
            for events in list(self.parts.get(code, ())):
                chosen = self.rng.random(len(events.person)) < 0.5
                person, week = events.person[chosen].astype(np.int64), events.week[chosen].astype(np.int64)
                for session in range(6):
                    self.add("PHYSIOTHERAPY", person, week + 2 + session)
                operated = self.rng.random(len(events.person)) < surgery
                person, week = events.person[operated].astype(np.int64), events.week[operated].astype(np.int64)
                self.add("KNEE_SURGERY", person, week + self.rng.integers(2, 12, len(person)))

    def events(self) -> Events:
        """All that was recorded."""
        return joined([part for parts in self.parts.values() for part in parts])
