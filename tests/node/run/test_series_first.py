"""Derived series go out while the rest is encoded; the encoders run here, where a test holds or breaks them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import dicom_sr.provenance
import dicom_sr.write.encode
from dicom_sr.errors import EncodingError
from dicom_sr.profile import EncodedObject
from dicom_sr.write.derived_series import encode_derived
from node.database import job_states, outbox
from node.database.jobs import Job, JobState
from node.database.tables import ObjectRow
from node.errors import JobFailed
from node.reading import HERE
from node.run.flow import Flow
from node.run.messages import Done, Failed, JobRequest, Unsuitable, Waits
from node.run.pool import NOBODY_WAITS, Pool, Position
from node.run.warm import Warm
from node.run.worker import answer
from node.send.lane import Lane
from pipelines import registry
from tests.node.run.trial import Bench, bench, install_trial, mr_instances
from tests.node.send.outgoing import Peer
from tests.test_kill import ALL_CLASSES

SLICES = 7  # that the trial pipeline makes of four
TO_BE_SENT = {
    "derived_series": SLICES,
    "parametric_map": 1,
    "secondary_capture": 1,
    "presentation_state": 1,
    "report": 1,
}


class InProcess(Pool):
    """A pool whose only worker is this process."""

    def __init__(self) -> None:
        super().__init__(1, 60.0, 2048)
        self._warm = Warm()

    def call(
        self,
        request: JobRequest,
        *,
        position: Position = NOBODY_WAITS,
        patience_s: float | None = None,
        began: Callable[[], None] = lambda: None,
        series_there: Callable[[], None] = lambda: None,
        cancelled: Callable[[], bool] = lambda: False,
        waiting: Callable[[], None] = lambda: None,
    ) -> Done:
        began()
        said = answer(request, self._warm, lambda _: series_there())
        if isinstance(said, Failed):
            raise JobFailed(said.reason)
        assert not isinstance(said, Unsuitable | Waits)
        assert isinstance(said, Done)
        return said


class Held:
    """A report that is not written before it is let go, or that cannot be written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at_it, self.go_on, self.broken = threading.Event(), threading.Event(), False
        self._write = dicom_sr.write.encode._report
        monkeypatch.setattr(dicom_sr.write.encode, "_report", self)

    def __call__(self, *arguments: Any) -> tuple[EncodedObject, ...]:
        self.at_it.set()
        assert self.go_on.wait(120)
        if self.broken:
            raise EncodingError("the report has no room for it")
        return self._write(*arguments)


