"""What became of results: what was withdrawn, and what readers say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from node.api.fields import JOB_ID, NAME, Limit, Moment, YesOrNo
from node.api.guard import GuardedRoute
from node.api.parts import PartsOf
from node.database.queries import find_job
from node.listings.jobs import WithdrawalListing, withdrawal_listings
from node.listings.verdicts import VerdictListing, verdict_listings

router = APIRouter(tags=["results"], route_class=GuardedRoute)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@router.get("/withdrawals")
def list_withdrawals(
    parts: PartsOf,
    job: Annotated[str, Query(pattern=JOB_ID, description="Only of this job")] | None = None,
    limit: Limit = 100,
) -> list[WithdrawalListing]:
    """What was taken back where, and what is still there; the latest first."""
    only = find_job(parts.database, job).id if job else ""
    return withdrawal_listings(parts.database, only, limit)


@router.get("/verdicts")
def list_verdicts(
    parts: PartsOf,
    since: Moment | None = None,
    pipeline: Annotated[str, Query(pattern=NAME)] | None = None,
    superseded: Annotated[YesOrNo, Query(description="Also those that a later one takes the place of")] = False,
    limit: Limit = 100,
) -> list[VerdictListing]:
    """What readers say of results, the latest first."""
    return verdict_listings(
        parts.database, since=since or EPOCH, pipeline=pipeline or "", superseded=superseded, limit=limit
    )
