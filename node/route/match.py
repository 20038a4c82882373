"""Matchers: the `when` of a route, checked at the start and held against a series clause by clause.

A matcher is a mapping; all of its clauses must hold. A clause is a key and a test::

    Modality: MR                          equals; without regard to case, and any value of any instance will do
    SeriesDescription: "*sag*"            glob: * for any characters, ? for one
    BodyPartExamined: [KNEE, "LEG*"]      list: any of these
    EchoTime: {min: 5, max: 60}           number range, both ends included
    ContrastBolusAgent: {absent: true}    absent (or empty) in every instance; present: in some instance
    ImageType: {not: LOCALIZER}           not
    SliceThickness: {all_of: [{min: 2}, {not: 3}]}, {any_of: [...]}
    any_of: [matcher, matcher]            and the same for whole matchers: any_of, all_of, not

A key is a DICOM keyword (``SequenceKeyword.Keyword`` goes into a sequence), or one of ours: see `facts.py`.
Nothing of a matcher is ever run as code.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from pydicom.datadict import dictionary_VR, keyword_dict, keyword_for_tag, tag_for_keyword

from dicom_sr.read.conditions import Condition, WrongCondition, condition, kind_of
from node.errors import ConfigurationError
from node.route.facts import BODY_PART, NUMBERS, TEXTS, Facts, Value

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?\s?([0-9A-Fa-f]{4})\)?")
SHOWN_VALUES = 6  # of an element that differs between instances; a trace is for reading
HIDDEN = "(not shown)"

# What tells of the patient without telling who it is; all else of group 0010 is hidden, and names and free text of any
# group, and what an order is known by.
PATIENT_BUT_NOT_IDENTIFYING = {
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientSpeciesDescription",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
}
IDENTIFYING_VRS = {"PN", "LT", "ST", "UT", "UC"}
IDENTIFYING = {"AccessionNumber", "StudyID", "AdmissionID", "RequestedProcedureID", "PerformedProcedureStepID"}


@dataclass(frozen=True)
class Clause:
    """One clause of a matcher, held against one series."""

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


class Matcher(Protocol):
    """Something that holds of a series or does not, and says why."""

    @property
    def keys(self) -> frozenset[str]:
        """What it asks for."""

    def trace(self, facts: Facts) -> Clause:
        """How it fared on these facts, part by part."""


# ---- matchers
@dataclass(frozen=True)
class Element:
    """One clause about one key."""

    key: str
    test: Condition

    @property
    def keys(self) -> frozenset[str]:
        """The keys that are asked for."""
        return frozenset({self.key})

    def trace(self, facts: Facts) -> Clause:
        """What was found, what was expected, and whether it holds."""
        values = facts.values.get(self.key, ())
        expected, found = self.test.expected, _shown(values)
        if is_identifying(self.key):
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

    def trace(self, facts: Facts) -> Clause:
        """Whether the group holds, with the traces of its clauses."""
        clauses = tuple(member.trace(facts) for member in self.members)
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


@cache
def is_identifying(key: str) -> bool:
    """Could the value of `key` tell who the patient is?"""
    for keyword in key.split("."):
        tag = tag_for_keyword(keyword)
        if tag is None:
            continue
        group, vr = tag >> 16, dictionary_VR(tag)
        if (group == 0x0010 and keyword not in PATIENT_BUT_NOT_IDENTIFYING) or vr in IDENTIFYING_VRS:
            return True
        if keyword in IDENTIFYING or (keyword.startswith("Patient") and group != 0x0010 and vr == "LO"):
            return True
    return False


# ---- reading a matcher
def matcher(when: Mapping[str, Any], where: str, level: str = "series") -> Group:
    """The matcher that `when` describes.

    Parameters
    ----------
    when
        As in config.yaml.
    where
        The key that `when` stands under, for messages.
    level
        ``series`` or ``study``: what is asked of the study as a whole is not known when a series is complete.

    Raises
    ------
    ConfigurationError
        Naming the key, the value and what would be right.
    """
    if not isinstance(when, Mapping):
        raise ConfigurationError(f"{where}: {when!r}: should be a mapping such as {{Modality: MR}}")
    return Group("all_of", tuple(_clause(str(key), value, where, level) for key, value in when.items()))


def problems(when: object, where: str, level: str = "series") -> Iterator[tuple[str, str]]:
    """Everything that is wrong with a matcher: the key, and what would be right. Parameters as of `matcher`."""
    if not isinstance(when, Mapping):
        yield where, f"{when!r}: should be a mapping such as {{Modality: MR}}"
        return
    for name, value in when.items():
        key, here = str(name), f"{where}.{name}"
        if key == "not":
            yield from problems(value, here, level)
        elif key in ("any_of", "all_of") and isinstance(value, list) and value:
            for index, item in enumerate(value):
                yield from problems(item, f"{here}.{index}", level)
        else:
            try:
                _clause(key, value, where, level)
            except ConfigurationError as error:
                told, _, sentence = str(error).partition(": ")
                yield told, sentence


def _member(when: Mapping[str, Any], where: str, level: str) -> Matcher:
    """A matcher inside another; one clause stands for itself, so that traces stay shallow."""
    inner = matcher(when, where, level)
    return inner.members[0] if len(inner.members) == 1 else inner


def _clause(key: str, value: Any, where: str, level: str) -> Matcher:
    here = f"{where}.{key}"
    if key == "not":
        return Group("not", (_member(value, here, level),))
    if key in ("any_of", "all_of"):
        if not isinstance(value, list) or not value:
            raise ConfigurationError(f"{here}: {value!r}: should be a list of clauses, such as [{{Modality: MR}}, ...]")
        return Group(key, tuple(_member(item, f"{here}.{i}", level) for i, item in enumerate(value)))
    if key.startswith("study.") and key in {*NUMBERS, *TEXTS} and level != "study":
        raise ConfigurationError(
            f"{here}: {value!r}: is known only when the study is complete; the route should have level: study"
        )
    try:
        return Element(key, condition(value, here, _kind(key, here)))
    except WrongCondition as error:
        raise ConfigurationError(str(error)) from error


def _kind(key: str, where: str) -> str:
    """``number``, ``text``, ``address`` or the VR (of ages, dates and texts): what can be asked of `key`."""
    if key in NUMBERS:
        return "number"
    if key == BODY_PART:
        return "part"
    if key in TEXTS:
        return "address" if key == "association.peer_address" else "text"
    vr = ""
    for index, keyword in enumerate(key.split(".")):
        tag = tag_for_keyword(keyword)
        if tag is None or (index and vr != "SQ"):
            raise ConfigurationError(f"{where}: {_not_a_key(key, keyword, tag)}")
        vr = dictionary_VR(tag)
    return kind_of(vr)


def _not_a_key(key: str, keyword: str, tag: int | None) -> str:
    if tag is not None:
        return f"{key!r}: only a sequence has elements below it"
    if (numbered := _TAG.fullmatch(key)) is not None:
        named = keyword_for_tag(int(numbered[1] + numbered[2], 16)) or "none in the dictionary"
        return f"is a tag; a key is a keyword: {named}"
    known = [*NUMBERS, *TEXTS, *(keyword for keyword in keyword_dict if keyword)]
    whole, part = (difflib.get_close_matches(word, known, n=1, cutoff=c) for word, c in ((key, 0.7), (keyword, 0.6)))
    if close := whole or part:
        asked = key if whole else keyword
        return f"{asked!r} is not a DICOM keyword, nor a key of the node; did you mean {close[0]!r}?"
    return f"{keyword!r} is neither a DICOM keyword nor one of {', '.join([*NUMBERS, *TEXTS])}"
