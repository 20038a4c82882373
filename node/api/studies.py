"""Studies: searched, shown, and what is done with them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from node.access.identity import Identity
from node.actions.studies import BEGUN
from node.api.fields import LINE, NAME, Asked, DryRun, Name, StudyUid, Uid, YesOrNo
from node.api.guard import OPERATOR, GuardedRoute
from node.api.parts import Caller, Parts, PartsOf
from node.api.problems import Refused
from node.errors import NodeError, StudyNotFound
from node.listings.actions import ActionListing
from node.listings.jobs import JobListing
from node.listings.listing import PageListing
from node.listings.studies import (
    DecisionListing,
    PatientListing,
    SeriesListing,
    StudyDetail,
    StudyJobListing,
    StudyListing,
)
from node.status.overview import Overview
from node.status.patients_shown import CannotBeShown, PatientsShown
from node.status.study_search import STATES, Mistake, Place, Search, StudyLine, StudySearch
from node.study.patients import accession_digest, marking_key, patient_id_digest

router = APIRouter(tags=["studies"], route_class=GuardedRoute)

PLACE = r"^[0-9]{1,17}_[0-9.]{0,64}$"
DAY = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$|^\d{4}-(0[13-9]|1[0-2])-(29|30)$|^\d{4}-(0[13578]|1[02])-31$"
NOT_YOURS = "This names patients; it is for those who may see them (the scope patients)"
State = Literal[STATES]  # type: ignore[valid-type]
Before = Annotated[str, Query(pattern=PLACE, description="`next` of the page before")]


class Numbers(Asked):
    """Numbers by which studies are found; they stand in a body so that no log of addresses has them."""

    accession_number: str | None = Field(default=None, pattern=LINE, min_length=1, max_length=64)
    patient_id: str | None = Field(default=None, pattern=LINE, min_length=1, max_length=64)
    before: str | None = Field(default=None, pattern=PLACE, description="`next` of the page before")


class Run(Asked):
    """What is to be run on a study."""

    route: Name | None = Field(default=None, description="Whose pipeline, settings and destinations are used")
    pipeline: Name | None = Field(default=None, description="In place of the route, where one route runs it")
    destinations: list[Name] = Field(default_factory=list, max_length=50, description="In place of the route's")
    series: list[Uid] = Field(default_factory=list, max_length=500, description="Only these")


@router.get("/studies")
def list_studies(
    parts: PartsOf,
    uid: Annotated[str, Query(pattern=r"^[0-9.]{4,64}$", description="Study Instance UID, or its end")] | None = None,
    since: Annotated[str, Query(pattern=DAY, description="Received on that day or later")] | None = None,
    until: Annotated[str, Query(pattern=DAY, description="Received on that day or before")] | None = None,
    modality: Annotated[str, Query(pattern=r"^[A-Z]{1,16}$")] | None = None,
    state: State | None = None,
    route: Annotated[str, Query(pattern=NAME)] | None = None,
    reason: Annotated[str, Query(pattern=LINE, min_length=1, max_length=64, description="A part of it")] | None = None,
    before: Before | None = None,
) -> PageListing[StudyListing]:
    """Studies, the latest first. A page may have fewer than there are: `next` says where to go on."""
    asked = {
        "uid": uid,
        "since": since,
        "until": until,
        "modality": modality,
        "state": state,
        "route": route,
        "reason": reason,
    }
    try:
        search = Search.of({name: str(value) for name, value in asked.items() if value})
        for day in (search.since, search.until):
            _require_near(day)
    except Mistake as mistake:
        raise Refused(409, str(mistake)) from mistake
    return _page(parts, search, before)


def _require_near(day: date | None) -> None:
    if day is not None and not 1900 <= day.year <= 9000:
        raise Refused(409, "since, until: should be days of this age")


@router.post("/study-search")
def find_studies(parts: PartsOf, caller: Caller, body: Numbers) -> PageListing[StudyListing]:
    """Studies by accession number, or by patient ID for those who may see patients."""
    if body.patient_id and not caller.sees_patients:
        raise Refused(403, NOT_YOURS)
    key = marking_key(parts.configuration.node.data)
    search = Search(
        accession=accession_digest(body.accession_number, key) if body.accession_number else "",
        patient=patient_id_digest(body.patient_id, key) if body.patient_id else "",
    )
    return _page(parts, search, body.before)


def _page(parts: Parts, search: Search, before: str | None) -> PageListing[StudyListing]:
    found = StudySearch(parts.database).page(search, Place.of_text(before) if before else None)
    more = str(found.older) if found.older else None
    return PageListing[StudyListing](items=[_listed(line) for line in found.lines], next=more)


def _listed(line: StudyLine) -> StudyListing:
    return StudyListing(
        study_instance_uid=line.row.study_instance_uid,
        state=line.state,
        modalities=list(line.modalities),
        series=line.series,
        instances=line.instances,
        first_received=line.row.first_received,
        last_received=line.row.last_received,
        jobs=[StudyJobListing.model_validate(job) for job in line.jobs],
        why=line.why,
    )


@router.get("/studies/{study_uid}")
def show_study(
    parts: PartsOf,
    caller: Caller,
    study_uid: StudyUid,
    patients: Annotated[
        YesOrNo, Query(description="Say whom it is of; the audit trail has a line of who was shown it")
    ] = False,
) -> StudyDetail:
    """A study: what came, what was decided, what was done."""
    found = Overview(parts.database, parts.configuration.run.workers).study(study_uid)
    if found is None:
        raise StudyNotFound("the node has no such study")
    who = _patients(parts, caller, study_uid) if patients else None
    return StudyDetail(
        study_instance_uid=found.uid,
        state=found.state,
        trouble=found.row.trouble,
        modalities=list(found.totals.modalities),
        series_count=found.totals.series,
        instances=found.totals.instances,
        first_received=found.row.first_received,
        last_received=found.row.last_received,
        patients=found.totals.patients,
        series=[SeriesListing.model_validate(row) for row in found.series],
        decisions=[DecisionListing.model_validate(row) for row in found.decisions],
        jobs=[JobListing.of(job.row, (sum(map(_went, job.outbox)), len(job.outbox))) for job in found.jobs],
        who=who,
    )


def _went(line: object) -> bool:
    return getattr(line, "delivered", None) is not None


def _patients(parts: Parts, caller: Identity, study_uid: str) -> list[PatientListing]:
    if not caller.sees_patients:
        raise Refused(403, NOT_YOURS)
    try:
        shown = PatientsShown(parts.configuration.node.data, parts.database, parts.reader).patients(study_uid, caller)
    except CannotBeShown as why:
        raise Refused(409, f"the patient cannot be shown: {why}") from why
    return [PatientListing.model_validate(one) for one in shown]


@router.post("/studies/{study_uid}/run", openapi_extra=OPERATOR)
def run_on_study(
    parts: PartsOf, caller: Caller, study_uid: StudyUid, body: Run, dry_run: DryRun = False
) -> ActionListing:
    """Have a pipeline run on a study, whatever the routes' conditions say."""
    studies = parts.actions.studies
    chosen = studies.chosen(body.pipeline or "", body.route or "", body.destinations)
    if dry_run:
        return ActionListing.would(studies.preview_run(study_uid, chosen, body.series))
    made = studies.run(study_uid, chosen, caller.name, body.series)
    jobs = [one.job_id for one in made if one.job_id and not one.problem]
    problems = [f"{one.about}: {one.problem}" for one in made if one.problem]
    if not jobs:
        raise NodeError("; ".join(problems) or "there is nothing to run it on")
    return ActionListing.did("The pipeline runs on the study.", *problems, jobs=jobs)


@router.post("/studies/{study_uid}/reroute", openapi_extra=OPERATOR)
def reroute_study(parts: PartsOf, caller: Caller, study_uid: StudyUid, dry_run: DryRun = False) -> ActionListing:
    """Have the routes decide anew about a study."""
    if dry_run:
        return ActionListing.would(parts.actions.studies.preview_reroute(study_uid))
    found = parts.actions.studies.reroute(study_uid, caller.name)
    if problems := [f"route {one.route}: {one.problem}" for one in found if one.problem]:
        raise NodeError("; ".join(problems))
    jobs = [one.job_id for one in found if one.job_id and one.action in BEGUN]
    return ActionListing.did(*(f"Route {one.route}: {one.action}." for one in found), jobs=jobs)
