"""Studies: in a list, and one whole. Nothing of it names a patient, but for what is in `PatientListing`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from node.listings.jobs import JobListing
from node.listings.listing import Listing


class StudyJobListing(Listing):
    """What a list of studies says of a job."""

    job_id: str
    pipeline: str
    state: str
    reason: str
    shadow: bool
    withdrawn: bool


class StudyListing(Listing):
    """A study in a list."""

    study_instance_uid: str
    state: str  # one word for the whole study
    modalities: list[str]
    series: int
    instances: int
    first_received: datetime
    last_received: datetime
    jobs: list[StudyJobListing]
    why: str  # of the latest decision, where there is no job


class SeriesListing(Listing):
    """A series of a study."""

    series_instance_uid: str
    modality: str
    instances: int
    first_received: datetime
    last_received: datetime
    completed: datetime | None


class DecisionListing(Listing):
    """What one route said about a series, or a study."""

    route: str
    level: str
    series_instance_uid: str | None
    matched: bool
    job_id: str | None
    decided: datetime
    trace: dict[str, Any]  # clause by clause


class PatientListing(Listing):
    """Whom a study is of, as one of its images says it; empty where it states none."""

    name: str
    patient_id: str
    birth_date: str
    sex: str
    accession_number: str
    description: str
    study_date: str


class StudyDetail(Listing):
    """A study whole; of what is very long, a part."""

    study_instance_uid: str
    state: str
    trouble: str  # why nothing can be decided about it
    modalities: list[str]
    series_count: int
    instances: int
    first_received: datetime
    last_received: datetime
    patients: int  # whom its images are of: how many
    series: list[SeriesListing]
    decisions: list[DecisionListing]
    jobs: list[JobListing]
    who: list[PatientListing] | None  # None: not asked for
