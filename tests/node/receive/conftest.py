"""Figures that the tests of reception show at the end of a run: what was sent, acknowledged, found, broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

FIGURES: list[str] = []


@pytest.fixture
def tell() -> Callable[[str], None]:
    """Show a line at the end of the run."""
    return FIGURES.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("reception")
        for line in FIGURES:
            terminalreporter.write_line(line)
