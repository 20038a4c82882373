"""What the tests of this pipeline share."""

from __future__ import annotations

import pytest

from pipelines.hand_foot_scoring import BUNDLE, FILES


@pytest.fixture(scope="session")
def networks() -> None:
    """The trained networks; tests of what they can do are skipped as long as none are shipped."""
    lacking = [name for name in FILES if not (BUNDLE / name).exists()]
    if lacking:
        pytest.skip(f"not trained yet (condyle train hand_foot_scoring): {', '.join(lacking)}")
