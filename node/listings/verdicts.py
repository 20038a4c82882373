"""What readers say of results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pydicom.sr.coding import Code
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.assessment import Change
from node.database.connection import Database
from node.database.tables import JobRow, VerdictRow
from node.listings.listing import Listing
from node.run.result_summary import code_text
from node.verdicts import storing
from node.verdicts.verdict import Verdict


@dataclass(frozen=True)
class Listed:
    """A verdict with what its job says about itself."""

    said: Verdict
    pipeline: str
    version: str
    superseded: bool


class ChangeListing(Listing):
    """A value that a reader changed; codes as text."""

    value: str
    before: float | str | None
    after: float | str | None
    unit: str | None


class VerdictListing(Listing):
    """What one reader says about one finding."""

    observed: str  # as ISO 8601
    received: str
    study_instance_uid: str
    job: str
    pipeline: str
    version: str
    tracking_id: str
    tracking_uid: str
    finding: str
    site: str
    answer: str
    reason: str
    comment: str
    observer: str  # keyed digest
    device: str
    sender: str
    kind: str
    source: str
    superseded: bool
    changes: list[ChangeListing]

    @classmethod
    def of(cls, one: Listed) -> VerdictListing:
        """The listing of a verdict."""
        said = one.said
        return cls(
            observed=said.observed.isoformat(),
            received=said.received.isoformat(),
            study_instance_uid=said.study_instance_uid,
            job=said.job_id,
            pipeline=one.pipeline,
            version=one.version,
            tracking_id=said.tracking_id,
            tracking_uid=said.tracking_uid,
            finding=coded(said.finding),
            site=coded(said.site),
            answer=said.answer,
            reason=coded(said.reason),
            comment=said.comment,
            observer=said.observer,
            device=said.device,
            sender=said.sender,
            kind=said.kind,
            source=said.source_uid,
            superseded=one.superseded,
            changes=[_change(change) for change in said.changes],
        )


def listed(
    database: Database,
    *,
    since: datetime | None = None,
    pipeline: str = "",
    superseded: bool = True,
    limit: int | None = None,
) -> list[Listed]:
    """The verdicts, the latest first."""
    query = select(VerdictRow, JobRow.pipeline, JobRow.pipeline_version).join(JobRow, JobRow.id == VerdictRow.job_id)
    if since is not None:
        query = query.where(VerdictRow.received >= since)
    if pipeline:
        query = query.where(JobRow.pipeline == pipeline)
    if not superseded:
        query = query.where(VerdictRow.superseded.is_(False))
    query = query.order_by(VerdictRow.received.desc(), VerdictRow.job_id, VerdictRow.tracking_id, VerdictRow.id)
    if limit is not None:
        query = query.limit(limit)
    with Session(database) as session:
        return [
            Listed(storing.verdict(row), name, version, row.superseded) for row, name, version in session.execute(query)
        ]


def verdict_listings(
    database: Database, *, since: datetime | None = None, pipeline: str = "", superseded: bool = False, limit: int = 100
) -> list[VerdictListing]:
    """The listings of the latest verdicts."""
    return in_listings(listed(database, since=since, pipeline=pipeline, superseded=superseded, limit=limit))


def in_listings(found: Iterable[Listed]) -> list[VerdictListing]:
    """The listings of verdicts, in their order."""
    return [VerdictListing.of(one) for one in found]


def coded(code: Code | None) -> str:
    """A code as text; empty for none."""
    return "" if code is None else code_text(code)


def _change(change: Change) -> ChangeListing:
    return ChangeListing(
        value=coded(change.name),
        before=change.before if isinstance(change.before, float) else coded(change.before) or None,
        after=change.after if isinstance(change.after, float) else coded(change.after) or None,
        unit=str(change.unit.value) if change.unit else None,
    )
