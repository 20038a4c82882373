"""What the trace of a decision tells of a series, and other routes held against that: they hold, or not, or who knows.

A trace has the values of every key that its route asked about, as far as a database may have them: none of a key that
could tell who the patient is, and no more than a few of each. So a clause about such a key may stay open, and a matcher
too, unless its other clauses settle it. What stays open is not guessed: the headers have to be read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from node.matching.language import HIDDEN, Clause, Element, Group, Matcher
from node.route.facts import MADE_BY_NODE, TEXTS, Facts, Value
from node.route.match import is_identifying

MOST_NOTED = 16  # values of one key in a trace
LONGEST_NOTED = 256  # characters of a value
ASSOCIATION = frozenset(key for key in TEXTS if key.startswith("association."))
VALUES, OPEN = "values", "open"  # of a key in a trace: its values, and whether there are more


class _NotKnown(Exception):
    """Whether a clause holds depends on a value that was not noted."""


class _Unknown:
    """Stands behind the values that are known, for those that are not; to look at it ends the question."""

    def __str__(self) -> str:
        raise _NotKnown

    def __float__(self) -> float:
        raise _NotKnown


_UNKNOWN = _Unknown()


# ---- writing
def noted_values(values: Mapping[str, Sequence[Value]], keys: Iterable[str]) -> dict[str, Any]:
    """What a trace keeps of the values of some keys: by key a list, or a mapping where there are others too.

    Parameters
    ----------
    values
        Of a series, as `Facts` has them.
    keys
        Those that a route asked about.
    """
    return {key: _noted(values.get(key, ()), hidden=is_identifying(key)) for key in sorted(keys)}


def _noted(values: Sequence[Value], *, hidden: bool) -> Any:
    fit = [] if hidden else [value for value in values[:MOST_NOTED] if _may_be_noted(value)]
    return fit if len(fit) == len(values) else {VALUES: fit, OPEN: True}


def _may_be_noted(value: Value) -> bool:
    """Whether a database keeps it as it is."""
    if isinstance(value, str):
        return len(value) <= LONGEST_NOTED and "\0" not in value and value.isprintable()
    return math.isfinite(value)


# ---- reading
@dataclass(frozen=True)
class Known:
    """What is known of one series; a key that is not there has not been asked about."""

    series_instance_uid: str
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # by key; behind the last one may be others
    made_by_node: bool = False
    unread: str = ""  # why no route takes it: an image of it cannot be read
    taken: Mapping[str, bool] = field(default_factory=dict)  # by digest of a matcher: whether it was

    def with_values(self, values: Mapping[str, Sequence[Value]]) -> Known:
        """The same, with what is known of other keys; that is newer."""
        return replace(self, values={**self.values, **{key: tuple(of) for key, of in values.items()}})

    def and_also(self, other: Known) -> Known:
        """The same, with what another trace of the same images tells."""
        return Known(
            self.series_instance_uid,
            {**other.values, **self.values},
            self.made_by_node or other.made_by_node,
            self.unread or other.unread,
            {**other.taken, **self.taken},
        )


def known_of_facts(facts: Facts, keys: Iterable[str], unread: str = "") -> Known:
    """What is known of a series whose headers have been read for these keys."""
    values = {key: facts.values.get(key, ()) for key in keys}
    return Known(facts.series_instance_uid, values, facts.made_by_node, unread)


def known_of_trace(trace: Mapping[str, Any], digest: str = "") -> Known:
    """What a decision's trace tells of one of its series; one of an earlier version tells little.

    Parameters
    ----------
    trace
        What it says of that series.
    digest
        Of the matcher of its route.
    """
    values = {key: _read(of) for key, of in trace.get("values", {}).items()}
    clauses = trace["clauses"]
    ours = bool(clauses) and clauses[0]["key"] == MADE_BY_NODE and not clauses[0]["holds"]
    return Known(
        trace["series_instance_uid"],
        values,
        ours,
        trace.get("unread") or "",
        {digest: trace["matched"]} if digest else {},
    )


def _read(noted: Any) -> tuple[Any, ...]:
    return (*noted[VALUES], _UNKNOWN) if isinstance(noted, dict) else tuple(noted)


# ---- judging
def holds(matcher: Matcher, known: Known) -> bool | None:
    """Whether a matcher holds of a series; None where what is known does not settle it."""
    if isinstance(matcher, Group):
        return _GROUPS[matcher.key]([holds(member, known) for member in matcher.members])
    assert isinstance(matcher, Element)
    values = known.values.get(matcher.key)
    if values is None:
        return None
    try:
        return matcher.test.holds(values)
    except _NotKnown:
        return None


def _all(parts: Sequence[bool | None]) -> bool | None:
    return False if False in parts else None if None in parts else True


def _any(parts: Sequence[bool | None]) -> bool | None:
    return True if True in parts else None if None in parts else False


def _none(parts: Sequence[bool | None]) -> bool | None:
    return False if True in parts else None if None in parts else True


_GROUPS = {"all_of": _all, "any_of": _any, "not": _none}


def takes(matcher: Matcher, known: Known, digest: str = "") -> bool | None:
    """Whether a route with that matcher takes a series; None where what is known does not settle it.

    Parameters
    ----------
    matcher
        Of the route.
    known
        Of the series.
    digest
        Of the matcher. What a route with the same one decided counts, unless it asks who sent the series: that may be
        another since.
    """
    if known.unread or known.made_by_node:
        return False
    held = holds(matcher, known)
    if held is None and not matcher.keys & ASSOCIATION:
        return known.taken.get(digest)
    return held


def open_keys(matcher: Matcher, known: Known) -> frozenset[str]:
    """The keys on which it depends whether a matcher holds, where that is not known."""
    if holds(matcher, known) is not None:
        return frozenset()
    if isinstance(matcher, Group):
        return frozenset().union(*(open_keys(member, known) for member in matcher.members))
    return matcher.keys


def failing(matcher: Matcher, known: Known) -> Iterator[Clause]:
    """The innermost clauses for which a route does not take a series, as far as they are known."""
    if known.unread:
        yield Clause("images", "all can be read", known.unread, False)
    elif known.made_by_node:
        yield Clause(MADE_BY_NODE, "no", "yes", False)
    else:
        yield from _clause(matcher, known).failed()


def _clause(matcher: Matcher, known: Known) -> Clause:
    """How a matcher fared; a clause about which nothing is known is not among those that failed."""
    if isinstance(matcher, Group):
        members = tuple(_clause(member, known) for member in matcher.members)
        number = sum(one.holds for one in members)
        what = {"all_of": "all of these", "any_of": "any of these", "not": "not this"}[matcher.key]
        found = f"{number} of {len(members)} hold"
        return Clause(matcher.key, what, found, holds(matcher, known) is not False, members)
    assert isinstance(matcher, Element)
    expected = HIDDEN if matcher.hidden else matcher.test.expected
    return Clause(matcher.key, expected, _found(matcher, known), holds(matcher, known) is not False)


def _found(element: Element, known: Known) -> str:
    values = known.values.get(element.key, (_UNKNOWN,))
    there = [value for value in values if not isinstance(value, _Unknown)]
    if element.hidden or (values and not there):
        return HIDDEN if values else "absent"
    if not there:
        return "absent"
    more = len(there) < len(values)
    shown = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in there)
    return f"{shown} and others" if more else shown
