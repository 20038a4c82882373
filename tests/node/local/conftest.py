"""The odd pipelines, for every test of runs on files."""

from __future__ import annotations

import pytest

from tests.node.local.odd_pipelines import install


@pytest.fixture(autouse=True)
def _odd_pipelines(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
