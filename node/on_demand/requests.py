"""What may be asked by POST /run, and what becomes of it: jobs by hand, as `condyle jobs start` makes them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database
from node.database.jobs import BY_HAND
from node.database.tables import JobRow, OutboxRow
from node.errors import JobNotFound
from node.models.versions import Versions
from node.route.by_hand import route_for
from node.route.reroute import ByHand, Reroute

PRIORITIES = (0, 1000)  # lower runs first
LONGEST_UID = 64


def _study(text: str) -> str:
    if not 0 < len(text) <= LONGEST_UID or not text.isprintable():
        raise ValueError(f"should be a Study Instance UID, of {LONGEST_UID} characters at most")
    return text


class RunRequest(BaseModel):
    """The body of POST /run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    study: Annotated[str, AfterValidator(_study)]  # Study Instance UID, of one that is stored
    pipeline: str = ""
    route: str = ""  # whose pipeline, settings and destinations are used
    series: list[str] = Field(
        default_factory=list, max_length=1000
    )  # only these; empty: those that the pipeline accepts
    destinations: list[str] | None = Field(default=None, min_length=1, max_length=100)  # in place of the route's
    priority: int | None = Field(default=None, ge=PRIORITIES[0], le=PRIORITIES[1])  # in place of the route's


@dataclass(frozen=True)
class RunState:
    """How far a job has come."""

    job: str
    pipeline: str
    state: str
    reason: str
    destinations: dict[str, dict[str, int]]  # by name: how many objects are in which state


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
    """

    def __init__(self, configuration: Configuration, database: Database, rerouting: Reroute) -> None:
        self._configuration, self._database, self._rerouting = configuration, database, rerouting
        self._versions = Versions(database, configuration.node.data)
        self._one_at_a_time = threading.Lock()  # each reads a study's headers

    def submit(self, asked: RunRequest) -> list[ByHand]:
        """Have the pipeline run; what became of the study, or of each of its series.

        Raises
        ------
        UnknownName
            If the request names a route, pipeline or destination that is none.
        StudyNotFound, StillArriving
            If the study, or a series of it, is not stored, or not all of it has come.
        MustWait, ReadingFailed
            If its images cannot be read now.
        """
        name, route = route_for(self._configuration, asked.pipeline, asked.route, asked.destinations or ())
        changes: dict[str, Any] = {"settings": self._versions.settings(name, route)}
        if asked.priority is not None:
            changes["priority"] = asked.priority
        with self._one_at_a_time:
            return list(self._rerouting.run(asked.study, route.model_copy(update=changes), asked.series))

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
