"""Lines of the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from node.listings.listing import Listing


class AuditListing(Listing):
    """Who did what, when."""

    id: int
    number: int | None  # in the chain; None: not written to it yet
    at: datetime
    what: str
    who: str
    study_instance_uid: str | None
    times: int
    detail: dict[str, Any]
