"""Complete series or study -> decisions: which routes it takes, with the trace of why; no reading, no clock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dicom_sr.words import counted
from node.config import Configuration
from node.matching.language import Clause, Matcher
from node.route.facts import MADE_BY_NODE, ONE_STUDY, Facts
from node.route.known import noted_values
from node.route.match import matcher

DIGEST = 16  # hexadecimal digits of a matcher's digest
NAMED = 4  # images that cannot be read, and reasons

Level = Literal["series", "study"]


@dataclass(frozen=True)
class CompiledRoute:
    """A route whose matcher has been checked."""

    name: str
    level: Level
    matcher: Matcher
    digest: str = ""  # of its `when`: a trace has it, so that what was decided is known of every route with the same


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
        CompiledRoute(name, route.level, matcher(route.when, f"routes.{name}.when", route.level), _digest(route.when))
        for name, route in configuration.routes.items()
    )


def _digest(when: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(when, default=str).encode()).hexdigest()[:DIGEST]


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
    traces = [_held_against(route, facts) for facts in series]
    matching = tuple(one.facts.series_instance_uid for one in traces if one.matches)
    why = _why(traces, matching)
    return Decision(
        route.name,
        route.level,
        matching,
        why,
        {
            "matched": bool(matching),
            "why": why,
            "matcher": route.digest,
            "unread": all(one.facts.unread for one in traces),  # nothing else is known of what it was to decide about
            "series": [
                {
                    "series_instance_uid": one.facts.series_instance_uid,
                    "modality": one.facts.modality,
                    "matched": one.matches,
                    "unread": _unread([one.facts]) if one.facts.unread else "",
                    "clauses": [clause.as_json() for clause in one.clauses],
                    # exactly, so that another route can be held against them later
                    "values": {} if one.facts.unread else noted_values(one.facts.values, route.matcher.keys),
                }
                for one in traces
            ],
        },
    )


@dataclass(frozen=True)
class _Trace:
    """How a series fared with a route: without clauses where an image of it cannot be read."""

    facts: Facts
    clauses: tuple[Clause, ...]

    @property
    def matches(self) -> bool:
        """Whether a job is made: one on a part of a series is, and ends with that reason."""
        return not self.facts.unread and all(clause.holds for clause in self.clauses if clause.key != ONE_STUDY)


def _held_against(route: CompiledRoute, facts: Facts) -> _Trace:
    """What must hold before any route applies, then the route's own clauses."""
    if facts.unread:
        return _Trace(facts, ())
    must = [Clause(MADE_BY_NODE, "no", "yes" if facts.made_by_node else "no", not facts.made_by_node)]
    if facts.other_studies:
        must.append(Clause(ONE_STUDY, "yes", f"no, also of {', '.join(facts.other_studies)}", False))
    return _Trace(facts, (*must, *route.matcher.trace(facts).clauses))


def _why(traces: Sequence[_Trace], matching: tuple[str, ...]) -> str:
    if matching:
        shared = any(one.facts.other_studies for one in traces if one.matches)
        how = "every clause holds" if len(traces) == 1 else f"{len(matching)} of {len(traces)} series match"
        return f"{how}, but the series is of other studies too" if shared else how
    unread = [one.facts for one in traces if one.facts.unread]
    failed = [clause for one in traces for outer in one.clauses for clause in outer.failed()]
    if unread and len(unread) == len(traces):
        return _unread(unread)
    if len(traces) != 1:
        keys_ = ", ".join(dict.fromkeys(clause.key for clause in failed))
        if unread:
            return f"{_unread(unread)}; none of the other {len(traces) - len(unread)} series matches: {keys_}"
        return f"none of {len(traces)} series matches: {keys_}"
    return "; ".join(f"{clause.key}: {clause.found} instead of {clause.expected}" for clause in failed)


def _unread(series: Iterable[Facts]) -> str:
    """One sentence on the images that cannot be read: the first few by name, each reason once."""
    images = {uid: why for facts in series for uid, why in facts.unread.items()}
    reasons = dict.fromkeys(images.values())
    told = [f"{_first([uid for uid, why in images.items() if why == reason])} ({reason})" for reason in reasons]
    more = f"; and {counted(len(told) - NAMED, 'other reason')}" if len(told) > NAMED else ""
    number = counted(len(images), "image")
    return f"{number} cannot be read, and no route takes a series with such an image: {'; '.join(told[:NAMED])}{more}"


def _first(uids: Sequence[str]) -> str:
    return ", ".join(uids[:NAMED]) + (f" and {len(uids) - NAMED} more" if len(uids) > NAMED else "")
