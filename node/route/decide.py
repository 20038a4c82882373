"""Complete series or study -> decisions: which routes it takes, with the trace of why; no reading, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from node.config import Configuration
from node.route.facts import MADE_BY_NODE, ONE_STUDY, Facts
from node.route.match import Clause, Matcher, matcher

NAMED = 4  # images that were given up

Level = Literal["series", "study"]


@dataclass(frozen=True)
class CompiledRoute:
    """A route whose matcher has been checked."""

    name: str
    level: Level
    matcher: Matcher


@dataclass(frozen=True)
class Decision:
    """What one route says of one complete series or study."""

    route: str
    level: Level
    series_instance_uids: tuple[str, ...]  # those that match, and that a job is given; empty if none does
    why: str  # one sentence
    trace: dict[str, Any]  # clause by clause, for every series; what is stored and shown

    @property
    def matched(self) -> bool:
        """Whether the route takes the series or study."""
        return bool(self.series_instance_uids)


def compile_routes(configuration: Configuration) -> tuple[CompiledRoute, ...]:
    """The routes of a configuration, in its order.

    Raises
    ------
    ConfigurationError
        If a matcher is not one; the message names the key.
    """
    return tuple(
        CompiledRoute(name, route.level, matcher(route.when, f"routes.{name}.when", route.level))
        for name, route in configuration.routes.items()
    )


def keys(routes: Iterable[CompiledRoute]) -> frozenset[str]:
    """Everything that these routes ask about."""
    return frozenset().union(*(route.matcher.keys for route in routes))


def decide(routes: Iterable[CompiledRoute], level: Level, series: Sequence[Facts]) -> list[Decision]:
    """One decision for each route of `level`; a study matches if any of its series does.

    Parameters
    ----------
    routes
        All of the configuration.
    level
        Routes of the other level are left out.
    series
        Facts of the series; of a study, of all of them.
    """
    return [_decision(route, series) for route in routes if route.level == level]


def _decision(route: CompiledRoute, series: Sequence[Facts]) -> Decision:
    traces = [(facts, _clauses(route, facts)) for facts in series]
    matching = tuple(facts.series_instance_uid for facts, clauses in traces if _matches(clauses))
    why = _why(traces, matching)
    return Decision(
        route.name,
        route.level,
        matching,
        why,
        {
            "matched": bool(matching),
            "why": why,
            "series": [
                {
                    "series_instance_uid": facts.series_instance_uid,
                    "modality": facts.modality,
                    "matched": _matches(clauses),
                    "clauses": [clause.as_json() for clause in clauses],
                }
                for facts, clauses in traces
            ],
        },
    )


def _matches(clauses: Sequence[Clause]) -> bool:
    """Whether a job is made: one on a part of a series is, and ends with that reason."""
    return all(clause.holds for clause in clauses if clause.key != ONE_STUDY)


def _clauses(route: CompiledRoute, facts: Facts) -> tuple[Clause, ...]:
    """What must hold before any route applies, then the route's own clauses."""
    whole = Clause(MADE_BY_NODE, "no", "yes" if facts.made_by_node else "no", not facts.made_by_node)
    number = facts.unreadable + len(facts.given_up)
    named = f", given up: {'; '.join(facts.given_up[:NAMED])}" if facts.given_up else ""
    unreadable = Clause("readable headers", "all", f"{number} cannot be read{named}", number == 0)
    must = (whole, unreadable) if number else (whole,)
    if facts.other_studies:
        must = (*must, Clause(ONE_STUDY, "yes", f"no, also of {', '.join(facts.other_studies)}", False))
    return (*must, *route.matcher.trace(facts).clauses)


def _why(traces: Sequence[tuple[Facts, tuple[Clause, ...]]], matching: tuple[str, ...]) -> str:
    if matching:
        shared = any(facts.other_studies for facts, _ in traces if facts.series_instance_uid in matching)
        how = "every clause holds" if len(traces) == 1 else f"{len(matching)} of {len(traces)} series match"
        return f"{how}, but the series is of other studies too" if shared else how
    failed = [clause for _, clauses in traces for outer in clauses for clause in outer.failed()]
    if len(traces) != 1:
        keys_ = ", ".join(dict.fromkeys(clause.key for clause in failed))
        return f"none of {len(traces)} series matches: {keys_}"
    return "; ".join(f"{clause.key}: {clause.found} instead of {clause.expected}" for clause in failed)
