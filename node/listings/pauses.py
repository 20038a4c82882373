"""What is paused."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from node.listings.listing import Listing


class PauseListing(Listing):
    """A route or a destination that is paused."""

    kind: Literal["route", "destination"]
    name: str
    since: datetime
    who: str
    why: str
