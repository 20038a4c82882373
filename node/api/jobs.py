"""Jobs: listed, shown, and what is done with them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from dicom_sr.rejection_reasons import RejectionReason
from node.actions.withdrawing import Chosen
from node.api.fields import LINE, NAME, UID, Asked, DryRun, JobId, Limit, Moment, Name
from node.api.guard import OPERATOR, GuardedRoute
from node.api.parts import Caller, PartsOf
from node.database.jobs import JobState
from node.listings.actions import ActionListing
from node.listings.jobs import EPOCH, MICROSECOND, JobDetail, JobFilter, JobListing, job_detail, job_page
from node.listings.listing import PageListing

router = APIRouter(tags=["jobs"], route_class=GuardedRoute)

PLACE = r"^[0-9]{1,16}_[0-9a-f]{32}$"
REASONS = {one.word: one for one in RejectionReason}


class SendTo(Asked):
    """Where a result is to go too."""

    destinations: list[Name] = Field(min_length=1, max_length=50)


class Withdrawal(Asked):
    """Why a result is taken back."""

    reason: str = Field(pattern=f"^({'|'.join(REASONS)})$", examples=["quality"])
    why: str = Field(default="", pattern=LINE, max_length=500, description="In words, without the patient's name")


@router.get("/jobs")
def list_jobs(
    parts: PartsOf,
    state: JobState | None = None,
    route: Annotated[str, Query(pattern=NAME)] | None = None,
    study: Annotated[str, Query(pattern=UID, description="Study Instance UID")] | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    before: Annotated[str, Query(pattern=PLACE, description="`next` of the page before")] | None = None,
    limit: Limit = 50,
) -> PageListing[JobListing]:
    """The latest jobs."""
    wanted = JobFilter(state, route or "", study or "", since, until, _place(before) if before else None)
    return job_page(parts.database, wanted, limit)


def _place(text: str) -> tuple[datetime, str]:
    micros, _, job_id = text.partition("_")
    return EPOCH + int(micros) * MICROSECOND, job_id


@router.get("/jobs/{job_id}")
def show_job(parts: PartsOf, job_id: JobId) -> JobDetail:
    """A job whole: why it was made, its timeline, what it made and where that went."""
    return job_detail(parts.database, job_id)


@router.post("/jobs/{job_id}/restart", openapi_extra=OPERATOR)
def restart_job(parts: PartsOf, caller: Caller, job_id: JobId, dry_run: DryRun = False) -> ActionListing:
    """Run a failed or unsuitable job again from the step that failed."""
    if dry_run:
        return ActionListing.would(parts.actions.jobs.preview_restart(job_id))
    job = parts.actions.jobs.restart(job_id, caller.name)
    return ActionListing.did("The job is queued again.", jobs=[job])


@router.post("/jobs/{job_id}/cancel", openapi_extra=OPERATOR)
def cancel_job(parts: PartsOf, caller: Caller, job_id: JobId, dry_run: DryRun = False) -> ActionListing:
    """End a job that is not done."""
    if dry_run:
        return ActionListing.would(parts.actions.jobs.preview_cancel(job_id))
    job = parts.actions.jobs.cancel(job_id, caller.name)
    return ActionListing.did("The job is cancelled.", jobs=[job])


@router.post("/jobs/{job_id}/send", openapi_extra=OPERATOR)
def send_job(parts: PartsOf, caller: Caller, job_id: JobId, body: SendTo, dry_run: DryRun = False) -> ActionListing:
    """Send what a job made to more destinations."""
    if dry_run:
        return ActionListing.would(parts.actions.jobs.preview_send(job_id, body.destinations))
    job = parts.actions.jobs.send(job_id, body.destinations, caller.name)
    return ActionListing.did("The job goes to these destinations too.", jobs=[job])


@router.post("/jobs/{job_id}/withdraw", openapi_extra=OPERATOR)
def withdraw_job(
    parts: PartsOf, caller: Caller, job_id: JobId, body: Withdrawal, dry_run: DryRun = False
) -> ActionListing:
    """Take back what a job made, everywhere it went."""
    chosen = Chosen(job_id)
    jobs = chosen.find(parts.database)
    if dry_run:
        return ActionListing.would(parts.actions.jobs.preview_withdraw(jobs, chosen))
    parts.actions.jobs.withdraw(jobs, REASONS[body.reason], body.why, caller.name)
    return ActionListing.did("The result is withdrawn; its destinations are told.", jobs=jobs)
