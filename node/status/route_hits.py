"""What the page shows of routes: how often each matched lately, which clause decided, and what its jobs cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import String, cast, func, select
from sqlalchemy.orm import Session

from node.config import Configuration, Route
from node.database.connection import Database
from node.database.job_times import JobTimes, job_times
from node.database.jobs import JobState
from node.database.tables import DecisionRow, JobRow
from node.matching.language import HIDDEN, Element, Group, Matcher
from node.matching.result import RESULT
from node.route.decide import compile_routes

SAMPLE = 200  # decisions whose traces are looked into, the latest of each route
LARGEST_TRACE = 20_000  # characters; of a study with hundreds of series
REASONS_SHOWN = 3
DAY, WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True)
class ClauseView:
    """A clause as it is read."""

    key: str
    test: str
    clauses: tuple[ClauseView, ...] = ()


@dataclass(frozen=True)
class DestinationOfRoute:
    """Where results of a route go, and which."""

    name: str
    clauses: tuple[ClauseView, ...] = ()  # about the result; none: it gets every one


@dataclass(frozen=True)
class DecidingClause:
    """A clause that kept a route from matching."""

    key: str
    share: float  # of the decisions looked at
    alone: float  # of those, in which it was the only one


@dataclass(frozen=True)
class Hits:
    """How often a route was asked, and matched."""

    matched: int = 0
    not_matched: int = 0

    @property
    def asked(self) -> int:
        """Series, or studies, that it decided about."""
        return self.matched + self.not_matched


@dataclass(frozen=True)
class RouteView:
    """One route as it is configured, and what it did."""

    name: str
    route: Route
    clauses: tuple[ClauseView, ...]
    destinations: tuple[DestinationOfRoute, ...]
    day: Hits
    week: Hits
    last_hit: datetime | None
    deciding: tuple[DecidingClause, ...]  # of the latest decisions of the week that did not match
    looked_into: int  # so many of them
    jobs: Mapping[str, int] = field(default_factory=dict)  # of the week, by state
    times: JobTimes | None = None
    share: float | None = None  # of the time of all workers in the week
    paused: str = ""  # by whom and why

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its settings, for people."""
        return self.route.settings


def route_views(
    configuration: Configuration, database: Database, now: datetime, paused: Mapping[str, str]
) -> list[RouteView]:
    """All routes, in the order of the configuration.

    Parameters
    ----------
    now
        Timezone aware; the week is that before it.
    paused
        By name: who paused a route, and why.
    """
    matchers = {one.name: one.matcher for one in compile_routes(configuration)}
    with Session(database) as session:
        jobs = {name: _jobs(session, name, now - WEEK) for name in configuration.routes}
        times = {name: job_times(session, name, now - WEEK) for name in configuration.routes}
        spent = {
            name: of.mean_s * sum(jobs[name].get(state, 0) for state in (JobState.SENDING, JobState.DONE))
            for name, of in times.items()
            if of is not None
        }
        whole = sum(spent.values())
        views = []
        for name, route in configuration.routes.items():
            deciding, looked_into = _deciding(session, name, now - WEEK)
            views.append(
                RouteView(
                    name,
                    route,
                    clauses_of(matchers[name]),
                    _destinations(route),
                    _hits(session, name, now - DAY),
                    _hits(session, name, now - WEEK),
                    _last_hit(session, name),
                    deciding,
                    looked_into,
                    jobs[name],
                    times[name],
                    spent[name] / whole if whole and name in spent else None,
                    paused.get(name, ""),
                )
            )
        return views


# ---- as configured
def clauses_of(matcher: Matcher) -> tuple[ClauseView, ...]:
    """The clauses of a matcher, all of which must hold."""
    return tuple(map(_clause, matcher.members)) if isinstance(matcher, Group) else (_clause(matcher),)


def _clause(matcher: Matcher) -> ClauseView:
    if isinstance(matcher, Group):
        words = {"all_of": "all of these hold", "any_of": "any of these holds", "not": "this does not hold"}
        return ClauseView(words[matcher.key], "", tuple(map(_clause, matcher.members)))
    assert isinstance(matcher, Element)
    return ClauseView(matcher.key, HIDDEN if matcher.hidden else matcher.test.expected)


def _destinations(route: Route) -> tuple[DestinationOfRoute, ...]:
    conditions = route.conditions
    return tuple(
        DestinationOfRoute(name, clauses_of(RESULT.matcher(conditions[name], "when")) if name in conditions else ())
        for name in route.destination_names
    )


# ---- what it did
def _hits(session: Session, route: str, since: datetime) -> Hits:
    def number(*, matched: bool) -> int:
        of_route = (DecisionRow.route == route, DecisionRow.matched.is_(matched), DecisionRow.decided >= since)
        return session.scalar(select(func.count()).select_from(DecisionRow).where(*of_route)) or 0

    return Hits(number(matched=True), number(matched=False))


def _last_hit(session: Session, route: str) -> datetime | None:
    of_route = (DecisionRow.route == route, DecisionRow.matched.is_(True))
    return session.scalar(select(func.max(DecisionRow.decided)).where(*of_route))


def _jobs(session: Session, route: str, since: datetime) -> dict[str, int]:
    query = (
        select(JobRow.state, func.count())
        .where(JobRow.route == route, JobRow.created >= since)
        .group_by(JobRow.state)
        .order_by(JobRow.state)
    )
    return dict(session.execute(query).all())


def _deciding(session: Session, route: str, since: datetime) -> tuple[tuple[DecidingClause, ...], int]:
    """The clauses that failed most often, and in how many decisions that was looked for."""
    latest = (
        select(DecisionRow.id)
        .where(DecisionRow.route == route, DecisionRow.matched.is_(False), DecisionRow.decided >= since)
        .order_by(DecisionRow.decided.desc())
        .limit(SAMPLE)
    )
    traces = session.scalars(
        select(DecisionRow.trace).where(
            DecisionRow.id.in_(latest), func.length(cast(DecisionRow.trace, String)) <= LARGEST_TRACE
        )
    ).all()
    every: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for trace in traces:
        keys = frozenset(key for series in trace.get("series", ()) for key in _failed(series.get("clauses", ())))
        every.update(keys)
        if len(keys) == 1:
            alone.update(keys)
    found = tuple(
        DecidingClause(key, number / len(traces), alone[key] / len(traces))
        for key, number in every.most_common(REASONS_SHOWN)
    )
    return found, len(traces)


def _failed(clauses: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for clause in clauses:
        if not clause["holds"]:
            inner = clause.get("clauses") if clause["key"] in ("any_of", "all_of") else None
            if inner:
                yield from _failed(inner)
            else:
                yield clause["key"]
