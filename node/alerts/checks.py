"""Can the `when` of alert rules about results mean what it says?"""

from __future__ import annotations

from collections.abc import Iterator

from node.config import Configuration
from node.config.alerts import ResultMade
from node.config.check_result import CheckResult
from node.matching.result import RESULT
from node.route.destination_checks import doubts_of_codes


def rules(configuration: Configuration) -> Iterator[CheckResult]:
    """What is wrong with, or strange about, the conditions of rules about results."""
    for name, rule in configuration.alerts.rules.items():
        if isinstance(rule, ResultMade):
            key = f"alerts.rules.{name}.when"
            wrong = [CheckResult(where, "bad", sentence) for where, sentence in RESULT.problems(rule.when, key)]
            yield from wrong or doubts_of_codes(RESULT.matcher(rule.when, key), key)
