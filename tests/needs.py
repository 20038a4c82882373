"""What a test does where something it needs is not on this machine."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

from node import box


def missing(what: str) -> NoReturn:
    """Skip the test with a reason; where everything has to be there (CI), fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}: required where CI=true", pytrace=False)
    pytest.skip(what)


def need_a_box() -> None:
    """Leave out a test where the system forbids boxes, as in many containers; bubblewrap itself has to be there."""
    why_not = box.why_not()
    if why_not is not None:
        pytest.skip(why_not) if shutil.which("bwrap") else missing(why_not)
