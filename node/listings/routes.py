"""Routes: as they are configured, and what they did."""

from __future__ import annotations

from datetime import datetime

from node.listings.listing import Listing


class HitsListing(Listing):
    """How often a route was asked, and matched."""

    matched: int
    not_matched: int


class DecidingListing(Listing):
    """A clause that kept a route from matching."""

    key: str
    share: float  # of the decisions looked at
    alone: float  # of those, in which it was the only one


class TimesListing(Listing):
    """Seconds that a worker was on the latest jobs."""

    jobs: int
    median_s: float
    p95_s: float
    mean_s: float


class RouteListing(Listing):
    """One route."""

    name: str
    pipeline: str
    destinations: list[str]
    shadow: bool
    priority: int
    day: HitsListing
    week: HitsListing
    last_hit: datetime | None
    deciding: list[DecidingListing]
    jobs: dict[str, int]  # of the week, by state
    times: TimesListing | None
    share: float | None  # of the time of all workers in the week
    paused: str  # by whom and why; empty: it is not


class RoutesFileListing(Listing):
    """The section of the configuration file."""

    text: str  # with its comments
    digest: str  # SHA-256 of the file that it stands in


class MistakeListing(Listing):
    """What is said of one line of the section."""

    line: int  # from 1
    key: str
    sentence: str


class RoutesDraftListing(Listing):
    """What is said of other routes."""

    fit: bool  # whether they could be put in force
    mistakes: list[MistakeListing]
    doubts: list[MistakeListing]
    changes: list[str]  # what would be another way, in sentences
