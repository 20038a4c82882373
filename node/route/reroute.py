"""Decide anew about an old study, or have a pipeline run on it whatever the routes say: always by an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.errors import UnsuitableInput
from dicom_sr.series import Series, Study
from node.config import Configuration, Route
from node.database.connection import Database
from node.database.job_states import CANCELLED
from node.database.jobs import BY_HAND, Job, JobState
from node.database.tables import JobRow, StudyRow
from node.errors import NodeError, StudyNotFound
from node.models.versions import constructed, placed
from node.reading import Reader
from node.route.completion import Complete, settled
from node.route.dispatch import Dispatcher
from node.route.facts import series_facts
from node.route.stored_facts import stored_series


class Jobs(Protocol):
    """What is done with the jobs: the job engine does it."""

    def submit(self, job: Job) -> bool:
        """Take a job; False where the same job is known."""

    def restart(self, job_id: str, why: str = ...) -> None:
        """Run a failed or unsuitable job again."""

    def send_to(
        self, job_id: str, destinations: Sequence[str], conditions: Mapping[str, Mapping[str, object]] | None = ...
    ) -> None:
        """Send what a job made to these destinations too; to those with conditions, if the result meets them."""


class Action(StrEnum):
    """What becomes of a decision that was made again."""

    NO_MATCH = "no match"
    NEW = "new job"
    RESTART = "run again"  # the same job is known, and failed or was unsuitable
    SEND = "sent to new destinations"  # the same job has its objects, and its route has more destinations now
    UNDER_WAY = "under way"  # the same job is being done
    CANCELLED = "cancelled before"  # by an operator: begun again only where one restarts it
    WITHDRAWN = "withdrawn"  # the same job's result was taken back, and is not made again
    KNOWN = "done before"  # the same job is done, and nothing about it is new


@dataclass(frozen=True)
class Rerouted:
    """One route's new decision about a series or a study."""

    complete: Complete
    route: str
    why: str  # the route matches, or not
    action: Action
    job_id: str | None
    problem: str = ""  # why it could not be done; empty: it was, or this is a dry run


def studies_since(database: Database, since: datetime) -> list[str]:
    """Study Instance UIDs of the studies of which something came since then, the oldest first."""
    query = select(StudyRow.study_instance_uid).where(StudyRow.last_received >= since).order_by(StudyRow.last_received)
    with Session(database) as session:
        return list(session.scalars(query))


