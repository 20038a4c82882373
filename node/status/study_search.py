"""Search among the studies: what is asked for, and a page of what is found, without reading all that there is.

A page is found from a place on (keyset), newest first, and looks through so many studies at most: where they do not
fill it, it says how far it has looked and where to go on. So no search takes longer the more studies there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Select, exists, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.jobs import JobState
from node.database.queries import UNDER_WAY
from node.database.tables import (
    ACCESSION,
    PATIENT_ID,
    DecisionRow,
    Instant,
    JobRow,
    SeriesRow,
    StudyKeyRow,
    StudyRow,
)
from node.receive.store.study_keys import without_accession

SHOWN = 50  # studies on a page
LOOKED_THROUGH = 20_000  # studies for one page, where what is asked for has no index of its own
REASONS_LOOKED_THROUGH = 3_000  # of the latest jobs of each state that has one
REASONS_SHOWN = 3  # of a route that did not match
WITH_REASON = (JobState.FAILED, JobState.UNSUITABLE)
UNDECIDED, NO_ROUTE, RECEIVING = "undecided", "no route", "receiving"
RANK = (JobState.FAILED, *UNDER_WAY, JobState.UNSUITABLE, JobState.DONE)  # of several jobs the first says its state
STATES = (*RANK, NO_ROUTE, RECEIVING, UNDECIDED)
FEWEST_OF_UID, LONGEST_TEXT = 4, 64  # characters
YEARS = range(1900, 2101)  # of days that can be asked for
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Mistake(ValueError):
    """What is asked for cannot be; says why."""


@dataclass(frozen=True)
class Place:
    """Where a study stands among the others."""

    at: datetime
    study_instance_uid: str

    @classmethod
    def of_text(cls, text: str) -> Self | None:
        """The place that `str` wrote; None where it is none."""
        micros, _, uid = text.partition("_")
        if not (micros.isascii() and micros.isdigit() and len(micros) < 18):
            return None
        return cls(EPOCH + int(micros) * MICROSECOND, uid[:LONGEST_TEXT])

    def __str__(self) -> str:
        return f"{(self.at - EPOCH) // MICROSECOND}_{self.study_instance_uid}"


@dataclass(frozen=True)
class Search:
    """What is asked for; empty: anything."""

    accession: str = ""  # a digest, as `node.study.patients` makes it
    patient: str = ""  # the same of a patient ID
    uid: str = ""  # Study Instance UID, or its end
    since: date | None = None  # something of it was received on that day or later, where the node stands
    until: date | None = None
    modality: str = ""
    state: str = ""
    route: str = ""
    reason: str = ""  # a part of it

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Self:
        """What the parameters of an address ask for.

        Raises
        ------
        Mistake
            If one of them cannot be.
        """
        texts = {one.name: parameters.get(one.name, "").strip()[:LONGEST_TEXT] for one in fields(cls)}
        if texts["state"] and texts["state"] not in STATES:
            raise Mistake(f"State: is one of {', '.join(STATES)}")
        if texts["uid"] and (not set(texts["uid"]) <= set("0123456789.") or len(texts["uid"]) < FEWEST_OF_UID):
            raise Mistake(f"Study Instance UID: digits and dots, and {FEWEST_OF_UID} of them at least")
        since, until = _day(texts.pop("since"), "Received from"), _day(texts.pop("until"), "Received until")
        texts["modality"] = texts["modality"].upper()
        return cls(**texts, since=since, until=until)

    @property
    def asked(self) -> dict[str, str]:
        """What is asked for, as parameters of an address."""
        return {one.name: str(value) for one in fields(self) if (value := getattr(self, one.name))}

    def path(self, **more: str) -> str:
        """The address of what is asked for."""
        parameters = {**self.asked, **more}
        return f"/studies?{urlencode(parameters)}" if parameters else "/studies"

    def without(self, name: str) -> str:
        """The address of what is asked for, but for one thing."""
        asked = {key: value for key, value in self.asked.items() if key != name}
        return f"/studies?{urlencode(asked)}" if asked else "/studies"


def _day(text: str, name: str) -> date | None:
    try:
        day = date.fromisoformat(text) if text else None
    except ValueError:
        raise Mistake(f"{name}: a day, as in 2026-05-31") from None
    if day is not None and day.year not in YEARS:
        raise Mistake(f"{name}: a day of the years {YEARS[0]} to {YEARS[-1]}, as in 2026-05-31")
    return day


@dataclass(frozen=True)
class JobLine:
    """What a list of studies says of a job."""

    job_id: str
    pipeline: str
    state: str
    reason: str
    shadow: bool
    withdrawn: bool


@dataclass(frozen=True)
class StudyLine:
    """What a list of studies says of one."""

    row: StudyRow
    modalities: Sequence[str]
    series: int
    instances: int
    jobs: Sequence[JobLine]
    decided: bool
    why: str  # the latest decision says, where there is no job

    @property
    def state(self) -> str:
        """One word for the whole study."""
        return state_in_word(self.row, {job.state for job in self.jobs}, self.decided)


@dataclass(frozen=True)
class Page:
    """A page of studies, newest first."""

    lines: Sequence[StudyLine] = ()
    newer: Place | None = None  # of the first, where there are newer ones
    older: Place | None = None  # of the last, where there may be older ones
    looked_back_to: datetime | None = None  # where the page is not full, as enough was looked through
    unread: bool = False  # there are studies whose accession number is not known yet


def state_in_word(row: StudyRow, states: set[str], decided: bool) -> str:
    """One word for a study, from the states of its jobs."""
    if row.trouble:
        return UNDECIDED
    found = next((state.value for state in RANK if state in states), None)
    return found or (NO_ROUTE if decided or row.completed else RECEIVING)


class StudySearch:
    """Reads the node's records; changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, search: Search, before: Place | None = None, after: Place | None = None) -> Page:
        """The studies that are asked for: the newest, or those that follow a place, or those that come before it."""
        with Session(self._database, expire_on_commit=False) as session:
            end = None if _is_exact(search) else _end(session, search, before, after)
            rows = _rows(session, search, before, after, end)
            more, rows = len(rows) > SHOWN, rows[:SHOWN]
            if after is not None:
                rows.reverse()
            lines = _lines(session, rows)
            newer: Place | None
            older: Place | None
            first = Place(rows[0].last_received, rows[0].study_instance_uid) if rows else None
            last = Place(rows[-1].last_received, rows[-1].study_instance_uid) if rows else None
            looked_back_to = None
            if after is not None:
                newer = first if more or end is not None else None
                older = last or after
            else:
                newer = (first or before) if before is not None else None
                older = last if more else None
                if not more and end is not None:
                    older, looked_back_to = end, end.at
            unread = bool(search.accession) and not rows and without_accession(session)
        return Page(lines, newer, older, looked_back_to, unread)


