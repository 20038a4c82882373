"""What may be asked by POST /run, and what becomes of it: jobs by hand, as `condyle jobs start` makes them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.config import Configuration, Route
from node.config.values import Url
from node.database import callbacks, fetches
from node.database.connection import Database
from node.database.jobs import BY_HAND
from node.database.tables import FetchRow, JobRow, OutboxRow
from node.errors import JobNotFound
from node.models.versions import Versions
from node.on_demand.callback_receivers import receiver_of
from node.on_demand.fetching import Fetching
from node.route.by_hand import route_for
from node.route.reroute import ByHand, Reroute

PRIORITIES = (0, 1000)  # lower runs first
LONGEST_UID = 64
LONGEST_NUMBER = 16  # characters of an accession number (PS3.5 6.2, SH)
WILD = "*?\\"
LONGEST_URL = 2000
REQUEST_CHARACTERS = 32  # of the id of a request whose study is fetched


def _study(text: str) -> str:
    if not 0 < len(text) <= LONGEST_UID or not text.isprintable():
        raise ValueError(f"should be a Study Instance UID, of {LONGEST_UID} characters at most")
    return text


def _accession_number(text: str) -> str:
    if not 0 < len(text.strip()) <= LONGEST_NUMBER or not text.isprintable():
        raise ValueError(f"should be an accession number, of {LONGEST_NUMBER} characters at most")
    if any(sign in text for sign in WILD):
        raise ValueError("has a sign that stands for others in a query, a wildcard: *, ? or \\")
    return text.strip()


class RunRequest(BaseModel):
    """The body of POST /run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    study: Annotated[str, AfterValidator(_study)] | None = None  # Study Instance UID
    accession_number: Annotated[str, AfterValidator(_accession_number)] | None = None  # in place of it, with `from`
    archive: str = Field(default="", alias="from")  # of run_requests.archives; empty: the study is stored
    pipeline: str = ""
    route: str = ""  # whose pipeline, settings and destinations are used
    series: list[str] = Field(
        default_factory=list, max_length=1000
    )  # only these; empty: those that the pipeline accepts
    destinations: list[str] | None = Field(default=None, min_length=1, max_length=100)  # in place of the route's
    priority: int | None = Field(default=None, ge=PRIORITIES[0], le=PRIORITIES[1])  # in place of the route's
    callback: Annotated[Url, Field(max_length=LONGEST_URL)] | None = None  # is told of the end

    @model_validator(mode="after")
    def _names_a_study(self) -> Self:
        if (self.study is None) == (self.accession_number is None):
            raise ValueError("study: should be given, or accession_number in its place, and not both")
        if self.accession_number is not None and not self.archive:
            raise ValueError("accession_number: needs from; the node knows the studies that it has by their UIDs alone")
        return self


@dataclass(frozen=True)
class RunState:
    """How far a job has come."""

    job: str
    pipeline: str
    state: str
    reason: str
    destinations: dict[str, dict[str, int]]  # by name: how many objects are in which state


@dataclass(frozen=True)
class RequestState:
    """How far a request has come whose study is fetched first."""

    request: str
    study: str
    state: str
    reason: str
    jobs: tuple[RunState, ...]


