"""A job: one pipeline on one study for one route, or on a record on request, and the table of its states."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum


class JobState(StrEnum):
    """The states of a job; `NEXT` says which may follow which."""

    QUEUED = "queued"
    RUNNING = "running"
    SENDING = "sending"
    DONE = "done"
    UNSUITABLE = "unsuitable"
    FAILED = "failed"


NEXT: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset(
        {
            JobState.RUNNING,  # a worker has begun with it
            JobState.SENDING,  # all of it was made before: it was restarted to be sent
            JobState.UNSUITABLE,  # its check has refused it, beside the workers
            JobState.FAILED,
        }
    ),
    JobState.RUNNING: frozenset(
        {
            JobState.RUNNING,  # its worker died and another took it
            JobState.SENDING,
            JobState.UNSUITABLE,
            JobState.FAILED,
            JobState.QUEUED,  # it has to wait for a worker again
        }
    ),
    JobState.SENDING: frozenset({JobState.SENDING, JobState.DONE, JobState.FAILED}),
    JobState.FAILED: frozenset({JobState.QUEUED}),  # by an operator
    JobState.UNSUITABLE: frozenset({JobState.QUEUED}),  # by an operator, after a change of configuration
    # by an operator: to one more destination, or once more to one that has lost what it had
    JobState.DONE: frozenset({JobState.QUEUED, JobState.SENDING}),
}


ON_REQUEST = "on request"  # in place of a route's name, which has no blank: asked for, of a record and not a study
BY_HAND = "by hand"  # in place of a route's name: an operator had the pipeline run, whatever the routes say
REQUEST_PRIORITY = 10  # somebody waits for the answer; routes have 100 unless they say otherwise


@dataclass(frozen=True)
class Job:
    """What a route decided, or somebody asked for; `id` is the same for the same input, pipeline and settings.

    A job on request has `ON_REQUEST` for its route, and neither study nor images: its input lies in its folder.
    """

    id: str
    route: str
    pipeline: str
    study_instance_uid: str
    series_instance_uids: tuple[str, ...]
    sop_instance_uids: tuple[str, ...]
    settings: dict[str, object]  # the route's settings for the pipeline
    destinations: tuple[str, ...]
    created: datetime  # timezone aware; the only clock of everything the job writes
    priority: int = 100  # lower runs first
    predecessor: str | None = None  # the job that this one revises, after late instances
    shadow: bool = False  # run and keep the result, send nothing
    revision: str = ""  # digest of which images were sent again with another data set; results get UIDs of their own
    # by destination: which results it gets, as in config.yaml; one that is not here gets all
    conditions: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def job_id(
    route: str, pipeline: str, version: str, digest: str, sop_instance_uids: Iterable[str], revision: str = ""
) -> str:
    """Name of the job that this route, pipeline, version, settings and weights (`digest`) and these images make.

    Images that were sent again with another data set are others, whatever their UIDs: `revision` tells.

    Parameters
    ----------
    route, pipeline, version
        Names of the route and the pipeline, and the version of the pipeline.
    digest
        Of the weights and the settings.
    sop_instance_uids
        The images, in any order.
    revision
        As `revision_of` gives it.
    """
    text = "|".join([route, pipeline, version, digest, *sorted(sop_instance_uids), *([revision] if revision else ())])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def request_id(
    pipeline: str, version: str, digest: str, patient_key: str, index_date: date, record_digest: str, revision: str = ""
) -> str:
    """Name of the job that answers a request from a record: the same question about the same record is the same job.

    Parameters
    ----------
    pipeline, version, digest
        Which pipeline answers, and its settings and weights.
    patient_key
        Keyed digest of patient ID and issuer: without the node's secret it tells of no patient.
    index_date
        The day that was asked for.
    record_digest
        SHA-256 of the record, hex.
    revision
        The job that gave the same answer before, where that is no longer kept.
    """
    text = "|".join(
        [ON_REQUEST, pipeline, version, digest, patient_key, index_date.isoformat(), record_digest, revision]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def revision_of(revisions: Mapping[str, int]) -> str:
    """Digest of how often each instance was sent again with another data set; empty where none was."""
    changed = [f"{uid}={count}" for uid, count in sorted(revisions.items()) if count]
    return hashlib.sha256("|".join(changed).encode()).hexdigest() if changed else ""
