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
import fnmatch
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Protocol

from pydicom.datadict import dictionary_VR, keyword_dict, keyword_for_tag, tag_for_keyword

from dicom_sr.read.body_parts import PARTS
from node.config.mistakes import did_you_mean
from node.errors import ConfigurationError
from node.route.facts import BODY_PART, NUMBERS, TEXTS, Facts, Value

# VRs whose values are, or are written as, numbers; AS counts in years, DA as the number YYYYMMDD
NUMBER_VRS = {"DS", "IS", "FL", "FD", "SL", "SS", "SV", "UL", "US", "UV", "AS", "DA"}
AGE_IN_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}  # PS3.5 6.2, AS
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?\s?([0-9A-Fa-f]{4})\)?")
# what a text may be where a number, an age or a date is asked for, and what it should be
_WRITTEN = {
    "number": (
        re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", re.IGNORECASE),
        "a number, or a range such as {min: 1}",
    ),
    "AS": (re.compile(r"\d+(\.\d+)?|\d{3}[DWMY]"), "an age such as 045Y, or a range of years such as {min: 18}"),
    "DA": (re.compile(r"\d{8}"), "a date such as 20260131, or a range such as {min: 20260101}"),
}
SAME_NUMBER = 1e-6  # relative; decimal strings are rounded when they are written
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


# ---- tests of the values of one key
@dataclass(frozen=True)
class Test:
    """A question about the values of a key; `values` are those of all instances, without repeats."""

    expected: str
    holds: Callable[[Sequence[Value]], bool]


def _equals(wanted: Value) -> Test:
    number = _number(wanted)

    def same(value: Value) -> bool:
        if number is not None and (found := _number(value)) is not None:
            return abs(found - number) <= SAME_NUMBER * max(abs(found), abs(number))
        return str(value).strip().casefold() == str(wanted).strip().casefold()

    return Test(str(wanted), lambda values: any(same(value) for value in values))


def _glob(pattern: str) -> Test:
    wanted = pattern.casefold().replace("[", "[[]")  # brackets are common in descriptions; only * and ? are special
    return Test(pattern, lambda values: any(fnmatch.fnmatchcase(str(value).casefold(), wanted) for value in values))


def _range(least: float | None, most: float | None) -> Test:
    words = [f"at least {least:g}" if least is not None else "", f"at most {most:g}" if most is not None else ""]

    def inside(value: Value) -> bool:
        found = _years(value)
        return (
            found is not None
            and (least is None or found >= least - SAME_NUMBER * abs(least))
            and (most is None or found <= most + SAME_NUMBER * abs(most))
        )

    return Test(" and ".join(word for word in words if word), lambda values: any(inside(value) for value in values))


def _present(wanted: bool) -> Test:
    return Test("present" if wanted else "absent", lambda values: bool(values) is wanted)


def _network(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Test:
    def inside(value: Value) -> bool:
        try:
            address = ipaddress.ip_address(str(value))
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)  # what a socket open to both families gives
        return (mapped or address) in network

    return Test(f"in {network}", lambda values: any(inside(value) for value in values))


def _any_of(tests: Sequence[Test]) -> Test:
    return Test(" or ".join(test.expected for test in tests), lambda values: any(t.holds(values) for t in tests))


def _all_of(tests: Sequence[Test]) -> Test:
    return Test(" and ".join(test.expected for test in tests), lambda values: all(t.holds(values) for t in tests))


def _not(test: Test) -> Test:
    return Test(f"not {test.expected}", lambda values: not test.holds(values))


def _number(value: Value) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _years(value: Value) -> float | None:
    """The number in `value`; of an age string its years."""
    if isinstance(value, str) and len(value) == 4 and value[:3].isdigit() and value[3] in AGE_IN_YEARS:
        return int(value[:3]) * AGE_IN_YEARS[value[3]]
    return _number(value)


# ---- matchers
@dataclass(frozen=True)
class Element:
    """One clause about one key."""

    key: str
    test: Test

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
    return Element(key, _test(value, here, _kind(key, here)))


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
    if vr in ("AS", "DA"):  # are written as text and asked as numbers
        return vr
    return "number" if vr in NUMBER_VRS or any(part in NUMBER_VRS for part in vr.split(" or ")) else vr


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