@dataclass
class Sent:
    """A job that has a result, an archive that it goes to, and what is done with both."""

    bench: Bench
    peer: Peer
    job: Job
    flow: Flow
    result: str
    lane: Lane

    def encode(self) -> str | None:
        return self.flow.encode(self.job.id, self.result, None)["objects"]

    @contextmanager
    def while_the_rest_is_encoded(self, report: Held) -> Iterator[None]:
        """As soon as the encoders are at the report; at the end the step has ended, as it may."""
        with ThreadPoolExecutor(1) as threads:
            step = threads.submit(self.encode)
            assert report.at_it.wait(120)
            try:
                yield
            finally:
                report.go_on.set()
            step.exception(120)

    def send(self) -> None:
        """Let the archive have everything that waits for it."""
        while self.lane.turn():
            pass

    def states(self, destination: str = "archive") -> dict[str, Counter[str]]:
        """The lines of the outbox by kind of object: how many are in each state."""
        with Session(self.bench.database) as session:
            kinds = {row.sop_instance_uid: row.kind for row in session.scalars(select(ObjectRow))}
        found: dict[str, Counter[str]] = {}
        for line in self.bench.lines(self.job):
            if line.destination == destination:
                found.setdefault(kinds[line.sop_instance_uid], Counter())[line.state] += 1
        return found

    def restart(self) -> None:
        with Session(self.bench.database) as session, session.begin():
            job_states.restart(session, self.job.id, "by an operator")

    def finish(self) -> None:
        """Do the last steps again from the start, and send what they made."""
        self.flow.hand_over(self.job.id, self.encode(), JobState.SENDING)
        self.send()


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    install_trial(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry._entry_points.cache_clear()
    peer = Peer(classes=(*ALL_CLASSES,))
    with peer.listen() as port, bench(tmp_path, **_settings(tmp_path, peer, port)) as made:
        yield _with_result(made, peer)
    registry._entry_points.cache_clear()


def _settings(folder: Path, peer: Peer, port: int) -> dict[str, Any]:
    """An archive, and somebody who takes only reports, of missing results too."""
    only_reports = {"kinds": ["report"], "not_run_reports": True}
    trial = {"when": {}, "pipeline": "trial", "destinations": ["archive", "desk"]}
    return {
        "destinations": {
            "archive": peer.destination(port, profile={"not_run_reports": True}),
            "desk": {"kind": "folder", "path": folder / "desk", "profile": only_reports},
        },
        "routes": {"trial": trial, "shadow": {**trial, "shadow": True}},
    }


def _with_result(made: Bench, peer: Peer, **settings: Any) -> Sent:
    instances = mr_instances(4)
    made.store(instances)
    job = replace(made.job(instances, derived=True), **settings)
    with Session(made.database) as session, session.begin():
        job_states.record(session, job)
    flow = Flow(made.configuration, made.database, InProcess(), HERE)
    flow.prepare(job.id)
    result = flow.infer(job.id)["result"]
    assert result is not None
    archive = made.configuration.destinations["archive"]
    lane = Lane("archive", archive, "CONDYLE", made.database, lambda: datetime.now(UTC) + timedelta(1), data=made.data)
    return Sent(made, peer, job, flow, result, lane)


def test_the_first_objects_have_arrived_before_the_last_is_encoded(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Held(monkeypatch)
    with sent.while_the_rest_is_encoded(report):
        assert sent.states() == {"derived_series": {"waiting": SLICES}}
        assert sent.states("desk") == {}
        sent.send()
        assert len(sent.peer.received) == SLICES
        assert sent.bench.state(sent.job) == "running", "there is more to come"
        assert sent.flow.folder(sent.job.id).written_objects() is None
    sent.finish()
    assert sent.bench.events(sent.job).count("begun encode") == 1, "the same objects are handed over"
    assert {kind: sum(states.values()) for kind, states in sent.states().items()} == TO_BE_SENT
    assert len(sent.peer.uids) == len(set(sent.peer.uids)) == sum(TO_BE_SENT.values())
    assert sent.states("desk") == {"report": {"waiting": 1}}
    assert sent.bench.state(sent.job) == "sending"


def test_what_an_operator_cancels_between_the_series_and_the_rest_goes_no_further(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Held(monkeypatch)
    with sent.while_the_rest_is_encoded(report), Session(sent.bench.database) as session, session.begin():
        job_states.cancel(session, sent.job.id)
    sent.finish()
    assert sent.peer.received == []
    assert sent.states() == {"derived_series": {"cancelled": SLICES}}
    assert (sent.bench.state(sent.job), sent.bench.record(sent.job).reason) == (
        "failed",
        f"cancelled by an operator; 0 of {SLICES} sent to archive",
    )
    sent.restart()
    sent.finish()
    assert {kind: states["delivered"] for kind, states in sent.states().items()} == TO_BE_SENT


def test_a_job_that_was_cancelled_before_its_series_are_there_sends_none(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = encode_derived

    def cancelled_meanwhile(*of: Any) -> tuple[EncodedObject, ...]:
        with Session(sent.bench.database) as session, session.begin():
            job_states.cancel(session, sent.job.id)
        return write(*of)

    monkeypatch.setattr(dicom_sr.write.encode, "encode_derived", cancelled_meanwhile)
    sent.finish()
    assert (sent.states(), sent.peer.received) == ({}, [])


@pytest.mark.parametrize("arrived", [True, False])
def test_a_job_that_fails_after_its_series_went_out_says_so_and_reports_no_missing_result(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    report = Held(monkeypatch)
    report.broken = True
    with sent.while_the_rest_is_encoded(report):
        if arrived:
            sent.send()
    sent.flow.fail(sent.job.id, "the report has no room for it")
    sent.send()
    assert sent.states() == {"derived_series": {"delivered": SLICES}}, "a series goes out whole"
    assert sent.states("desk") == {}
    reason = f"the report has no room for it; {SLICES} objects went out before"
    assert (sent.bench.state(sent.job), sent.bench.record(sent.job).reason) == ("failed", reason)
    report.broken = False
    sent.restart()
    sent.finish()
    assert {kind: states["delivered"] for kind, states in sent.states().items()} == TO_BE_SENT
    assert len(sent.peer.uids) == len(set(sent.peer.uids)), "nothing is sent twice"


def test_a_job_that_fails_before_its_series_are_there_reports_a_missing_result(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> tuple[EncodedObject, ...]:
        raise EncodingError("no series")

    with monkeypatch.context() as patch:
        patch.setattr(dicom_sr.write.encode, "encode_derived", breaks)
        with pytest.raises(JobFailed, match="no series"):
            sent.encode()
    sent.flow.fail(sent.job.id, "no series")
    assert "report" in sent.states()
    assert "report" in sent.states("desk")
    assert sent.bench.record(sent.job).reason == "no series"


def test_what_an_older_version_left_waiting_gives_way_to_what_the_newer_one_makes(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node was killed between the series and the rest, and upgraded; the objects get other UIDs then."""
    report = Held(monkeypatch)
    report.broken = True
    with sent.while_the_rest_is_encoded(report):
        pass
    report.broken = False
    monkeypatch.setattr(dicom_sr.provenance, "software_version", lambda: "9.9")
    older = {line.sop_instance_uid for line in sent.bench.lines(sent.job)}
    sent.finish()
    assert sent.states()["derived_series"] == {"delivered": SLICES, "cancelled": SLICES}
    assert len(sent.peer.received) == sum(TO_BE_SENT.values())
    assert not older & set(sent.peer.uids)


def test_a_database_that_is_away_for_a_moment_keeps_the_series_until_the_rest_is_there(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OperationalError("", {}, Exception("away"))

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "keep_objects", away)
        objects = sent.encode()
    assert sent.states() == {}
    sent.flow.hand_over(sent.job.id, objects, JobState.SENDING)
    sent.send()
    assert {kind: states["delivered"] for kind, states in sent.states().items()} == TO_BE_SENT


def test_a_shadow_sends_no_series_either(sent: Sent) -> None:
    shadow = _with_result(sent.bench, sent.peer, id="5" * 32, route="shadow", shadow=True)
    shadow.finish()
    assert shadow.states() == {}
