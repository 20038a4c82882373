"""Traces of what has ended, from real records to a real collector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database import job_states
from node.database.connection import Database
from node.database.jobs import BY_HAND, Job, JobState
from node.database.tables import DecisionRow, ObjectRow, OutboxRow, SeriesRow
from node.errors import PeerUnavailable
from node.telemetry import traces as of_traces
from node.telemetry.traces import Traces, why_no_traces
from tests.node.telemetry.collector import Collector, attributes, collector
from tests.orthanc import free_port
from tests.waiting import until

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
STUDY, SERIES = "1.2.840.99999.3", "1.2.840.99999.3.4"
JOB = Job("a" * 32, "knee", "trial", STUDY, (SERIES,), (f"{SERIES}.5", f"{SERIES}.6"), {}, ("pacs",), NOON)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class Bench:
    """A node's records, and its traces at an hour that the test sets."""

    def __init__(self, database: Database, data: Path, **telemetry: Any) -> None:
        self.database, self.now = database, at(-3600)
        node = {"data": str(data)}
        self.configuration = Configuration.model_validate({"node": node, "telemetry": telemetry})
        self.traces = Traces(self.configuration, database, lambda: self.now, every_s=0.05, retry_s=0.05)

    def receive(self) -> None:
        """Images from half a minute before noon to five seconds before it; a decision right after noon."""
        with Session(self.database) as session, session.begin():
            times = {"first_received": at(-30), "last_received": at(-5), "completed": at(0.25)}
            uids = {"study_instance_uid": STUDY, "series_instance_uid": SERIES}
            session.merge(SeriesRow(**uids, instances=2, **times))
            of = {"route": "knee", "level": "series", "matched": True, "trace": {}, "job_id": JOB.id}
            session.add(DecisionRow(**uids, **of, decided=at(0.25)))

    def work(self, job: Job = JOB, end: JobState = JobState.DONE, reason: str = "") -> None:
        """Run a job of ten seconds whose object is delivered after twelve, or that fails after four."""
        with Session(self.database) as session, session.begin():
            job_states.record(session, job, at(0.5))
            job_states.move(session, job.id, JobState.RUNNING, now=at(2))
            job_states.note(session, job.id, "prepare", seconds=1, now=at(3))
            if end == JobState.FAILED:
                job_states.move(session, job.id, end, reason=reason, now=at(4))
                return
            job_states.note(session, job.id, "infer", seconds=6, now=at(9))
            job_states.note(session, job.id, "encode", seconds=0.5, now=at(9.5))
            job_states.move(session, job.id, JobState.SENDING, now=at(10))
            job_states.note(session, job.id, "hand over", seconds=0.5, now=at(10))
            uid = f"2.25.{job.id[0]}"
            made = {"sop_instance_uid": uid, "job_id": job.id}
            empty = dict.fromkeys(("sop_class_uid", "series_instance_uid", "study_instance_uid", "path", "sha256"), "")
            session.add(ObjectRow(**made, **empty, kind="report", size=1000))
            line = {"destination": "pacs", "state": "delivered", "attempts": 2, "not_before": NOON}
            session.add(OutboxRow(**made, **line, delivered=at(12)))
            job_states.move(session, job.id, JobState.DONE, now=at(12.5))


@pytest.fixture
def taker() -> Iterator[Collector]:
    with collector() as made:
        yield made


def times(span: Span) -> tuple[float, float]:
    """Start and end, in seconds after noon."""
    first = int(NOON.timestamp()) * 10**9
    return (span.start_time_unix_nano - first) / 1e9, (span.end_time_unix_nano - first) / 1e9