def _test(value: Any, where: str, kind: str) -> Test:
    if isinstance(value, bool) or value is None:
        shown = "is empty" if value is None else str(value).lower()
        raise ConfigurationError(
            f"{where}: {shown}: should be a text or number; put the words true and false in quotes, and write "
            "{present: true} or {absent: true} to ask whether there is a value"
        )
    if isinstance(value, list):
        if not value:
            raise ConfigurationError(f"{where}: []: an empty list matches nothing; should have at least one value")
        return _any_of([_test(item, where, kind) for item in value])
    if isinstance(value, Mapping):
        return _tests(value, where, kind)
    if isinstance(value, date):  # YAML makes a date of 2026-11-22
        return _equals(value.strftime("%Y%m%d"))
    if kind == "address":
        return _address(str(value), where)
    if isinstance(value, str) and ("*" in value or "?" in value):
        if kind == "number":
            raise ConfigurationError(f"{where}: {value!r}: should be {_WRITTEN[kind][1]}; a pattern is for texts")
        return _glob(value)
    if kind == "SQ":
        raise ConfigurationError(f"{where}: is a sequence; ask for an element in it, such as {where}.CodeValue")
    return _equals(_fit(value, where, kind))


def _fit(value: Value, where: str, kind: str) -> Value:
    """The value, if what is asked can have it: no number is ever equal to a text."""
    if kind == "part" and str(value).casefold() not in PARTS:
        raise ConfigurationError(f"{where}: {value!r}: should be one of {', '.join(PARTS)}")
    if kind in _WRITTEN and isinstance(value, str) and _WRITTEN[kind][0].fullmatch(value) is None:
        raise ConfigurationError(f"{where}: {value!r}: should be {_WRITTEN[kind][1]}")
    return value


def _tests(value: Mapping[str, Any], where: str, kind: str) -> Test:
    """The test that a mapping of named tests describes; all of them must hold."""
    named: dict[str, Callable[[Any, str], Test]] = {
        "equals": lambda v, here: _equals(_fit(_scalar(v, here), here, kind)),
        "glob": lambda v, here: _glob(str(_scalar(v, here))),
        "present": lambda v, here: _present(_flag(v, here)),
        "absent": lambda v, here: _present(not _flag(v, here)),
        "any_of": lambda v, here: _any_of([_test(item, here, kind) for item in _list(v, here)]),
        "all_of": lambda v, here: _all_of([_test(item, here, kind) for item in _list(v, here)]),
        "not": lambda v, here: _not(_test(v, here, kind)),
    }
    tests = []
    if "min" in value or "max" in value:
        tests.append(_bounds(value, where, kind))
    for name, content in value.items():
        if name in ("min", "max"):
            continue
        if name not in named:
            known = ["min", "max", *named]
            raise ConfigurationError(
                f"{where}.{name}: {content!r}: is not a test; there are: {', '.join(known)}{did_you_mean(name, known)}"
            )
        tests.append(named[str(name)](content, f"{where}.{name}"))
    if not tests:
        raise ConfigurationError(f"{where}: {{}}: is empty; should hold a test: min, max, {', '.join(named)}")
    return tests[0] if len(tests) == 1 else _all_of(tests)


def _bounds(value: Mapping[str, Any], where: str, kind: str) -> Test:
    if kind not in _WRITTEN:
        raise ConfigurationError(
            f"{where}: {dict(value)!r}: min and max need an element that holds a number; this one holds text"
        )
    ends: dict[str, float | None] = {"min": None, "max": None}
    for name in ends:
        end = value.get(name)
        if isinstance(end, date):
            end = int(end.strftime("%Y%m%d"))
        if name in value and (isinstance(end, bool) or not isinstance(end, int | float)):
            raise ConfigurationError(f"{where}.{name}: {end!r}: should be a number, without quotes and unit")
        ends[name] = end
    least, most = ends["min"], ends["max"]
    if least is not None and most is not None and least > most:
        raise ConfigurationError(
            f"{where}: min {least:g} is greater than max {most:g}: nothing can match; exchange them"
        )
    return _range(least, most)


def _address(value: str, where: str) -> Test:
    try:
        return _network(ipaddress.ip_network(value, strict=False))
    except ValueError as error:
        raise ConfigurationError(f"{where}: {value!r}: should be an address or network such as 10.2.0.0/16") from error


def _scalar(value: Any, where: str) -> Value:
    if isinstance(value, date):
        return value.strftime("%Y%m%d")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigurationError(f"{where}: {value!r}: should be one text or number")
    return value


def _flag(value: Any, where: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if (flag := words.get(str(value).casefold())) is None:
        raise ConfigurationError(f"{where}: {value!r}: should be true or false")
    return flag


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ConfigurationError(f"{where}: {value!r}: should be a list with at least one test")
    return value
