"""Can the `when` of a route's destinations mean what it says?"""

from __future__ import annotations

from collections.abc import Iterator

from dicom_sr.codes import CONDYLE
from dicom_sr.words import did_you_mean
from node.config import ConditionalDestination, Configuration, Route
from node.config.checks import CheckResult
from node.matching.language import Group
from node.matching.result import FAILED, FINDING, MEASUREMENT, RESULT, STATE, UNSUITABLE, codes_asked, may_hold


def destinations(configuration: Configuration, name: str, route: Route) -> Iterator[CheckResult]:
    """What is wrong with, or strange about, the conditions of a route's destinations."""
    for index, one in enumerate(route.destinations):
        if isinstance(one, ConditionalDestination):
            key = f"routes.{name}.destinations.{index}.when"
            wrong = [CheckResult(where, "bad", sentence) for where, sentence in RESULT.problems(one.when, key)]
            yield from wrong or _doubts(configuration, one, key)


def _doubts(configuration: Configuration, one: ConditionalDestination, key: str) -> Iterator[CheckResult]:
    matcher = RESULT.matcher(one.when, key)
    yield from doubts_of_codes(matcher, key)
    ends = [state for state in (UNSUITABLE, FAILED) if STATE in matcher.keys and may_hold(matcher, state)]
    if ends and not configuration.destinations[one.to].profile.not_run_reports:
        sentence = f"nothing of {' and '.join(ends)} jobs goes to {one.to} without not_run_reports: true in its profile"
        yield CheckResult(key, "doubtful", sentence)


def doubts_of_codes(matcher: Group, key: str) -> Iterator[CheckResult]:
    """The codes that a matcher under a key asks for and that no installed pipeline states."""
    for asked in codes_asked(matcher):
        if (sentence := _unknown_code(asked.removeprefix(FINDING).removeprefix(MEASUREMENT))) is not None:
            yield CheckResult(f"{key}.{asked}", "doubtful", sentence)


def _unknown_code(code: str) -> str | None:
    """What is said of a code that no installed pipeline states; None of one that may be right."""
    scheme, _, value = code.rpartition(":")
    if scheme not in ("", CONDYLE.designator) or value in CONDYLE:
        return None
    hint = did_you_mean(value, CONDYLE.values)
    return f"{value}: no pipeline states this code{hint}; a code of another scheme has that in front, as DCM:113060"
