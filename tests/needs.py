"""What a test does where something it needs is not on this machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the test with a reason; where everything has to be there (CI), fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}: required where CI=true", pytrace=False)
    pytest.skip(what)
