"""Complete series or study -> decisions -> jobs, so that whatever happens in between can simply happen again."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.series import Series
from node.config import Configuration, Route
from node.database import audit
from node.database.after_commit import after_commit
from node.database.connection import Database
from node.database.jobs import Job, job_id
from node.database.queries import revision_of_images
from node.database.rejections import rejected_images
from node.database.tables import NOT_DECIDED, DecisionRow, JobRow
from node.errors import MustWait, ReadingFailed
from node.metrics import DECISIONS
from node.models.versions import Versions, constructed, placed
from node.reading import Reader
from node.route.completion import Complete, Completion, was_fetched
from node.route.decide import Decision, compile_routes, decide, keys
from node.route.stored_facts import StoredFacts
from pipelines.base import Pipeline

log = logging.getLogger(__name__)


class Dispatcher:
    """Decides about what is complete, records why, and submits the jobs.

    Parameters
    ----------
    configuration
        Routes, and where the stored instances lie.
    database
        The node's records.
    submit
        Takes a job; a second time the same job is nothing new.
    clock
        The time, with its zone.
    reader
        Reads the headers.

    Raises
    ------
    ConfigurationError
        If the matcher of a route is not one.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        submit: Callable[[Job], object],
        clock: Callable[[], datetime],
        reader: Reader,
    ) -> None:
        self._in_force = configuration, compile_routes(configuration)  # one attribute: a reload changes both at once
        self._database, self._submit, self._clock = database, submit, clock
        self._facts = StoredFacts(configuration.node.data, database, clock, reader)
        self._data, self._versions = configuration.node.data.absolute(), Versions(database, configuration.node.data)

    def reconfigure(self, configuration: Configuration) -> None:
        """Decide by its routes from now on; a decision under way ends by those that it began with.

        Raises
        ------
        ConfigurationError
            If the matcher of a route is not one; nothing changes then.
        """
        self._in_force = configuration, compile_routes(configuration)

    def dispatch(self, complete: Complete, *, untroubled: bool = True) -> list[Decision]:
        """Decide about `complete`, submit its jobs and settle it.

        About what was fetched for a request no route is asked.

        The jobs come first and the settling last: what a kill interrupts is complete again after the restart, and the
        same images make the same job.

        Parameters
        ----------
        complete
            A series or a study.
        untroubled
            Whether nothing else of the study has been given up for now.

        Raises
        ------
        StorageAway
            If one of its images cannot be read now.
        """
        decisions, jobs = ([], {}) if self._was_fetched(complete) else self.decide(complete)
        for job in jobs.values():
            self._submit(job)
        self._settle(complete, decisions, jobs, untroubled=untroubled)
        return decisions

    def _was_fetched(self, complete: Complete) -> bool:
        with Session(self._database) as session:
            return was_fetched(session, complete, self._in_force[0].run_requests.move_ae_title)

    def decide(self, complete: Complete, *, dry_run: bool = False) -> tuple[list[Decision], dict[str, Job]]:
        """What the routes decide about `complete`, and the job of each route that matches; submits nothing.

        Parameters
        ----------
        complete
            A series or a study.
        dry_run
            Whether not even attempts to read it are counted.

        Raises
        ------
        StorageAway
            If one of its images cannot be read now: what would be decided without it is no decision.
        ReadingFailed
            If one ended what read it, and is tried again later.
        """
        configuration, every = self._in_force
        routes = [route for route in every if route.level == complete.level]
        if not routes or not complete.sop_instance_uids:  # all of its images may have been rejected
            return [], {}
        series, facts = self._facts.of(complete, keys(every), dry_run=dry_run)
        decisions = decide(routes, complete.level, facts)
        jobs = {
            decision.route: self.job(
                decision.route,
                configuration.routes[decision.route],
                [one for one in series if one.series_instance_uid in decision.series_instance_uids],
            )
            for decision in decisions
            if decision.matched
        }
        return decisions, jobs

    def read_once_more(self, study_instance_uid: str) -> None:
        """Have the next decision read what earlier ones gave up of a study."""
        self._facts.reader.once_more(study_instance_uid)

    def record(self, complete: Complete, decisions: Sequence[Decision], jobs: Mapping[str, Job]) -> None:
        """Write down decisions that were made again about something that had been settled before."""
        with Session(self._database) as session, session.begin():
            self._write(session, complete, decisions, jobs)
        _log(complete, decisions, jobs)

    def give_up(self, complete: Complete, error: Exception, *, again: bool = False) -> None:
        """Leave a record, for an operator to see, that `complete` could not be decided about for now.

        Parameters
        ----------
        complete
            What is tried again later.
        error
            Why.
        again
            Whether it was for the same reason before: then the audit trail has it.
        """
        why = (
            str(error) if isinstance(error, MustWait | ReadingFailed) else type(error).__name__
        )  # another's text may quote a value
        detail = {"series_instance_uid": complete.series_instance_uid, "error": why}
        with Session(self._database) as session, session.begin():
            Completion.note_trouble(session, complete.study_instance_uid, f"cannot be decided about for now: {why}")
            if again:
                return
            study = complete.study_instance_uid
            audit.note(session, NOT_DECIDED, "", study_instance_uid=study, now=self._clock(), **detail)

    def job(self, name: str, route: Route, given: Sequence[Series]) -> Job:
        """The job that a route makes of some series of one study.

        Parameters
        ----------
        name
            Of the route; the version of its model that is in force now is that of the job, however long that waits.
        route
            Its pipeline, settings and destinations.
        given
            At least one series.
        """
        study = given[0].study_instance_uid
        images = tuple(instance.sop_instance_uid for one in given for instance in one.instances)
        settings = self._versions.settings(name, route)
        pipeline = constructed(route.pipeline, placed(settings, self._data))
        with Session(self._database) as session:
            revision = revision_of_images(session, study, images)
        job = job_id(name, route.pipeline, pipeline.version, model_digest(pipeline), images, revision)
        return Job(
            id=job,
            route=name,
            pipeline=route.pipeline,
            study_instance_uid=study,
            series_instance_uids=tuple(one.series_instance_uid for one in given),
            sop_instance_uids=images,
            settings=settings,
            destinations=route.destination_names,
            conditions=route.conditions,
            created=self._clock(),
            priority=route.priority,
            predecessor=self._predecessor(name, route.pipeline, study, set(images), job),
            shadow=route.shadow,
            revision=revision,
        )

    def _predecessor(
        self, route: str, pipeline: str, study_instance_uid: str, images: set[str], job: str
    ) -> str | None:
        """The latest other job of the same route and pipeline on the same images or fewer, rejected ones left aside.

        Images came late, were replaced or rejected, or the route's settings or model are others now.
        """
        with Session(self._database) as session:
            rejected = rejected_images(session, study_instance_uid)
            earlier = session.execute(
                select(JobRow.id, JobRow.sop_instance_uids)
                .where(
                    JobRow.route == route,
                    JobRow.pipeline == pipeline,
                    JobRow.study_instance_uid == study_instance_uid,
                )
                .order_by(JobRow.created.desc())
            )
            for other, before in earlier:
                left = set(before) - rejected
                if other != job and left and left <= images:
                    return other
            return None

    def _settle(
        self, complete: Complete, decisions: Sequence[Decision], jobs: Mapping[str, Job], *, untroubled: bool
    ) -> None:
        with Session(self._database) as session, session.begin():
            if not Completion.settle(session, complete, self._clock(), untroubled=untroubled):
                return  # another node on the same database was quicker; its decisions are the same
            self._write(session, complete, decisions, jobs)
        _log(complete, decisions, jobs)

    def _write(
        self, session: Session, complete: Complete, decisions: Sequence[Decision], jobs: Mapping[str, Job]
    ) -> None:
        now = self._clock()
        for decision in decisions:
            job = jobs.get(decision.route)
            session.add(
                DecisionRow(
                    route=decision.route,
                    level=decision.level,
                    study_instance_uid=complete.study_instance_uid,
                    series_instance_uid=complete.series_instance_uid,
                    matched=decision.matched,
                    trace=decision.trace,
                    job_id=job.id if job else None,
                    decided=now,
                )
            )
            after_commit(session, DECISIONS.labels(decision.route, str(decision.matched).lower()).inc)


def _log(complete: Complete, decisions: Sequence[Decision], jobs: Mapping[str, Job]) -> None:
    for decision in decisions:
        log.info(
            "decided",
            extra={
                "route": decision.route,
                "matched": decision.matched,
                "study_instance_uid": complete.study_instance_uid,
                "series_instance_uid": complete.series_instance_uid,
                "job": jobs[decision.route].id if decision.matched else None,
            },
        )


def model_digest(pipeline: Pipeline) -> str:
    """What tells this model with these settings from another."""
    return hashlib.sha256(f"{pipeline.model.weights_digest}|{pipeline.model.configuration_digest}".encode()).hexdigest()
