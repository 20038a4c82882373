"""What went wrong, the same fault as one line."""

from __future__ import annotations

from datetime import datetime

from node.listings.listing import Listing


class FailureListing(Listing):
    """The same fault, as often as it came."""

    kind: str
    reason: str  # with a mark for what differs from one time to the next
    times: int
    first: datetime
    last: datetime
    whose: dict[str, int]  # senders, destinations or routes
    remedy: str
    jobs: list[str]  # that can be restarted
