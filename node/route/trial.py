"""What other routes would have decided about the studies of the last days, and where that differs.

Both sides are judged on the same facts, by the same clauses as `node.route.decide`: those that the decisions noted, and
what was read of headers since (`node.route.trial_reading`) where a route asks for what no decision noted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from node.config import Configuration, Route
from node.database.connection import Database
from node.matching.language import Clause
from node.route.changes import JOB, PLACE, RouteChange, route_changes, shown
from node.route.decide import CompiledRoute, compile_routes
from node.route.known import ASSOCIATION, Known, failing, takes
from node.route.recorded import (
    OF_DATABASE,
    OF_STUDY,
    RecordedStudies,
    RecordedStudy,
    of_studies,
    senders,
)

REASONS_TOLD = 4  # clauses of one difference

Place: TypeAlias = tuple[str, str]
"""A series: study and series, by their UIDs."""


class Kind(StrEnum):
    """How a decision would be another."""

    STARTS = "would run"
    STOPS = "would not run"
    SERIES = "other series"  # of a study that is taken all the same
    JOB = "another job"  # the same images, by another pipeline or with other settings
    PLACE = "other destinations"


@dataclass(frozen=True)
class Difference:
    """What one route would decide otherwise about one series or study."""

    study_instance_uid: str
    received: datetime
    series_instance_uid: str | None  # None: the whole study
    route: str
    kind: Kind
    before: str
    after: str
    why: tuple[str, ...]  # the clauses that make the difference


@dataclass(frozen=True)
class RouteCount:
    """How often a route that is changed takes something, before and after."""

    change: RouteChange
    judged: int = 0  # series, or studies, that both sides could be judged on
    before: int = 0
    after: int = 0
    jobs_differ: int = 0  # of those that both take: the job would be another


@dataclass(frozen=True)
class NotJudged:
    """What stays open, and why."""

    gone: int = 0  # studies whose images were deleted
    arriving: int = 0  # studies that are not decided about yet
    unread: Mapping[str, int] | None = None  # series that could not be read, by reason


@dataclass(frozen=True)
class Trial:
    """What a change of the routes would have done."""

    since: datetime
    studies: int  # that were looked at
    left_out: int  # older ones, too many
    changes: tuple[RouteChange, ...]
    counts: tuple[RouteCount, ...]
    differences: tuple[Difference, ...]  # what would run first, then what would not, the latest first
    to_read: Mapping[str, frozenset[str]]  # by study: series whose headers have to be read
    keys: frozenset[str]  # that are to be read of them
    not_judged: NotJudged

    @property
    def open(self) -> int:
        """Series that are not judged yet."""
        return sum(map(len, self.to_read.values()))

    @property
    def is_whole(self) -> bool:
        """Whether what was noted settled everything."""
        return not self.to_read and not self.not_judged.gone

    @property
    def studies_that_differ(self) -> int:
        """Of how many studies something would be decided otherwise."""
        return len({one.study_instance_uid for one in self.differences})


@dataclass(frozen=True)
class Verdict:
    """What one route says of one series or study."""

    series_instance_uid: str | None
    taken: tuple[str, ...]  # series that match
    open: tuple[str, ...] = ()  # series of which that is not known


def verdicts(route: CompiledRoute, study: RecordedStudy) -> Iterator[Verdict]:
    """What a route says of each series of a study, or of the whole, by what is known."""
    if route.level == "series":
        for name, known in study.series.items():
            taken = takes(route.matcher, known, route.digest)
            yield Verdict(name, (name,) if taken else (), (name,) if taken is None else ())
    elif study.whole:
        judged = {name: takes(route.matcher, known, route.digest) for name, known in study.whole.items()}
        yield Verdict(
            None,
            tuple(name for name, taken in judged.items() if taken),
            tuple(name for name, taken in judged.items() if taken is None),
        )


@dataclass(frozen=True)
class Failed:
    """Why a series could not be read."""

    why: str


def with_read(
    database: Database,
    recorded: RecordedStudies,
    keys: frozenset[str],
    read: Mapping[Place, Known | Failed],
) -> RecordedStudies:
    """The studies with what was read of their headers, and what the database knows, where `keys` ask for it."""
    if not read and not keys & OF_DATABASE:
        return recorded
    stored = [study.study_instance_uid for study in recorded.studies if study.is_stored]
    by_series = senders(database, stored) if keys & ASSOCIATION else {}
    by_study = of_studies(database, stored) if keys & OF_STUDY else {}

    def completed(study: RecordedStudy) -> RecordedStudy:
        uid = study.study_instance_uid
        if not study.is_stored:
            return study
        series = {}
        for name, known in study.series.items():
            one = read.get((uid, name))
            both = one.and_also(known) if isinstance(one, Known) else known
            series[name] = both.with_values({**by_series.get((uid, name), {}), **by_study.get(uid, {})})
        return replace(study, series=series, whole=series)

    return replace(recorded, studies=[completed(study) for study in recorded.studies])


class Comparing:
    """Compares the routes of two configurations.

    Parameters
    ----------
    before, after
        The configuration in force, and the one that is tried.

    Raises
    ------
    ConfigurationError
        If the matcher of a route is not one.
    """

    def __init__(self, before: Configuration, after: Configuration) -> None:
        self.changes = route_changes(before, after)
        self._before, self._after = ({one.name: one for one in compile_routes(of)} for of in (before, after))
        self.keys = frozenset[str]().union(
            *(
                routes[change.name].matcher.keys
                for change in self.changes
                for routes in (self._before, self._after)
                if change.name in routes
            )
        )

    @property
    def names(self) -> frozenset[str]:
        """The routes that are changed; what they decided before is looked at first."""
        return frozenset(change.name for change in self.changes)

    @property
    def read_keys(self) -> frozenset[str]:
        """Those that headers tell of."""
        return self.keys - OF_DATABASE

    def trial(self, recorded: RecordedStudies, read: Mapping[Place, Known | Failed]) -> Trial:
        """Judge the studies.

        Parameters
        ----------
        recorded
            As `with_read` gave them.
        read
            What was read, or why it could not be: that is not asked for again.
        """
        counts = {change.name: RouteCount(change) for change in self.changes}
        differences: list[Difference] = []
        to_read: dict[str, set[str]] = {}
        failed: Counter[str] = Counter()
        gone = arriving = 0
        for study in recorded.studies:
            if study.fetched or not self.changes:
                continue
            if study.arriving:
                arriving += 1
                continue
            still_open: set[str] = set()
            lost = False
            for change in self.changes:
                found, missing, unknown = self._of_route(change, study, counts)
                differences += found
                still_open |= missing
                lost |= unknown
            gone += lost or bool(still_open and not study.is_stored)
            if study.is_stored:
                for name in still_open:
                    known = read.get((study.study_instance_uid, name))
                    if isinstance(known, Failed):
                        failed[known.why] += 1
                    else:
                        to_read.setdefault(study.study_instance_uid, set()).add(name)
        order = list(Kind)
        return Trial(
            since=recorded.since,
            studies=len(recorded.studies),
            left_out=recorded.left_out,
            changes=self.changes,
            counts=tuple(counts.values()),
            differences=tuple(sorted(differences, key=lambda one: order.index(one.kind))),
            to_read={study: frozenset(names) for study, names in to_read.items()},
            keys=self.read_keys,
            not_judged=NotJudged(gone, arriving, dict(failed)),
        )

    def _of_route(
        self, change: RouteChange, study: RecordedStudy, counts: dict[str, RouteCount]
    ) -> tuple[list[Difference], set[str], bool]:
        """Differences, series that have to be read, and whether a deleted study told nothing of what is asked."""
        old, new = self._before.get(change.name), self._after.get(change.name)
        sides = [{} if one is None else {v.series_instance_uid: v for v in verdicts(one, study)} for one in (old, new)]
        asked = [side for one, side in zip((old, new), sides, strict=True) if one is not None]
        lost = not study.is_stored and not all(asked)
        found: list[Difference] = []
        missing: set[str] = set()
        count = counts[change.name]
        for place in dict.fromkeys([*sides[0], *sides[1]]):
            one, two = (side.get(place, Verdict(place, ())) for side in sides)
            if one.open or two.open:
                missing |= {*one.open, *two.open}
                continue
            count = replace(
                count,
                judged=count.judged + 1,
                before=count.before + bool(one.taken),
                after=count.after + bool(two.taken),
            )
            if (difference := self._difference(change, study, one, two)) is not None:
                found.append(difference)
                count = replace(count, jobs_differ=count.jobs_differ + (difference.kind in (Kind.SERIES, Kind.JOB)))
        counts[change.name] = count
        return found, missing, lost

    def _difference(self, change: RouteChange, study: RecordedStudy, one: Verdict, two: Verdict) -> Difference | None:
        if (kind := _kind(change, one, two)) is None:
            return None
        before, after = _both(change, kind, one, two)
        return Difference(
            study.study_instance_uid,
            study.received,
            one.series_instance_uid,
            change.name,
            kind,
            before,
            after,
            tuple(self._why(change, kind, study, one, two)),
        )

    def _why(self, change: RouteChange, kind: Kind, study: RecordedStudy, one: Verdict, two: Verdict) -> Iterator[str]:
        """The clauses, or keys of the route, that make the difference."""
        if kind in (Kind.JOB, Kind.PLACE):
            keys = JOB if kind is Kind.JOB else PLACE
            for key in change.keys:
                if key.key.partition(".")[0] in keys:
                    yield f"{key.key}: {key.before} becomes {key.after}"
            return
        lesser, other = (self._before, one) if kind is Kind.STARTS else (self._after, two)
        if kind is Kind.SERIES and set(two.taken) - set(one.taken):
            lesser, other = self._before, one
        route = lesser.get(change.name)
        if route is None:
            yield "the route is new" if kind is Kind.STARTS else "the route is removed"
            return
        if change.before is not None and change.after is not None and change.before.level != change.after.level:
            yield f"level: {change.before.level} becomes {change.after.level}"
            return
        more = (two if lesser is self._before else one).taken
        clauses: dict[str, None] = {}
        for name in more:
            if name not in other.taken:
                known = (study.series if route.level == "series" else study.whole)[name]
                clauses |= dict.fromkeys(map(_told, failing(route.matcher, known)))
        yield from list(clauses)[:REASONS_TOLD]
        if len(clauses) > REASONS_TOLD:
            yield f"and {len(clauses) - REASONS_TOLD} more"


def _told(clause: Clause) -> str:
    return f"{clause.key}: {clause.found} instead of {clause.expected}"


def _kind(change: RouteChange, one: Verdict, two: Verdict) -> Kind | None:
    if not one.taken and not two.taken:
        return None
    if not one.taken:
        return Kind.STARTS
    if not two.taken:
        return Kind.STOPS
    if set(one.taken) != set(two.taken):
        return Kind.SERIES
    if change.touches(JOB):
        return Kind.JOB
    return Kind.PLACE if change.touches(PLACE) else None


def _both(change: RouteChange, kind: Kind, one: Verdict, two: Verdict) -> tuple[str, str]:
    """Before and after, in words."""
    if kind is Kind.SERIES:
        return f"{len(one.taken)} series", f"{len(two.taken)} series"
    if kind is Kind.PLACE:
        return _place(change.before), _place(change.after)
    return _job(change.before, one), _job(change.after, two)


def _job(route: Route | None, verdict: Verdict) -> str:
    return "no route" if route is None else route.pipeline if verdict.taken else "no match"


def _place(route: Route | None) -> str:
    if route is None:
        return ""
    to: Any = route.model_dump(mode="json")["destinations"]
    return "nowhere, in shadow" if route.shadow else shown(to)
