"""One running node for all tests of the API that leave it as it is for others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node.api.asking import Asked, asked


@pytest.fixture(scope="package")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with asked(tmp_path_factory.mktemp("api")) as made:
        yield made
