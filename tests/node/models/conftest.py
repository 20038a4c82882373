"""A node that is not running, with the trial pipelines, and its versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.models.versions import Versions
from tests.node.run.trial import Bench, bench


@pytest.fixture
def made(tmp_path: Path, trial_installed: None) -> Iterator[Bench]:
    with bench(tmp_path) as found:
        yield found


@pytest.fixture
def versions(made: Bench) -> Versions:
    return Versions(made.database, made.data)
