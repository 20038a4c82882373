"""Asking an archive has an end."""

from __future__ import annotations

import pytest

from node.errors import PeerUnavailable
from node.network.deadline import Deadline


def test_asking_ends_at_its_deadline() -> None:
    now = 100.0
    deadline = Deadline("pacs", 20.0, lambda: now)
    now = 119.0
    assert deadline.left() == 1.0
    now = 120.0
    with pytest.raises(PeerUnavailable, match="pacs: did not answer within 20 s"):
        deadline.left()
