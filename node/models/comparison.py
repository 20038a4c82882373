"""Two routes on the same images: what their results say, in pairs, and where they differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.words import unit_in_words
from node.database.connection import Database
from node.database.jobs import JobState
from node.database.tables import JobRow
from node.models.agreement import Kappa, Limits, kappa, limits

ENDED = (JobState.SENDING, JobState.DONE, JobState.UNSUITABLE, JobState.FAILED)
WORTH_A_LOOK = 0.05  # a difference, as a share of the largest value of that measurement
RESULT = (JobState.SENDING, JobState.DONE)
Summary = Mapping[str, Any]
"""What `node.run.result_summary` wrote."""
Images: TypeAlias = tuple[str, ...]
"""What tells the images of a job from those of another: the study, its revision and each instance."""


@dataclass(frozen=True)
class Pair:
    """The latest jobs of two routes on the same images."""

    first: JobRow
    second: JobRow

    @property
    def both_have_results(self) -> bool:
        """Whether there is something to compare."""
        return self.first.state in RESULT and self.second.state in RESULT


@dataclass(frozen=True)
class Paired:
    """All pairs, and what has none."""

    pairs: tuple[Pair, ...]
    only_first: int  # jobs of which the other route has none on the same images, under way neither
    only_second: int
    under_way: int  # jobs that have not ended


def paired(database: Database, first: str, second: str, since: datetime) -> Paired:
    """The jobs of two routes since then that are about the same images; of several on the same the latest counts.

    Parameters
    ----------
    database
        The node's records.
    first, second
        Names of the routes.
    since
        Jobs that were created then or later.
    """
    with Session(database, expire_on_commit=False) as session:
        rows = session.scalars(
            select(JobRow).where(JobRow.route.in_((first, second)), JobRow.created >= since).order_by(JobRow.created)
        ).all()
    ended: dict[str, dict[Images, JobRow]] = {first: {}, second: {}}
    under_way = [_images(row) for row in rows if row.state not in ENDED]
    for row in rows:
        if row.state in ENDED:
            ended[row.route][_images(row)] = row
    one, two = ended[first], ended[second]
    pairs = tuple(Pair(one[key], two[key]) for key in one if key in two)
    only_first, only_second = (len(of.keys() - other.keys() - set(under_way)) for of, other in ((one, two), (two, one)))
    return Paired(pairs, only_first, only_second, len(under_way))


def _images(job: JobRow) -> Images:
    return job.study_instance_uid, job.revision, *sorted(job.sop_instance_uids)


@dataclass(frozen=True)
class Values:
    """The values of one kind that both routes gave, in pairs."""

    name: str
    unit: str = ""
    first: list[Any] = field(default_factory=list)
    second: list[Any] = field(default_factory=list)
    jobs: list[int] = field(default_factory=list)  # number of the pair
    sites: list[str] = field(default_factory=list)  # tracking ids

    def add(self, job: int, site: str, first: object, second: object) -> None:
        """One more pair of values."""
        self.first.append(first)
        self.second.append(second)
        self.jobs.append(job)
        self.sites.append(site)


@dataclass(frozen=True)
class Disagreement:
    """Something that two jobs on the same images say differently; the largest come first."""

    weight: float  # for the order: 3 a state, 2 a grade or whether there is a finding, below 1 a measurement
    first_job: str
    second_job: str
    what: str
    first: str
    second: str


@dataclass(frozen=True)
class Comparison:
    """What the summaries of two routes tell."""

    measurements: dict[str, Values]
    grades: dict[str, Values]
    disagreements: tuple[Disagreement, ...]
    names: Mapping[str, str] = field(default_factory=dict)  # what the codes of grades mean, for people

    def limits(self) -> dict[str, Limits]:
        """Bias and limits of agreement of each measurement."""
        return {key: limits(of.first, of.second, of.jobs) for key, of in self.measurements.items()}

    def kappas(self) -> dict[str, Kappa]:
        """Agreement beyond chance of each kind of grade."""
        return {key: kappa(of.first, of.second, of.jobs) for key, of in self.grades.items()}


def compared(pairs: Sequence[Pair], summaries: Mapping[str, Summary], own_scale: Collection[str] = ()) -> Comparison:
    """Compare the jobs of all pairs.

    Parameters
    ----------
    pairs
        As `paired` gave them.
    summaries
        By job: of those whose result is still kept.
    own_scale
        Codes of measurements that are on a scale of each model's own: two models are not compared by them.
    """
    measurements: dict[str, Values] = {}
    grades: dict[str, Values] = {}
    differ: list[Disagreement] = []
    names: dict[str, str] = {}
    for number, pair in enumerate(pairs):
        if not pair.both_have_results:
            differ += _states(pair)
            continue
        one, two = summaries.get(pair.first.id), summaries.get(pair.second.id)
        if one is None or two is None:
            continue
        names |= {**one.get("names", {}), **two.get("names", {})}
        differ += _evaluable(pair, one, two)
        for site, mine in one["findings"].items():
            if (theirs := two["findings"].get(site)) is not None:
                left_out = own_scale if pair.first.weights != pair.second.weights else ()
                _measurements(measurements, number, site, mine, theirs, names, left_out)
                differ += _grades(grades, pair, number, site, mine, theirs, names)
    differ += _apart(measurements, pairs)
    return Comparison(measurements, grades, tuple(sorted(differ, key=lambda one: -one.weight)), names)


def _states(pair: Pair) -> Iterator[Disagreement]:
    if pair.first.state in RESULT or pair.second.state in RESULT or pair.first.state != pair.second.state:
        first, second = (f"{job.state}: {job.reason}" if job.reason else job.state for job in (pair.first, pair.second))
        yield Disagreement(3.0, pair.first.id, pair.second.id, "state", first, second)


def _evaluable(pair: Pair, one: Summary, two: Summary) -> Iterator[Disagreement]:
    """What one of the two has a finding on and the other has none."""
    for site in sorted(set(one["findings"]) ^ set(two["findings"])):
        first, second = (_said_of(site, of) for of in (one, two))
        yield Disagreement(2.0, pair.first.id, pair.second.id, site, first, second)


def _said_of(site: str, of: Summary) -> str:
    if site in of["findings"]:
        return "found"
    reason = of["not_evaluable"].get(site, "nothing")
    return str(of.get("names", {}).get(reason, reason))


def _measurements(
    found: dict[str, Values],
    number: int,
    site: str,
    one: Summary,
    two: Summary,
    names: Mapping[str, str],
    left_out: Collection[str],
) -> None:
    for code, value in one["measurements"].items():
        other = two["measurements"].get(code)
        if other is not None and other["unit"] == value["unit"] and code not in left_out:
            key = f"{code} {value['unit']}"
            values = found.setdefault(key, Values(names.get(code, code), unit_in_words(value["unit"])))
            values.add(number, site, float(value["value"]), float(other["value"]))


def _grades(
    found: dict[str, Values],
    pair: Pair,
    number: int,
    site: str,
    one: Summary,
    two: Summary,
    names: Mapping[str, str],
) -> Iterator[Disagreement]:
    mine = {"finding": one["finding"], **one["evaluations"]}
    theirs = {"finding": two["finding"], **two["evaluations"]}
    for code, value in mine.items():
        other = theirs.get(code)
        if other is None:
            continue
        name = names.get(code, code)
        found.setdefault(code, Values(name)).add(number, site, value, other)
        if value != other:
            what = f"{site}: {name}"
            said = names.get(value, value), names.get(other, other)
            yield Disagreement(2.0, pair.first.id, pair.second.id, what, *said)


def _apart(measurements: Mapping[str, Values], pairs: Sequence[Pair]) -> Iterator[Disagreement]:
    """The largest difference of each measurement that is worth a look, and others half as large at least."""
    for values in measurements.values():
        differences = [abs(b - a) for a, b in zip(values.first, values.second, strict=True)]
        most = max(differences)
        scale = max(map(abs, (*values.first, *values.second)), default=0.0) or 1.0
        for index, difference in enumerate(differences):
            if difference >= max(most / 2, WORTH_A_LOOK * scale):
                pair = pairs[values.jobs[index]]
                first, second = (f"{one[index]:g} {values.unit}".rstrip() for one in (values.first, values.second))
                what = f"{values.sites[index]}: {values.name}"
                yield Disagreement(min(0.99, difference / scale), pair.first.id, pair.second.id, what, first, second)