def _is_exact(search: Search) -> bool:
    """Whether an index finds all that is asked for, or nothing is."""
    return bool(search.accession or search.patient) or not (
        search.uid or search.modality or search.state or search.route or search.reason
    )


IN_ORDER = tuple_(StudyRow.last_received, StudyRow.study_instance_uid)


def _at(place: Place) -> ColumnElement[tuple[datetime, str]]:
    return tuple_(literal(place.at, Instant), place.study_instance_uid)


def _end(session: Session, search: Search, before: Place | None, after: Place | None) -> Place | None:
    """Where the page stops to look; None where what is left is little enough."""
    query = select(StudyRow.last_received, StudyRow.study_instance_uid).where(*_days(search))
    if after is not None:
        query = query.where(_at(after) < IN_ORDER).order_by(StudyRow.last_received, StudyRow.study_instance_uid)
    else:
        query = query.where(_at(before) > IN_ORDER) if before is not None else query
        query = query.order_by(StudyRow.last_received.desc(), StudyRow.study_instance_uid.desc())
    found = session.execute(query.offset(LOOKED_THROUGH).limit(1)).first()
    return Place(*found) if found is not None else None


def _rows(
    session: Session, search: Search, before: Place | None, after: Place | None, end: Place | None
) -> list[StudyRow]:
    query = select(StudyRow).where(*_days(search), *_conditions(search)).limit(SHOWN + 1)
    if after is not None:
        query = query.where(_at(after) < IN_ORDER).order_by(StudyRow.last_received, StudyRow.study_instance_uid)
        query = query.where(_at(end) > IN_ORDER) if end is not None else query
    else:
        query = query.where(_at(before) > IN_ORDER) if before is not None else query
        query = query.where(_at(end) < IN_ORDER) if end is not None else query
        query = query.order_by(StudyRow.last_received.desc(), StudyRow.study_instance_uid.desc())
    return list(session.scalars(query))


def _days(search: Search) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if search.since is not None:
        found.append(StudyRow.last_received >= _midnight(search.since))
    if search.until is not None:
        found.append(StudyRow.last_received < _midnight(search.until + timedelta(days=1)))
    return found


def _midnight(day: date) -> datetime:
    """When a day begins where the node stands."""
    return datetime.combine(day, time()).astimezone()


