"""What the `when` of a route's destination can ask about a job and its result.

::

    state: unsuitable                      how the job ended: done, unsuitable or failed
    finding.CLS-RA: {present: true}        whether a finding with that code was made
    finding.SVH-COURSE: SVH-WORSE          what was stated under that code, as a code or in words
    measurement.SVH-TOTAL: {min: 50}       a number, in the unit of the report; of several, one will do
    findings: {min: 1}                     how many findings there are
    not_evaluable: {min: 1}                how much was looked for and could not be judged

A key may have the scheme before the code, as in ``finding.99MSKAI:CLS-RA``. Of a job without a result only `state` has
a value.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dicom_sr.read.conditions import Value, WrongCondition, condition
from node.errors import ConfigurationError
from node.matching.language import Clause, Element, Group, Language

DONE, UNSUITABLE, FAILED = "done", "unsuitable", "failed"
STATES = (DONE, UNSUITABLE, FAILED)
STATE, FINDINGS, NOT_EVALUABLE = "state", "findings", "not_evaluable"
FINDING, MEASUREMENT = "finding.", "measurement."
KNOWN = f"{STATE}, {FINDING}CODE, {MEASUREMENT}CODE, {FINDINGS}, {NOT_EVALUABLE}"
MOST_VALUES = 10_000  # of a summary, which a pipeline of the site's own may have written

_CODE = re.compile(r"(?:[^\s:]+:)?[^\s:]+")


@dataclass(frozen=True)
class ResultFacts:
    """What is known of a job that has ended its inference."""

    values: Mapping[str, tuple[Value, ...]]


def result_facts(state: str, summary: Mapping[str, Any] | None) -> ResultFacts:
    """What clauses are held against.

    Parameters
    ----------
    state
        One of `STATES`.
    summary
        Of the result, as `node.run.result_summary` writes it; None where there is none.
    """
    values: dict[str, dict[Value, None]] = {STATE: {state: None}}
    if summary is not None:
        names = _mapping(summary.get("names"))
        findings = _mapping(summary.get("findings"))
        values[FINDINGS] = {float(len(findings)): None}
        values[NOT_EVALUABLE] = {float(len(_mapping(summary.get("not_evaluable")))): None}
        for key, value in _stated(findings, names):
            if len(of_key := values.setdefault(key, {})) < MOST_VALUES:
                of_key[value] = None
    return ResultFacts({key: tuple(found) for key, found in values.items()})


def _stated(findings: Mapping[str, Any], names: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for finding in map(_mapping, findings.values()):
        code = str(finding.get("finding", ""))
        yield from _under(FINDING, code, _words(code, names))
        for name, value in _mapping(finding.get("evaluations")).items():
            yield from _under(FINDING, name, _words(str(value), names))
        for name, measured in _mapping(finding.get("measurements")).items():
            value = _mapping(measured).get("value")
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield from _under(MEASUREMENT, name, (float(value),))


def _under(kind: str, code: str, values: tuple[Value, ...]) -> Iterator[tuple[str, Value]]:
    """The values under the code with its scheme, and without."""
    for name in dict.fromkeys((code, code.rpartition(":")[2])):
        for value in values:
            yield f"{kind}{name}", value


def _words(code: str, names: Mapping[str, Any]) -> tuple[Value, ...]:
    """A code without its scheme, and what it means."""
    meaning = names.get(code)
    return (code.rpartition(":")[2], *([meaning] if isinstance(meaning, str) else []))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def read_summary(content: bytes) -> Mapping[str, Any]:
    """The summary of a result in its file.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        summary = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(summary, Mapping):
        raise ValueError("is no mapping")
    return summary


# ---- reading a matcher
def _element(key: str, value: Any, here: str) -> Element:
    try:
        if key == STATE:
            return _state(value, here)
        if key in (FINDINGS, NOT_EVALUABLE):
            return Element(key, condition(value, here, "number"))
        for kind, of_kind in ((FINDING, "text"), (MEASUREMENT, "number")):
            if key.startswith(kind):
                if _CODE.fullmatch(key.removeprefix(kind)) is None:
                    raise ConfigurationError(f"{here}: should end with a code, such as {kind}CLS-RA, see docs/codes.md")
                return Element(key, condition(value, here, of_kind))
    except WrongCondition as error:
        raise ConfigurationError(str(error)) from error
    raise ConfigurationError(f"{here}: {_not_a_key(key)}")


def _state(value: Any, here: str) -> Element:
    element = Element(STATE, condition(value, here, "text"))
    holding = [state for state in STATES if element.test.holds([state])]
    if not holding:
        raise ConfigurationError(f"{here}: {value!r}: no job ends so; should be one of {', '.join(STATES)}")
    return element


def _not_a_key(key: str) -> str:
    close = difflib.get_close_matches(key.partition(".")[0], ["state", "finding", "measurement", "findings"], n=1)
    hint = f"; did you mean {close[0]!r}?" if close and "." not in key else ""
    elsewhere = "what is asked of the images stands in the `when` of the route"
    return f"cannot be asked of a result; there are: {KNOWN}{hint}; {elsewhere}"


RESULT = Language("state: unsuitable", _element)
"""What a result can be asked."""


def codes_asked(matcher: Group) -> Iterator[str]:
    """The keys that name a code."""
    yield from sorted(key for key in matcher.keys if key.startswith((FINDING, MEASUREMENT)))


def may_hold(matcher: Group, state: str) -> bool:
    """Whether the matcher can hold of a job without a result that ends in `state`."""
    return matcher.trace(result_facts(state, None)).holds


def why(clause: Clause) -> str:
    """In one line why a matcher holds, or does not."""
    told = clause.clauses if clause.holds else tuple(clause.failed())
    return "; ".join(f"{one.key}: found {one.found}, expected {one.expected}" for one in told)
