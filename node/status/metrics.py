"""The node's figures for Prometheus, read from its records when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.jobs import JobState
from node.database.states import OutboxState
from node.database.tables import AssociationRow, EventRow, InstanceRow, JobRow, OutboxRow
from node.status.connections import Connections, Reason, Refusals
from node.status.overview import Disk


class Metrics(Collector):
    """Collects at each scrape; all processes of the node write the same records, so one answer tells of them all.

    Parameters
    ----------
    database
        The node's database.
    data
        Its data folder, for the room on its disk.
    disk_floor_mb
        Room under which new instances are refused.
    connections
        To the page's port.
    """

    def __init__(self, database: Database, data: Path, disk_floor_mb: int, connections: Connections) -> None:
        self._database = database
        self._data = data
        self._disk_floor_mb = disk_floor_mb
        self._connections = connections
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not query the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures as of now, for Prometheus."""
        with Session(self._database) as session:
            yield from _reception(session)
            yield from _jobs(session)
            yield from _outbox(session, datetime.now(UTC))
        disk = Disk.of(self._data, self._disk_floor_mb)
        yield GaugeMetricFamily("condyle_disk_free_bytes", "Free on the file system of the node's data", disk.free)
        yield GaugeMetricFamily("condyle_disk_floor_bytes", "Below it new instances are refused", disk.floor)
        yield GaugeMetricFamily("condyle_http_connections", "Open connections by HTTP", len(self._connections))
        yield from _turned_away(self._connections.refusals)


def _turned_away(refusals: Refusals) -> Iterator[Metric]:
    counter = CounterMetricFamily(
        "condyle_http_turned_away", "Connections and requests by HTTP that were not served", labels=["reason"]
    )
    counts = refusals.counts()
    for reason in get_args(Reason):
        counter.add_metric([reason], counts.get(reason, 0))
    yield counter


def _reception(session: Session) -> Iterator[Metric]:
    instances = CounterMetricFamily("condyle_instances_received", "Instances stored, without repeats")
    instances.add_metric([], session.scalar(select(func.count()).select_from(InstanceRow)) or 0)
    yield instances
    size = CounterMetricFamily("condyle_received_bytes", "Size of the instances stored")
    size.add_metric([], float(session.scalar(select(func.sum(InstanceRow.size))) or 0))
    yield size
    given_up = GaugeMetricFamily("condyle_images_given_up", "Images stored that are not read any more")
    lost = select(func.count()).select_from(InstanceRow).where(InstanceRow.given_up != "")
    given_up.add_metric([], session.scalar(lost) or 0)
    yield given_up
    associations = GaugeMetricFamily(
        "condyle_associations", "Associations and other ways in, by outcome", labels=["way", "outcome"]
    )
    for way, outcome, count in session.execute(
        select(AssociationRow.way, AssociationRow.outcome, func.sum(AssociationRow.times)).group_by(
            AssociationRow.way, AssociationRow.outcome
        )
    ):
        associations.add_metric([way, outcome], count)
    yield associations


def _jobs(session: Session) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("condyle_jobs", "Jobs on record, by pipeline and state", labels=["pipeline", "state"])
    counts = {
        (pipeline, state): count
        for pipeline, state, count in session.execute(
            select(JobRow.pipeline, JobRow.state, func.count()).group_by(JobRow.pipeline, JobRow.state)
        )
    }
    for pipeline in sorted({pipeline for pipeline, _ in counts}):
        for state in JobState:  # also those that are 0: an alert on a series that comes and goes is hard to write
            jobs.add_metric([pipeline, state.value], counts.get((pipeline, state.value), 0))
    yield jobs
    steps = SummaryMetricFamily("condyle_step_seconds", "How long the steps of jobs took", labels=["pipeline", "step"])
    for pipeline, what, count, total in session.execute(
        select(JobRow.pipeline, EventRow.what, func.count(), func.sum(EventRow.seconds))
        .join(JobRow, JobRow.id == EventRow.job_id)
        .where(EventRow.seconds.is_not(None))
        .group_by(JobRow.pipeline, EventRow.what)
    ):
        steps.add_metric([pipeline, what], count, total or 0.0)
    yield steps


def _outbox(session: Session, now: datetime) -> Iterator[Metric]:
    outbox = GaugeMetricFamily(
        "condyle_outbox", "Objects on their way, by destination and state", labels=["destination", "state"]
    )
    for destination, state, count in session.execute(
        select(OutboxRow.destination, OutboxRow.state, func.count()).group_by(OutboxRow.destination, OutboxRow.state)
    ):
        outbox.add_metric([destination, state], count)
    yield outbox
    oldest = GaugeMetricFamily(
        "condyle_outbox_oldest_seconds", "Age of the job of the oldest object that waits", labels=["destination"]
    )
    for destination, created in session.execute(
        select(OutboxRow.destination, func.min(JobRow.created))
        .join(JobRow, JobRow.id == OutboxRow.job_id)
        .where(OutboxRow.state == OutboxState.WAITING)
        .group_by(OutboxRow.destination)
    ):
        oldest.add_metric([destination], (now - created).total_seconds())
    yield oldest