def test_a_study_is_one_trace_from_its_first_image_to_its_last_delivery(
    database: Database, tmp_path: Path, taker: Collector
) -> None:
    bench = Bench(database, tmp_path, otlp_endpoint=taker.url)
    bench.receive()
    bench.work()
    bench.now = at(60)
    assert bench.traces.tell() == 1
    found = {span.name: times(span) for span in taker.spans}
    assert found == {
        "study": (-30, 12.5),
        "receive": (-30, -5),
        "wait": (-5, 0),
        "decide": (0, 0.25),
        "job trial": (0.5, 12.5),
        "queue": (0.5, 2),
        "prepare": (2, 3),
        "infer": (3, 9),
        "encode": (9, 9.5),
        "hand over": (9.5, 10),
        "deliver pacs": (10, 12),
    }
    assert len({span.trace_id for span in taker.spans}) == 1
    (study,), (job,) = taker.named("study"), taker.named("job trial")
    assert study.parent_span_id == b""
    parents = {span.name: span.parent_span_id for span in taker.spans}
    assert {parents[name] for name in ("receive", "wait", "decide", "job trial")} == {study.span_id}
    assert {parents[name] for name in ("queue", "infer", "hand over", "deliver pacs")} == {job.span_id}
    said = attributes(job)
    assert (said["condyle.pipeline"], said["condyle.route"], said["condyle.state"]) == ("trial", "knee", "done")
    (delivery,) = taker.named("deliver pacs")
    assert {name: attributes(delivery)[f"condyle.{name}"] for name in ("objects", "bytes", "attempts")} == {
        "objects": 1,
        "bytes": 1000,
        "attempts": 2,
    }
    assert taker.resource["service.name"] == "condyle"


def test_no_uid_leaves_unless_the_configuration_says_so(database: Database, tmp_path: Path, taker: Collector) -> None:
    bench = Bench(database, tmp_path, otlp_endpoint=taker.url)
    named = Bench(database, tmp_path, otlp_endpoint=taker.url, uids=True)
    bench.receive()
    bench.work(end=JobState.FAILED, reason=f"report {SERIES}.5 was sent before with other bytes")
    for one in (bench, named):
        one.now = at(60)
        one.traces.tell()
    without, with_uids = taker.bodies
    assert b"1.2.840.99999" not in without
    assert JOB.id.encode() not in without
    assert STUDY.encode() in with_uids
    assert JOB.id.encode() in with_uids


def test_a_job_that_failed_is_an_error_and_says_no_more(database: Database, tmp_path: Path, taker: Collector) -> None:
    bench = Bench(database, tmp_path, otlp_endpoint=taker.url)
    bench.receive()
    bench.work(end=JobState.FAILED, reason="a bug")
    bench.now = at(60)
    bench.traces.tell()
    (job,) = taker.named("job trial")
    assert job.status.code == Status.STATUS_CODE_ERROR
    assert attributes(job)["condyle.state"] == "failed"
    assert b"a bug" not in taker.bodies[0]
    assert taker.named("deliver pacs") == []


def test_two_jobs_of_a_study_share_its_trace_and_its_own_spans_come_once(
    database: Database, tmp_path: Path, taker: Collector
) -> None:
    bench = Bench(database, tmp_path, otlp_endpoint=taker.url)
    bench.receive()
    bench.work()
    bench.work(replace(JOB, id="b" * 32, route="other"))
    bench.now = at(60)
    assert bench.traces.tell() == 2
    bench.work(replace(JOB, id="c" * 32, route="third"))
    assert bench.traces.tell() == 1
    assert len({span.trace_id for span in taker.spans}) == 1
    assert {name: len(taker.named(name)) for name in ("study", "receive", "job trial")} == {
        "study": 1,
        "receive": 1,
        "job trial": 3,
    }
    assert len({span.span_id for span in taker.spans}) == len(taker.spans)


def test_another_installation_gives_the_same_study_another_trace(
    database: Database, tmp_path: Path, taker: Collector
) -> None:
    benches = [Bench(database, tmp_path / name, otlp_endpoint=taker.url) for name in ("one", "two")]
    benches[0].work()
    for bench in benches:
        bench.now = at(60)
        bench.traces.tell()
    assert len({span.trace_id for span in taker.spans}) == 2


