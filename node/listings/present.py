"""What the node is at now."""

from __future__ import annotations

from datetime import datetime

from node.listings.listing import Listing


class HealthListing(Listing):
    """How the node's parts are."""

    ready: bool
    problems: dict[str, str]  # what keeps it from being ready, by part
    remarks: dict[str, str]  # what is wrong and can wait, by part


class DiskListing(Listing):
    """Room on the disk of the node's data."""

    free: int  # bytes
    total: int
    floor: int  # below it new instances are refused
    low: bool


class NumbersListing(Listing):
    """Numbers of now, and of the last 24 hours."""

    jobs: dict[str, int]  # under way, by state
    done: int  # of the last 24 hours, as what follows
    failed: int
    unsuitable: int
    waiting: int  # objects to be sent
    not_stored: int  # instances


class QueueListing(Listing):
    """What of one pipeline is under way."""

    pipeline: str
    counts: dict[str, int]  # by state
    oldest: datetime | None  # of those that are queued


class WorkerListing(Listing):
    """What an inference process is at."""

    slot: int
    pid: int | None
    job_id: str  # empty: it waits
    step: str
    busy_s: float
    warm: list[str]  # pipelines that it has in memory


class DestinationListing(Listing):
    """Whether objects arrive at a destination."""

    name: str
    where: str
    state: str
    since: datetime | None
    waiting: int
    waiting_since: datetime | None
    last_delivered: datetime | None
    delivered: int  # in 24 hours
    refused: int
    word: str  # its last one where it does not take everything


class PresentListing(Listing):
    """What the node is at now."""

    version: str
    ae_title: str
    now: datetime
    configuration: str  # SHA-256 of the file as it stands
    health: HealthListing
    numbers: NumbersListing
    queues: list[QueueListing]
    workers: list[WorkerListing]
    destinations: list[DestinationListing]
    disk: DiskListing
