"""What looking at a configuration, or at a bundle, has found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from node.config.check_result import CheckResult
from node.listings.listing import Listing


class CheckListing(Listing):
    """One thing that was looked at."""

    key: str
    state: Literal["good", "doubtful", "bad"]
    sentence: str


def check_listings(results: Iterable[CheckResult]) -> list[CheckListing]:
    """The listings of what was found, in its order."""
    return [CheckListing.model_validate(one) for one in results]