class Reroute:
    """Decides anew with the configuration as it is now.

    Parameters
    ----------
    configuration
        Routes and destinations.
    database
        The node's records.
    jobs
        Takes the jobs.
    clock
        The time, with its zone.
    reader
        Reads the headers.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        jobs: Jobs,
        clock: Callable[[], datetime],
        reader: Reader,
    ) -> None:
        self._configuration, self._database, self._jobs, self._reader = configuration, database, jobs, reader
        self._dispatcher = Dispatcher(configuration, database, jobs.submit, clock, reader)

    def reconfigure(self, configuration: Configuration) -> None:
        """Decide by its routes from now on."""
        self._dispatcher.reconfigure(configuration)
        self._configuration = configuration

    def reroute(self, study_instance_uid: str, *, dry_run: bool = False) -> list[Rerouted]:
        """Decide anew about each series of a study and about the whole; with `dry_run` nothing is changed.

        A job with new settings, another model or more images than before is a new job that follows the old one. A job
        that is the same as before is not run twice: what failed is run again, and what is done or being sent goes to
        the destinations that its route has now and had not then. Images that were given up are read once more.

        Raises
        ------
        StudyNotFound
            If nothing of it is stored.
        StillArriving
            If the node has not decided about all of it yet.
        ReadingFailed
            If an image ended what read it, and is not given up.
        """
        with Session(self._database) as session:
            parts = settled(session, study_instance_uid)
        if not dry_run:
            self._dispatcher.read_once_more(study_instance_uid)
        found: list[Rerouted] = []
        for complete in parts:
            decisions, jobs = self._dispatcher.decide(complete, dry_run=dry_run)
            for decision in decisions:
                job = jobs.get(decision.route)
                action = self._action(job)
                problem = "" if job is None or dry_run else self._act(job, action)
                found.append(Rerouted(complete, decision.route, decision.why, action, job.id if job else None, problem))
            if not dry_run:
                self._dispatcher.record(complete, decisions, jobs)
        return found

    def _action(self, job: Job | None) -> Action:
        if job is None:
            return Action.NO_MATCH
        with Session(self._database) as session:
            known = session.get(JobRow, job.id)
            if known is None:
                return Action.NEW
            if known.withdrawn is not None:
                return Action.WITHDRAWN
            if known.state == JobState.FAILED and known.reason.startswith(CANCELLED) and job.route != BY_HAND:
                return Action.CANCELLED
            if known.state in (JobState.FAILED, JobState.UNSUITABLE):
                return Action.RESTART
            if known.state in (JobState.SENDING, JobState.DONE) and _new_destinations(job, known):
                return Action.SEND
            return Action.KNOWN if known.state == JobState.DONE else Action.UNDER_WAY

    def _act(self, job: Job, action: Action) -> str:
        """Do it; why it cannot be done, or nothing."""
        try:
            if action is Action.NEW:
                self._jobs.submit(job)
            elif action in (Action.RESTART, Action.SEND):
                self._again(job)
        except NodeError as error:
            return str(error)
        return ""

    def _again(self, job: Job) -> None:
        with Session(self._database) as session:
            new = _new_destinations(job, session.get_one(JobRow, job.id))
        if new:
            self._jobs.send_to(job.id, new, job.conditions)
        else:
            self._jobs.restart(job.id, "decided anew by an operator")

    # ---- by hand
    def run(
        self,
        study_instance_uid: str,
        route: Route,
        series_instance_uids: Iterable[str] = (),
        *,
        dry_run: bool = False,
    ) -> Iterator[ByHand]:
        """Have a pipeline run on a study that no route needs to match; with `dry_run` nothing is changed.

        A pipeline of level series is given each series that it accepts by its headers, one of level study the whole
        study if it accepts that. Series that are named are given whatever their headers say.

        Parameters
        ----------
        study_instance_uid
            Of the study.
        route
            The pipeline, its settings and where the results go; its conditions do not matter.
        series_instance_uids
            Only these series; empty: all.

        Raises
        ------
        StudyNotFound
            If nothing of it, or nothing of a series that is named, is stored.
        StillArriving
            If it is not complete.
        """
        with Session(self._database) as session:
            whole = settled(session, study_instance_uid)[-1]
            stored = stored_series(session, whole, self._configuration.node.data / "instances")
        wanted = set(series_instance_uids)
        if unknown := sorted(wanted - {one.series_instance_uid for one in stored}):
            raise StudyNotFound(f"study {study_instance_uid}: no image of series {unknown[0]} is stored")
        given = [one for one in stored if one.series_instance_uid in wanted or (not wanted and not self._our_own(one))]
        if not given:
            yield ByHand(f"study {study_instance_uid}", None, "every series of the study was made by this kind of node")
            return
        pipeline = constructed(route.pipeline, placed(route.settings, self._configuration.node.data.absolute()))
        whole_study = pipeline.level == "study"
        for some in [given] if whole_study else [[one] for one in given]:
            about = f"study {study_instance_uid}" if whole_study else f"series {some[0].series_instance_uid}"
            try:
                if not wanted:
                    pipeline.check(Study(study_instance_uid, tuple(some)))
            except UnsuitableInput as error:
                yield ByHand(about, None, str(error))
            else:
                job = self._dispatcher.job(BY_HAND, route, some)
                action = self._action(job)
                yield ByHand(
                    about, job.id, "" if dry_run else self._act(job, action), action, len(job.sop_instance_uids)
                )

    def _our_own(self, series: Series) -> bool:
        return self._reader.call(series_facts, series, ()).made_by_node


@dataclass(frozen=True)
class ByHand:
    """What became of a series or study on which a pipeline was to run."""

    about: str  # "series" or "study", and its UID
    job_id: str | None
    problem: str  # why there is no job; empty where there is one
    action: Action = Action.NO_MATCH
    images: int = 0  # that the job is given


def _new_destinations(job: Job, known: JobRow) -> list[str]:
    """Where a known job is to go and has not gone; what a shadow job made went nowhere."""
    before = [] if known.shadow else known.destinations
    return [] if job.shadow else [name for name in job.destinations if name not in before]
