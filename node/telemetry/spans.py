"""The spans of one ended job, and of the way of its images to it: plain values that know no OpenTelemetry."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from node.database.job_states import ENDED
from node.database.jobs import JobState
from node.database.tables import EventRow, JobRow
from node.telemetry.records import EndedJob

STEPS = ("prepare", "infer", "encode", "hand over")
QUEUED = ("queued",)

Attributes = Mapping[str, str | int | bool]


@dataclass(frozen=True)
class Span:
    """One piece of the way, with its time; its parent goes before it."""

    name: str
    start: datetime
    end: datetime
    id: int  # 64 bits
    parent: int | None
    attributes: Attributes = field(default_factory=dict)
    failed: bool = False
    shared: bool = False  # by all jobs of the study, or of the decision


@dataclass(frozen=True)
class Trace:
    """What is told of one job: a part of its study's trace."""

    id: int  # 128 bits
    spans: Sequence[Span]


class Tracer:
    """Makes traces whose ids are keyed digests: the same study is one trace, and no UID can be guessed from it.

    Parameters
    ----------
    key
        Of this installation.
    uids
        Whether spans name the Study Instance UID and the job.
    """

    def __init__(self, key: bytes, *, uids: bool) -> None:
        self._key, self._uids = key, uids

    def trace(self, job: EndedJob) -> Trace:
        """The spans of a job from when it was last queued, or sent again, to its end."""
        row = job.row
        events = last_run(job.events)
        of_study = row.study_instance_uid or row.id  # a request about a record is a trace of its own
        trace = self._number(16, "trace", of_study)
        root = self._number(8, "study", of_study)
        began = events[0].at if events else row.created
        own = self._number(8, "job", row.id, began.isoformat())
        reception = list(self._reception(job, root)) if len(events) == len(job.events) else []
        start = min([span.start for span in reception], default=began)
        named: dict[str, str | int | bool] = {"condyle.study": row.study_instance_uid} if self._uids else {}
        study = Span("study", start, row.updated, root, None, named, shared=True)
        whole = Span(
            f"job {row.pipeline}", began, row.updated, own, root, self._of_job(row), row.state == JobState.FAILED
        )
        parts = [*self._steps(events, own), *self._deliveries(job, events, own)]
        return Trace(trace, [study, *reception, whole, *parts])

    def _number(self, size: int, *of: str) -> int:
        """A number of so many bytes, never 0, which the standard forbids."""
        digest = hmac.digest(self._key, "\0".join(["otlp", *of]).encode(), sha256)
        return int.from_bytes(digest[:size]) or 1

    def _of_job(self, row: JobRow) -> Attributes:
        found: dict[str, str | int | bool] = {
            "condyle.pipeline": row.pipeline,
            "condyle.pipeline.version": row.pipeline_version,
            "condyle.route": row.route,
            "condyle.state": row.state,
            "condyle.shadow": row.shadow,
            "condyle.instances": len(row.sop_instance_uids),
        }
        return {**found, "condyle.job": row.id} if self._uids else found

    def _reception(self, job: EndedJob, root: int) -> Iterator[Span]:
        """The images come, the node waits until all have, and decides; the same for all jobs of a decision."""
        found = job.reception
        if found is None:
            return
        of_decision = (*sorted(job.row.series_instance_uids), job.row.study_instance_uid, found.last.isoformat())
        pieces = [("receive", found.first, found.last), ("wait", found.last, job.row.created)]
        if found.decided is not None:
            pieces.append(("decide", job.row.created, max(found.decided, job.row.created)))
        for name, start, end in pieces:
            yield Span(name, start, end, self._number(8, name, *of_decision), root, shared=True)

    def _steps(self, events: Sequence[EventRow], parent: int) -> Iterator[Span]:
        """The time in the queue, and each step; what a step cost is known at its end."""
        queued = next((event for event in events if event.what in QUEUED), None)
        running = next((event for event in events if event.what == JobState.RUNNING), None)
        if queued is not None and running is not None:
            yield Span("queue", queued.at, running.at, self._number(8, "queue", str(queued.id)), parent)
        for event in events:
            if event.what in STEPS and event.seconds is not None:
                start = event.at - timedelta(seconds=event.seconds)
                yield Span(event.what, start, event.at, self._number(8, event.what, str(event.id)), parent)

    def _deliveries(self, job: EndedJob, events: Sequence[EventRow], parent: int) -> Iterator[Span]:
        """Each destination's: from when something was handed over to when it took the last object."""
        handed_over = next((one.at for one in events if one.what in ("series handed over", "sending")), None)
        if handed_over is None:
            return
        for one in job.deliveries:
            if one.last is not None and one.last < handed_over:  # before this run
                continue
            end = max(handed_over, one.last or job.row.updated)
            attributes: dict[str, str | int | bool] = {
                "condyle.destination": one.destination,
                "condyle.objects": one.objects,
                "condyle.objects.taken": one.taken,
                "condyle.objects.refused": one.refused,
                "condyle.bytes": one.size,
                "condyle.attempts": one.attempts,
            }
            number = self._number(8, "deliver", job.row.id, one.destination, handed_over.isoformat())
            yield Span(f"deliver {one.destination}", handed_over, end, number, parent, attributes, one.refused > 0)


def last_run(events: Sequence[EventRow]) -> Sequence[EventRow]:
    """The part of a timeline behind its last end but one: a job that was restarted, or sent again, has several."""
    ends = [number for number, event in enumerate(events) if event.what in ENDED]
    begin = ends[-2] + 1 if len(ends) > 1 else 0
    return events[begin:]
