"""How far readers agree with results: the share that they accept, and how far their values lie from the node's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from dicom_sr.assessment import Answer
from node.models.agreement import DRAWS, SEED, Interval, Kappa, Limits, kappa, limits

FEWEST = 10  # readings, or studies with values; of fewer no share and no limits are told
NEAR = 0.5  # points of a score

K = TypeVar("K", str, tuple[str, ...])  # what readings are grouped by


@dataclass(frozen=True)
class Value:
    """One value of a finding, as the node gave it and as the reader left it."""

    name: str  # for people
    unit: str
    ours: float | str  # a number, or a code as text
    readers: float | str
    points: bool = False  # of a score: half a point means something
    grade: bool = False  # of a score of a few whole grades


@dataclass(frozen=True)
class Reading:
    """What one reader says of one result."""

    job: str
    study: str
    reader: str
    pipeline: str
    version: str
    device: str  # what the images were taken with
    month: str  # YYYY-MM, of the reading
    answer: Answer  # to the result as a whole
    findings: Mapping[Answer, int]  # how many the reader judged one by one
    values: tuple[Value, ...]  # of the findings that the reader took over, changed or not


def whole(answers: Sequence[Answer], said_of_all: Answer | None) -> Answer:
    """The answer to a result: what the reader says of all of it, else what the answers to its findings come to."""
    if said_of_all is not None:
        return said_of_all
    return answers[0] if len(set(answers)) == 1 else Answer.MODIFY


@dataclass(frozen=True)
class Share:
    """How many of some readings accept the result as it is."""

    readings: int
    studies: int
    answers: Mapping[Answer, int]
    findings: Mapping[Answer, int]
    accepted: float | None = None  # 0..1; None, as the interval: fewer readings than `FEWEST`
    interval: Interval | None = None  # 95 %, after Wilson (1927)

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> Share:
        """Of some readings."""
        answers = Counter(one.answer for one in readings)
        findings: Counter[Answer] = Counter()
        for one in readings:
            findings.update(one.findings)
        counts = len(readings), len({one.study for one in readings}), answers, findings
        if len(readings) < FEWEST:
            return cls(*counts)
        from scipy.stats import binomtest  # a second to import

        ends = binomtest(answers[Answer.ACCEPT], len(readings)).proportion_ci(method="wilson")
        return cls(*counts, answers[Answer.ACCEPT] / len(readings), (float(ends.low), float(ends.high)))


@dataclass(frozen=True)
class Numbers:
    """How far the readers' numbers of one name lie from the node's: reader minus node, in their unit."""

    name: str
    unit: str
    ours: tuple[float, ...]
    readers: tuple[float, ...]
    limits: Limits  # by study
    points: bool = False  # of a score
    near: float | None = None  # share that differs by `NEAR` at most; None: too few studies, or no score
    near_interval: Interval | None = None
    kappa: Kappa | None = None  # of scores of whole grades


@dataclass(frozen=True)
class Agreement:
    """What the readings of one pipeline tell, together or of one version, device or month."""

    share: Share
    numbers: tuple[Numbers, ...]
    codes: Mapping[str, Kappa]  # by name


def agreement(readings: Sequence[Reading], changed: frozenset[str] | None = None) -> Agreement:
    """How far the readers agree with the results.

    Parameters
    ----------
    readings
        Of one pipeline.
    changed
        Names of the values that are looked at; None: those that any of the readers has changed. One that nobody ever
        changes, such as how sure the node was, would tell of an agreement that nobody looked at.
    """
    changed = changed_in(readings) if changed is None else changed
    studies = {study: number for number, study in enumerate(sorted({one.study for one in readings}))}
    found: dict[tuple[str, str, bool], list[tuple[Value, int]]] = {}
    for one in readings:
        for value in one.values:
            if value.name in changed:
                key = (value.name, value.unit, isinstance(value.ours, str))
                found.setdefault(key, []).append((value, studies[one.study]))
    numbers = [_numbers(values) for (*_, is_code), values in sorted(found.items()) if not is_code]
    codes = {name: _kappa(values) for (name, _, is_code), values in sorted(found.items()) if is_code}
    return Agreement(Share.of(readings), tuple(numbers), codes)


def changed_in(readings: Iterable[Reading]) -> frozenset[str]:
    """Names of the values that a reader has changed."""
    return frozenset(value.name for one in readings for value in one.values if value.ours != value.readers)


def grouped(readings: Iterable[Reading], by: Callable[[Reading], K]) -> dict[K, list[Reading]]:
    """The readings by what `by` tells of them, in order."""
    groups: dict[K, list[Reading]] = {}
    for one in readings:
        groups.setdefault(by(one), []).append(one)
    return dict(sorted(groups.items()))


def _numbers(values: Sequence[tuple[Value, int]]) -> Numbers:
    ours = tuple(float(value.ours) for value, _ in values)
    readers = tuple(float(value.readers) for value, _ in values)
    studies = [study for _, study in values]
    first = values[0][0]
    limited = _if_enough(limits(ours, readers, studies))
    found = Numbers(first.name, first.unit, ours, readers, limited, all(value.points for value, _ in values))
    if limited.jobs < FEWEST or not found.points:
        return found
    from pipelines.lab.measures import bootstrap

    near = np.abs(np.subtract(readers, ours)) <= NEAR
    interval = bootstrap(lambda rows: {"near": float(near[rows].mean())}, np.asarray(studies), DRAWS, SEED)["near"]
    graded = _kappa(values) if all(value.grade for value, _ in values) else None
    return replace(found, near=float(near.mean()), near_interval=interval, kappa=graded)


def _if_enough(found: Limits) -> Limits:
    """Without limits where there are fewer studies than `FEWEST`."""
    return found if found.jobs >= FEWEST else Limits(found.values, found.jobs, found.bias, found.largest)


def _kappa(values: Sequence[tuple[Value, int]]) -> Kappa:
    ours, readers = [_grade(value.ours) for value, _ in values], [_grade(value.readers) for value, _ in values]
    found = kappa(ours, readers, [study for _, study in values])
    return found if found.jobs >= FEWEST else Kappa(found.values, found.jobs, found.agreed, weights=found.weights)


def _grade(value: float | str) -> str:
    """A grade as a text that ends in a number; half grades go up."""
    return value if isinstance(value, str) else str(int(np.floor(value + 0.5)))