def _conditions(search: Search) -> list[ColumnElement[bool]]:
    uid = StudyRow.study_instance_uid
    found: list[ColumnElement[bool]] = []
    for kind, digest in ((ACCESSION, search.accession), (PATIENT_ID, search.patient)):
        if digest:
            keys = select(StudyKeyRow.study_instance_uid)
            found.append(uid.in_(keys.where(StudyKeyRow.kind == kind, StudyKeyRow.digest == digest)))
    if search.uid:
        found.append(uid.endswith(search.uid, autoescape=True))
    if search.modality:
        found.append(exists().where(SeriesRow.study_instance_uid == uid, SeriesRow.modality == search.modality))
    if search.route:
        found.append(exists().where(JobRow.study_instance_uid == uid, JobRow.route == search.route))
    if search.state:
        found += _of_state(search.state)
    if search.reason:
        latest = or_(*(uid.in_(_with_reason(state, search.reason)) for state in WITH_REASON))
        found.append(or_(latest, StudyRow.trouble.icontains(search.reason, autoescape=True)))
    return found


def _with_reason(state: JobState, reason: str) -> Select[str]:
    latest = (
        select(JobRow.study_instance_uid, JobRow.reason)
        .where(JobRow.state == state)
        .order_by(JobRow.created.desc(), JobRow.id.desc())
        .limit(REASONS_LOOKED_THROUGH)
        .subquery()
    )
    return select(latest.c.study_instance_uid).where(latest.c.reason.icontains(reason, autoescape=True))


def _of_state(state: str) -> list[ColumnElement[bool]]:
    """What holds of studies that `state_in_word` calls so."""
    of_study = JobRow.study_instance_uid == StudyRow.study_instance_uid
    if state == UNDECIDED:
        return [StudyRow.trouble != literal("", literal_execute=True)]
    if state in (NO_ROUTE, RECEIVING):
        decided = exists().where(DecisionRow.study_instance_uid == StudyRow.study_instance_uid)
        settled = or_(StudyRow.completed.is_not(None), decided)
        return [StudyRow.trouble == "", ~exists().where(of_study), settled if state == NO_ROUTE else ~settled]
    rank = RANK.index(JobState(state))
    has = exists().where(of_study, JobRow.state == state)
    before = [~exists().where(of_study, JobRow.state.in_(RANK[:rank]))] if rank else []
    return [StudyRow.trouble == "", has, *before]


def _lines(session: Session, rows: Sequence[StudyRow]) -> tuple[StudyLine, ...]:
    uids = [row.study_instance_uid for row in rows]
    modalities = dict[str, list[str]]()
    counts = dict[str, tuple[int, int]]()
    for study, modality, series, instances in session.execute(
        select(SeriesRow.study_instance_uid, SeriesRow.modality, func.count(), func.sum(SeriesRow.instances))
        .where(SeriesRow.study_instance_uid.in_(uids))
        .group_by(SeriesRow.study_instance_uid, SeriesRow.modality)
        .order_by(SeriesRow.modality)
    ):
        modalities.setdefault(study, []).append(modality or "?")
        before = counts.get(study, (0, 0))
        counts[study] = (before[0] + series, before[1] + instances)
    jobs = dict[str, list[JobLine]]()
    said = (JobRow.id, JobRow.pipeline, JobRow.state, JobRow.reason, JobRow.shadow, JobRow.withdrawn.is_not(None))
    of_studies = select(JobRow.study_instance_uid, *said).where(JobRow.study_instance_uid.in_(uids))
    for study, job_id, pipeline, state, reason, shadow, withdrawn in session.execute(
        of_studies.order_by(JobRow.created)
    ):
        jobs.setdefault(study, []).append(JobLine(job_id, pipeline, state, reason, shadow, withdrawn))
    why = _why(session, [uid for uid in uids if uid not in jobs])
    return tuple(
        StudyLine(
            row,
            modalities.get(uid, ()),
            *counts.get(uid, (0, 0)),
            jobs=jobs.get(uid, ()),
            decided=uid in why,
            why=why.get(uid, ""),
        )
        for uid, row in zip(uids, rows, strict=True)
    )


def _why(session: Session, studies: Sequence[str]) -> dict[str, str]:
    """By study: the first reasons of the latest decision of each route; those that say the same together."""
    latest = select(func.max(DecisionRow.id)).where(DecisionRow.study_instance_uid.in_(studies))
    latest = latest.group_by(DecisionRow.study_instance_uid, DecisionRow.route)
    query = select(DecisionRow.study_instance_uid, DecisionRow.route, DecisionRow.trace["why"].as_string())
    found: dict[str, dict[str, list[str]]] = {}
    for study, route, reason in session.execute(query.where(DecisionRow.id.in_(latest)).order_by(DecisionRow.id)):
        found.setdefault(study, {}).setdefault(_first_reasons(reason or ""), []).append(route)
    return {
        study: "; ".join(f"{', '.join(routes)}: {why}" for why, routes in reasons.items())
        for study, reasons in found.items()
    }


def _first_reasons(why: str) -> str:
    reasons = why.split("; ")
    more = len(reasons) - REASONS_SHOWN
    return "; ".join(reasons[:REASONS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
