"""Conditions on the values of one element: equal, a pattern, one of a list, a range, there or not, and their opposites.

A condition is written as in config.yaml: ``MR``, ``"*sag*"``, ``[KNEE, "LEG*"]``, ``{min: 5, max: 60}``,
``{absent: true}``, ``{not: LOCALIZER}``, ``{all_of: [...]}``, ``{any_of: [...]}``. Nothing of it is ever run as code.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from dicom_sr.read.body_parts import PARTS
from dicom_sr.words import did_you_mean

Value = str | float | int


# VRs whose values are, or are written as, numbers; AS counts in years, DA as the number YYYYMMDD
NUMBER_VRS = {"DS", "IS", "FL", "FD", "SL", "SS", "SV", "UL", "US", "UV", "AS", "DA"}
AGE_IN_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}  # PS3.5 6.2, AS
# what a text may be where a number, an age or a date is asked for, and what it should be
WRITTEN = {
    "number": (
        re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", re.IGNORECASE),
        "a number, or a range such as {min: 1}",
    ),
    "AS": (re.compile(r"\d+(\.\d+)?|\d{3}[DWMY]"), "an age such as 045Y, or a range of years such as {min: 18}"),
    "DA": (re.compile(r"\d{8}"), "a date such as 20260131, or a range such as {min: 20260101}"),
}
SAME_NUMBER = 1e-6  # relative; decimal strings are rounded when they are written


class WrongCondition(ValueError):
    """A condition that cannot be meant so; the message names its key, the value and what would be right."""


def kind_of(vr: str) -> str:
    """``number``, or the VR (of ages, dates and texts): what can be asked of an element with that VR."""
    if vr in ("AS", "DA"):  # are written as text and asked as numbers
        return vr
    return "number" if vr in NUMBER_VRS or any(part in NUMBER_VRS for part in vr.split(" or ")) else vr


@dataclass(frozen=True)
class Condition:
    """A question about the values of a key; `values` are those of all instances, without repeats."""

    expected: str
    holds: Callable[[Sequence[Value]], bool]


def _equals(wanted: Value) -> Condition:
    number = _number(wanted)

    def same(value: Value) -> bool:
        if number is not None and (found := _number(value)) is not None:
            return abs(found - number) <= SAME_NUMBER * max(abs(found), abs(number))
        return str(value).strip().casefold() == str(wanted).strip().casefold()

    return Condition(str(wanted), lambda values: any(same(value) for value in values))


def _glob(pattern: str) -> Condition:
    wanted = pattern.casefold().replace("[", "[[]")  # brackets are common in descriptions; only * and ? are special
    return Condition(
        pattern, lambda values: any(fnmatch.fnmatchcase(str(value).casefold(), wanted) for value in values)
    )


def _range(least: float | None, most: float | None) -> Condition:
    words = [f"at least {least:g}" if least is not None else "", f"at most {most:g}" if most is not None else ""]

    def inside(value: Value) -> bool:
        found = _years(value)
        return (
            found is not None
            and (least is None or found >= least - SAME_NUMBER * abs(least))
            and (most is None or found <= most + SAME_NUMBER * abs(most))
        )

    return Condition(
        " and ".join(word for word in words if word), lambda values: any(inside(value) for value in values)
    )


def _present(wanted: bool) -> Condition:
    return Condition("present" if wanted else "absent", lambda values: bool(values) is wanted)


def _network(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Condition:
    def inside(value: Value) -> bool:
        try:
            address = ipaddress.ip_address(str(value))
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)  # what a socket open to both families gives
        return (mapped or address) in network

    return Condition(f"in {network}", lambda values: any(inside(value) for value in values))


def _any_of(tests: Sequence[Condition]) -> Condition:
    return Condition(" or ".join(test.expected for test in tests), lambda values: any(t.holds(values) for t in tests))


def _all_of(tests: Sequence[Condition]) -> Condition:
    return Condition(" and ".join(test.expected for test in tests), lambda values: all(t.holds(values) for t in tests))


def _not(test: Condition) -> Condition:
    return Condition(f"not {test.expected}", lambda values: not test.holds(values))


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


# ---- reading a condition
def condition(value: Any, where: str, kind: str) -> Condition:
    if isinstance(value, bool) or value is None:
        shown = "is empty" if value is None else str(value).lower()
        raise WrongCondition(
            f"{where}: {shown}: should be a text or number; put the words true and false in quotes, and write "
            "{present: true} or {absent: true} to ask whether there is a value"
        )
    if isinstance(value, list):
        if not value:
            raise WrongCondition(f"{where}: []: an empty list matches nothing; should have at least one value")
        return _any_of([condition(item, where, kind) for item in value])
    if isinstance(value, Mapping):
        return _tests(value, where, kind)
    if isinstance(value, date):  # YAML makes a date of 2026-11-22
        return _equals(value.strftime("%Y%m%d"))
    if kind == "address":
        return _address(str(value), where)
    if isinstance(value, str) and ("*" in value or "?" in value):
        if kind == "number":
            raise WrongCondition(f"{where}: {value!r}: should be {WRITTEN[kind][1]}; a pattern is for texts")
        return _glob(value)
    if kind == "SQ":
        raise WrongCondition(f"{where}: is a sequence; ask for an element in it, such as {where}.CodeValue")
    return _equals(_fit(value, where, kind))


def _fit(value: Value, where: str, kind: str) -> Value:
    """The value, if what is asked can have it: no number is ever equal to a text."""
    if kind == "part" and str(value).casefold() not in PARTS:
        raise WrongCondition(f"{where}: {value!r}: should be one of {', '.join(PARTS)}")
    if kind in WRITTEN and isinstance(value, str) and WRITTEN[kind][0].fullmatch(value) is None:
        raise WrongCondition(f"{where}: {value!r}: should be {WRITTEN[kind][1]}")
    return value


def _tests(value: Mapping[str, Any], where: str, kind: str) -> Condition:
    """The test that a mapping of named tests describes; all of them must hold."""
    named: dict[str, Callable[[Any, str], Condition]] = {
        "equals": lambda v, here: _equals(_fit(_scalar(v, here), here, kind)),
        "glob": lambda v, here: _glob(str(_scalar(v, here))),
        "present": lambda v, here: _present(_flag(v, here)),
        "absent": lambda v, here: _present(not _flag(v, here)),
        "any_of": lambda v, here: _any_of([condition(item, here, kind) for item in _list(v, here)]),
        "all_of": lambda v, here: _all_of([condition(item, here, kind) for item in _list(v, here)]),
        "not": lambda v, here: _not(condition(v, here, kind)),
    }
    tests = []
    if "min" in value or "max" in value:
        tests.append(_bounds(value, where, kind))
    for name, content in value.items():
        if name in ("min", "max"):
            continue
        if name not in named:
            known = ["min", "max", *named]
            raise WrongCondition(
                f"{where}.{name}: {content!r}: is not a test; there are: {', '.join(known)}{did_you_mean(name, known)}"
            )
        tests.append(named[str(name)](content, f"{where}.{name}"))
    if not tests:
        raise WrongCondition(f"{where}: {{}}: is empty; should hold a test: min, max, {', '.join(named)}")
    return tests[0] if len(tests) == 1 else _all_of(tests)


def _bounds(value: Mapping[str, Any], where: str, kind: str) -> Condition:
    if kind not in WRITTEN:
        raise WrongCondition(
            f"{where}: {dict(value)!r}: min and max need an element that holds a number; this one holds text"
        )
    ends: dict[str, float | None] = {"min": None, "max": None}
    for name in ends:
        end = value.get(name)
        if isinstance(end, date):
            end = int(end.strftime("%Y%m%d"))
        if name in value and (isinstance(end, bool) or not isinstance(end, int | float)):
            raise WrongCondition(f"{where}.{name}: {end!r}: should be a number, without quotes and unit")
        ends[name] = end
    least, most = ends["min"], ends["max"]
    if least is not None and most is not None and least > most:
        raise WrongCondition(f"{where}: min {least:g} is greater than max {most:g}: nothing can match; exchange them")
    return _range(least, most)


def _address(value: str, where: str) -> Condition:
    try:
        return _network(ipaddress.ip_network(value, strict=False))
    except ValueError as error:
        raise WrongCondition(f"{where}: {value!r}: should be an address or network such as 10.2.0.0/16") from error


def _scalar(value: Any, where: str) -> Value:
    if isinstance(value, date):
        return value.strftime("%Y%m%d")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise WrongCondition(f"{where}: {value!r}: should be one text or number")
    return value


def _flag(value: Any, where: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if (flag := words.get(str(value).casefold())) is None:
        raise WrongCondition(f"{where}: {value!r}: should be true or false")
    return flag


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise WrongCondition(f"{where}: {value!r}: should be a list with at least one test")
    return value
