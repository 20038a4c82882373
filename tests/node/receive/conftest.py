"""Figures that the tests of reception show at the end of a run: what was sent, acknowledged, found, broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

FIGURE = "figure of reception"


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Show a line at the end of the run; it travels with the test's report, from another process too."""
    return lambda line: record_property(FIGURE, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    figures = [line for report in reports for name, line in report.user_properties if name == FIGURE]
    if figures:
        terminalreporter.section("reception")
        for line in dict.fromkeys(figures):
            terminalreporter.write_line(line)