def test_a_job_that_was_restarted_is_told_from_its_restart(
    database: Database, tmp_path: Path, taker: Collector
) -> None:
    bench = Bench(database, tmp_path, otlp_endpoint=taker.url)
    bench.receive()
    bench.work(end=JobState.FAILED, reason="a bug")
    bench.now = at(60)
    bench.traces.tell()
    with Session(database) as session, session.begin():
        job_states.move(session, JOB.id, JobState.QUEUED, now=at(100))
        job_states.move(session, JOB.id, JobState.RUNNING, now=at(101))
        job_states.move(session, JOB.id, JobState.SENDING, now=at(102))
        job_states.move(session, JOB.id, JobState.DONE, now=at(103))
    bench.now = at(200)
    assert bench.traces.tell() == 1
    assert [times(span) for span in taker.named("job trial")] == [(0.5, 4), (100, 103)]
    assert len({span.span_id for span in taker.named("job trial")}) == 2


def test_what_an_operator_started_did_not_wait_since_its_images_came(
    database: Database, tmp_path: Path, taker: Collector
) -> None:
    bench = Bench(database, tmp_path, otlp_endpoint=taker.url)
    bench.receive()
    bench.work(replace(JOB, route=BY_HAND))
    bench.now = at(60)
    bench.traces.tell()
    assert times(taker.named("study")[0]) == (0.5, 12.5)
    assert taker.named("receive") == []


def test_a_change_that_is_too_young_is_told_later(database: Database, tmp_path: Path, taker: Collector) -> None:
    bench = Bench(database, tmp_path, otlp_endpoint=taker.url)
    bench.work()
    bench.now = at(13)
    assert bench.traces.tell() == 0
    bench.now = at(18)
    assert bench.traces.tell() == 1
    assert bench.traces.tell() == 0


def test_the_collector_sees_the_headers_of_the_file(database: Database, tmp_path: Path, taker: Collector) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer abc\nX-Scope-OrgID: radiology\n")
    bench = Bench(database, tmp_path, otlp_endpoint=taker.url, headers_file=str(tmp_path / "headers"))
    bench.work()
    bench.now = at(60)
    bench.traces.tell()
    assert taker.headers[0]["authorization"] == "Bearer abc"
    assert taker.headers[0]["x-scope-orgid"] == "radiology"


def test_a_collector_that_is_away_is_a_remark_and_gets_its_traces_when_it_is_back(
    database: Database, tmp_path: Path
) -> None:
    port = free_port()
    bench = Bench(database, tmp_path, otlp_endpoint=f"http://127.0.0.1:{port}/v1/traces", timeout_s=0.2)
    bench.work()
    bench.now = at(60)
    bench.traces.loop.start()
    try:
        until(lambda: "does not take traces" in (bench.traces.loop.problem() or ""))
        with collector(port) as taker:
            until(lambda: taker.named("job trial"))
            until(lambda: bench.traces.loop.problem() is None)
    finally:
        bench.traces.stop()


def test_a_collector_that_refuses_is_a_remark(database: Database, tmp_path: Path, taker: Collector) -> None:
    taker.status = 401
    bench = Bench(database, tmp_path, otlp_endpoint=taker.url)
    bench.work()
    bench.now = at(60)
    with pytest.raises(PeerUnavailable, match=r"telemetry.otlp_endpoint: http://127.0.0.1:\d+ does not take traces"):
        bench.traces.tell()
    taker.status = 200
    assert bench.traces.tell() == 1


def test_what_a_collector_has_not_taken_for_a_day_is_told_no_more(
    database: Database, tmp_path: Path, taker: Collector
) -> None:
    bench = Bench(database, tmp_path, otlp_endpoint=taker.url)
    bench.work()
    bench.now = at(2 * 86_400)
    assert bench.traces.tell() == 0


def test_missing_packages_are_named_where_traces_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Configuration.model_validate({"telemetry": {"otlp_endpoint": "http://127.0.0.1/v1/traces"}})
    assert why_no_traces(wanted) is None
    monkeypatch.setattr(of_traces, "packages_missing", lambda: True)
    assert 'pip install "condyle[tracing]"' in (why_no_traces(wanted) or "")
    assert why_no_traces(Configuration()) is None