class RunRequests:
    """Takes requests as jobs; the same request is the same job.

    Parameters
    ----------
    configuration
        Routes and destinations.
    database
        The node's.
    rerouting
        Makes and submits the jobs.
    fetching
        Fetches studies from archives.
    """

    def __init__(
        self, configuration: Configuration, database: Database, rerouting: Reroute, fetching: Fetching
    ) -> None:
        self._configuration, self._database, self._rerouting = configuration, database, rerouting
        self._fetching = fetching
        self._versions = Versions(database, configuration.node.data)
        self._one_at_a_time = threading.Lock()  # each reads a study's headers

    def reconfigure(self, configuration: Configuration) -> None:
        """Go by its routes and destinations from now on."""
        self._configuration = configuration

    def submit(self, asked: RunRequest) -> list[ByHand]:
        """Have the pipeline run on a stored study; what became of the study, or of each of its series.

        Raises
        ------
        UnknownName
            If the request names a route, pipeline or destination that is none, or a callback that may not be told.
        StudyNotFound, StillArriving
            If the study, or a series of it, is not stored, or not all of it has come.
        MustWait, ReadingFailed
            If its images cannot be read now.
        """
        assert asked.study is not None
        name, route = self._route(asked)
        told = self._receiver(asked)
        changes: dict[str, Any] = {"settings": self._versions.settings(name, route)}
        if asked.priority is not None:
            changes["priority"] = asked.priority
        with self._one_at_a_time:
            made = list(self._rerouting.run(asked.study, route.model_copy(update=changes), asked.series))
        jobs = [one.job_id for one in made if one.job_id and not one.problem]
        if told and jobs:
            with Session(self._database) as session, session.begin():
                callbacks.ask(session, *told, asked.study, datetime.now(UTC), jobs=jobs)
        return made

    def submit_fetch(self, asked: RunRequest) -> str:
        """Have a study fetched and the pipeline run on it then; the id of the request, by which it can be asked for.

        Raises
        ------
        UnknownName
            If the request names a route, pipeline, destination or archive that is none, or a callback that may not be
            told.
        StudyNotFound
            If the archive has no study with the accession number, or several.
        PeerUnavailable
            If the archive does not say which study has the accession number.
        """
        self.require_names(asked)
        told = self._receiver(asked)
        study = asked.study or self._fetching.study_of(asked.archive, asked.accession_number or "")
        content = asked.model_copy(update={"study": study, "accession_number": None, "archive": ""})
        kept = content.model_dump(by_alias=True, mode="json", exclude={"callback"})
        text = json.dumps([asked.archive, kept], sort_keys=True)
        request_id = hashlib.sha256(text.encode()).hexdigest()[:REQUEST_CHARACTERS]
        with Session(self._database) as session, session.begin():
            fetches.ask(session, request_id, asked.archive, study, kept, datetime.now(UTC))
            if told:
                callbacks.ask(session, *told, study, datetime.now(UTC), request=request_id)
        return request_id

    def require_names(self, asked: RunRequest) -> None:
        """Raise `UnknownName` if the request names a route, pipeline, destination or archive that is none."""
        self._route(asked)
        if asked.archive:
            self._fetching.require_archive(asked.archive)

    def fetch_state(self, request_id: str) -> RequestState | None:
        """How far a request has come whose study is fetched; None where there is none of that id."""
        with Session(self._database) as session:
            row = session.get(FetchRow, request_id)
        if row is None:
            return None
        jobs = []
        for job in row.jobs:
            with suppress(JobNotFound):  # erased
                jobs.append(self.state(job))
        return RequestState(row.id, row.study_instance_uid, row.state, row.reason, tuple(jobs))

    def _receiver(self, asked: RunRequest) -> tuple[str, str] | None:
        """Name and address of who is told of the end; raises `UnknownName` where the configuration has none there."""
        return receiver_of(asked.callback, self._configuration.run_requests.callbacks) if asked.callback else None

    def _route(self, asked: RunRequest) -> tuple[str, Route]:
        return route_for(self._configuration, asked.pipeline, asked.route, asked.destinations or ())

    def state(self, job_id: str) -> RunState:
        """How far a job that was asked for has come.

        Raises
        ------
        JobNotFound
            If there is none of that id, or a route made it.
        """
        with Session(self._database) as session:
            row = session.get(JobRow, job_id)
            if row is None or row.route != BY_HAND:
                raise JobNotFound("no job that was asked for has this id")
            lines = session.execute(
                select(OutboxRow.destination, OutboxRow.state, func.count())
                .where(OutboxRow.job_id == job_id)
                .group_by(OutboxRow.destination, OutboxRow.state)
            ).all()
            return RunState(row.id, row.pipeline, row.state, row.reason, _by_destination(row.destinations, lines))


def _by_destination(names: Sequence[str], lines: Sequence[Any]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    for name, state, number in lines:
        found.setdefault(name, Counter())[state] += number
    return {name: dict(counts) for name, counts in found.items()}
