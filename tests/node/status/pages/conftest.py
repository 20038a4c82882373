from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.node.actions.acting import Acting
from tests.node.status.pages.acting_page import acting_page


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[Acting, httpx.Client]]:
    with acting_page(tmp_path) as made:
        yield made
