from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.receive.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store whose promise is to survive the end of the process."""
    with contextlib.closing(Store(tmp_path, "process")) as store:
        yield store
