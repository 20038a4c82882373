"""Matchers: clauses that are checked at the start and held, one by one, against what is known.

A matcher is a mapping; all of its clauses must hold. A clause is a key and a test (`dicom_sr.read.conditions`), or
``any_of: [matcher, matcher]``, ``all_of: [...]``, ``not: matcher``. Nothing of a matcher is ever run as code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dicom_sr.read.conditions import Condition, Value
from node.errors import ConfigurationError

SHOWN_VALUES = 6  # of a key that has many; a trace is for reading
HIDDEN = "(not shown)"


@dataclass(frozen=True)
class Clause:
    """One clause of a matcher, held against what is known."""

    key: str
    expected: str
    found: str
    holds: bool
    clauses: tuple[Clause, ...] = ()  # of any_of, all_of and not

    def as_json(self) -> dict[str, Any]:
        """The clause as it is stored and shown."""
        plain: dict[str, Any] = {"key": self.key, "expected": self.expected, "found": self.found, "holds": self.holds}
        if self.clauses:
            plain["clauses"] = [clause.as_json() for clause in self.clauses]
        return plain

    def failed(self) -> Iterator[Clause]:
        """The innermost clauses that kept this one from holding."""
        if self.holds:
            return
        inner = [clause for clause in self.clauses if not clause.holds] if self.key in ("any_of", "all_of") else []
        if not inner:
            yield self
        for clause in inner:
            yield from clause.failed()


class Known(Protocol):
    """What clauses are held against."""

    @property
    def values(self) -> Mapping[str, tuple[Value, ...]]:
        """By key: its different values; a key that is absent has none."""


class Matcher(Protocol):
    """Something that holds or does not, and says why."""

    @property
    def keys(self) -> frozenset[str]:
        """What it asks for."""

    def trace(self, known: Known) -> Clause:
        """How it fared, part by part."""


@dataclass(frozen=True)
class Element:
    """One clause about one key."""

    key: str
    test: Condition
    hidden: bool = False  # its value could tell who the patient is: it is in no trace

    @property
    def keys(self) -> frozenset[str]:
        """The keys that are asked for."""
        return frozenset({self.key})

    def trace(self, known: Known) -> Clause:
        """What was found, what was expected, and whether it holds."""
        values = known.values.get(self.key, ())
        expected, found = self.test.expected, _shown(values)
        if self.hidden:
            expected, found = HIDDEN, HIDDEN if values else found
        return Clause(self.key, expected, found, self.test.holds(values))


@dataclass(frozen=True)
class Group:
    """Matchers together."""

    key: str  # all_of, any_of or not
    members: tuple[Matcher, ...]

    @property
    def keys(self) -> frozenset[str]:
        """The keys that its clauses ask for."""
        return frozenset().union(*(member.keys for member in self.members))

    def trace(self, known: Known) -> Clause:
        """Whether the group holds, with the traces of its clauses."""
        clauses = tuple(member.trace(known) for member in self.members)
        count = sum(clause.holds for clause in clauses)
        holds, expected = {
            "all_of": (count == len(clauses), "all of these"),
            "any_of": (count > 0, "any of these"),
            "not": (count == 0, "not this"),
        }[self.key]
        return Clause(self.key, expected, f"{count} of {len(clauses)} hold", holds, clauses)


def _shown(values: Sequence[Value]) -> str:
    if not values:
        return "absent"
    more = f" and {len(values) - SHOWN_VALUES} more" if len(values) > SHOWN_VALUES else ""
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values[:SHOWN_VALUES]) + more


# ---- reading a matcher
ReadElement = Callable[[str, Any, str], Element]
"""Key, test and place of a clause -> the clause; raises `ConfigurationError` with the place and what would be right."""


@dataclass(frozen=True)
class Language:
    """What the keys of some clauses may be."""

    example: str  # of a clause, for messages
    element: ReadElement

    def matcher(self, when: Mapping[str, Any], where: str) -> Group:
        """The matcher that `when` describes.

        Parameters
        ----------
        when
            As in config.yaml.
        where
            The key that `when` stands under, for messages.

        Raises
        ------
        ConfigurationError
            Naming the key, the value and what would be right.
        """
        if not isinstance(when, Mapping):
            raise ConfigurationError(f"{where}: {when!r}: should be a mapping such as {{{self.example}}}")
        return Group("all_of", tuple(self._clause(str(key), value, where) for key, value in when.items()))

    def problems(self, when: object, where: str) -> Iterator[tuple[str, str]]:
        """Everything that is wrong with a matcher: the key, and what would be right. Parameters as of `matcher`."""
        if not isinstance(when, Mapping):
            yield where, f"{when!r}: should be a mapping such as {{{self.example}}}"
            return
        for name, value in when.items():
            key, here = str(name), f"{where}.{name}"
            if key == "not":
                yield from self.problems(value, here)
            elif key in ("any_of", "all_of") and isinstance(value, list) and value:
                for index, item in enumerate(value):
                    yield from self.problems(item, f"{here}.{index}")
            else:
                try:
                    self._clause(key, value, where)
                except ConfigurationError as error:
                    told, _, sentence = str(error).partition(": ")
                    yield told, sentence

    def _member(self, when: Mapping[str, Any], where: str) -> Matcher:
        """A matcher inside another; one clause stands for itself, so that traces stay shallow."""
        inner = self.matcher(when, where)
        return inner.members[0] if len(inner.members) == 1 else inner

    def _clause(self, key: str, value: Any, where: str) -> Matcher:
        here = f"{where}.{key}"
        if key == "not":
            return Group("not", (self._member(value, here),))
        if key in ("any_of", "all_of"):
            if not isinstance(value, list) or not value:
                example = f"[{{{self.example}}}, ...]"
                raise ConfigurationError(f"{here}: {value!r}: should be a list of clauses, such as {example}")
            return Group(key, tuple(self._member(item, f"{here}.{i}") for i, item in enumerate(value)))
        return self.element(key, value, here)
