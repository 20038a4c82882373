"""kill -9 of the whole node at every point of a job's way: nothing is lost, nothing that was finished is repeated."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from node.database.tables import EventRow, JobRow, ObjectRow, OutboxRow
from tests.node.run.trial import install_trial, mr_instances
from tests.node.run.trial_pipelines import REPORTS_WAIT_WHILE
from tests.node.send.outgoing import Peer
from tests.postgres import Postgres
from tests.running import RunningNode
from tests.waiting import until

PATIENCE_S = 150.0  # on a machine that is busy with other things, too
HELD_S = 600.0  # longer than all that is waited for while an object is being sent
WORKERS = 2  # one job is being prepared, and one is at its inference
SLICES = 4  # fewer make no stack
HELD = ("during send", "during prepare", "during inference", "after store")  # at the first kill
POINTS = (*HELD, "during encode", "after encode")
ALL_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.11.1",
    "1.2.840.10008.5.1.4.1.1.11.2",
    "1.2.840.10008.5.1.4.1.1.30",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.88.34",
    "1.2.840.10008.5.1.4.1.1.88.59",
)


class Holding(Peer):
    """An archive that, asked to, keeps the node waiting for its answer."""

    def __init__(self) -> None:
        super().__init__(classes=ALL_CLASSES)
        self.hold, self.held, self.release = threading.Event(), threading.Event(), threading.Event()
        self.status = self._answer

    def _answer(self, uid: str) -> int:
        if self.hold.is_set():
            self.held.set()
            self.release.wait(HELD_S)
        return 0x0000


class Killed:
    """A node that is killed, and what it was given and made."""

    def __init__(self, node: RunningNode, peer: Holding, journal: Path, wait_here: Path) -> None:
        self.node, self.peer, self.journal = node, peer, journal
        self.wait_here = wait_here  # while it is there, jobs stay where their routes make them
        self.series: dict[str, str] = {}
        self.stored: dict[str, int] = {}

    def send(self, point: str) -> list[Dataset]:
        """Send a series whose route makes it stay at `point`."""
        instances = mr_instances(SLICES)
        for ds in instances:
            # complete when all are there, and not before, however slow the machine is
            ds.SeriesDescription, ds.NumberOfSeriesRelatedInstances = point, len(instances)
        assert self.node.send(instances) == [0x0000] * SLICES
        self.series[point], self.stored[point] = instances[0].SeriesInstanceUID, SLICES
        return instances

    def said(self, what: str, point: str) -> int:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return sum(line.startswith(f"{what} {self.series[point]} ") for line in lines)

    def job(self, point: str) -> JobRow | None:
        return next((job for job in self.node.jobs() if job.series_instance_uids == [self.series[point]]), None)

    def reached(self, point: str) -> None:
        """Wait until the job is at the point."""
        if point == "during prepare":
            until(lambda: self.said("check", point), point, PATIENCE_S)
        elif point == "during inference":
            until(lambda: self.said("run", point), point, PATIENCE_S)
        elif point == "during encode":
            until(lambda: self.received(point), point, PATIENCE_S)
        elif point == "after encode":
            until(lambda: (job := self.job(point)) and self.objects(job).exists(), point, PATIENCE_S)
        elif point == "during send":
            until(self.peer.held.is_set, point, PATIENCE_S)

    def received(self, point: str) -> Counter[str]:
        """How many objects of the job the archive has got, by kind; those that it got twice are counted twice."""
        job = self.job(point)
        rows = self.node.all(select(ObjectRow).where(ObjectRow.job_id == job.id)) if job else []
        kinds = {row.sop_instance_uid: row.kind for row in rows}
        return Counter(kinds[uid] for uid, _, _ in self.peer.received if uid in kinds)

    def is_being_sent(self) -> bool:
        """Whether the node still waits for the archive's answer."""
        job = self.job("during send")
        answers = {line.answer for line in self.node.all(select(OutboxRow))}
        return job is not None and job.state == "sending" and answers == {""} and not self.peer.received

    def kill(self) -> None:
        """Kill the node with SIGKILL, and start it again with nothing that holds it up any more."""
        children = self.node.descendants()
        assert len(children) >= 1 + WORKERS, "a receiver and the workers"
        self.node.kill()
        until(lambda: not any(alive(pid) for pid in children), "the children end with the node")
        self.peer.hold.clear()
        self.peer.release.set()
        self.wait_here.unlink(missing_ok=True)
        self.node.start()

    def objects(self, job: JobRow) -> Path:
        return self.node.folder / "data" / "jobs" / job.id / "objects.json"

    def events(self, point: str) -> Counter[str]:
        job = self.job(point)
        assert job is not None
        rows = self.node.all(select(EventRow).where(EventRow.job_id == job.id))
        return Counter(f"begun {row.detail}" if row.what == "begun" else row.what for row in rows)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def killed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Killed]:
    database = None
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        database = server.database()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([install_trial(tmp_path / "site")]))
    journal, wait_here, peer = tmp_path / "journal.txt", tmp_path / "wait-here", Holding()
    wait_here.touch()
    peer.hold.set()
    monkeypatch.setenv(REPORTS_WAIT_WHILE, str(wait_here))
    slow: dict[str, dict[str, object]] = {
        "during prepare": {"check_while": str(wait_here)},
        "during inference": {"run_while": str(wait_here)},
        "during encode": {"derived": True},
    }
    routes = {
        point.replace(" ", "-"): {
            "when": {"SeriesDescription": point},
            "pipeline": "trial",
            "settings": {"journal": str(journal), **slow.get(point, {})},
            "destinations": ["pacs"],
        }
        for point in POINTS
    }
    with peer.listen() as port:
        node = RunningNode(
            tmp_path,
            node={"data": "data", **({"database": database} if database else {})},
            receive={"series_quiet_s": 60},
            # its journal lies beside the data folder
            run={"workers": WORKERS, "box": "off", "environment": [REPORTS_WAIT_WHILE]},
            routes=routes,
            destinations={"pacs": peer.destination(port, timeout_s=HELD_S)},
        )
        with node:
            yield Killed(node, peer, journal, wait_here)


@pytest.mark.timeout(600)
def test_a_node_that_is_killed_loses_nothing_and_repeats_nothing_finished(killed: Killed) -> None:
    """One kill finds a job at each of the points where a job can be made to stay; another the others.

    These are one whose series the archive has while its report is not written yet, and one that cannot be made to stay.
    """
    for point in HELD:
        killed.send(point)
        killed.reached(point)
    assert killed.is_being_sent()
    killed.kill()
    before = killed.node.ended_jobs(len(HELD), PATIENCE_S)
    assert {job.state for job in before} == {"done"}
    killed.wait_here.touch()
    for point in POINTS[len(HELD) :]:
        killed.send(point)
        killed.reached(point)
    assert set(killed.received("during encode")) == {"derived_series"}
    killed.kill()
    jobs = killed.node.ended_jobs(len(POINTS), PATIENCE_S)

    assert [(job.state, job.reason) for job in jobs] == [("done", "")] * len(POINTS)
    for point in POINTS:
        events = killed.events(point)
        # what was under way when the node died is begun again; what was finished is not
        assert killed.said("check", point) == (2 if point == "during prepare" else 1), point
        assert killed.said("run", point) == (2 if point == "during inference" else 1), point
        assert killed.said("ran", point) == 1, point
        assert events["begun encode"] == 1 or point in ("during encode", "after encode"), point
        assert events["done"] == 1, point
    sent = defaultdict(set)
    for uid, content, _ in killed.peer.received:
        sent[uid].add(content)
    objects = {row.sop_instance_uid: row for row in killed.node.all(select(ObjectRow))}
    lines = killed.node.all(select(OutboxRow))
    assert {line.sop_instance_uid for line in lines} == set(sent)
    assert [line.state for line in lines] == ["delivered"] * len(lines)
    assert {len(contents) for contents in sent.values()} == {1}, "an object went out with other bytes"
    for uid, (content,) in sent.items():
        assert (killed.node.folder / "data" / objects[uid].path).read_bytes().endswith(content)
    tell(killed, len(sent))


def tell(killed: Killed, objects: int) -> None:
    """Show the counts; with ``pytest -s``."""
    out = [f"\n{'killed':18} {'stored':>6} {'checked':>8} {'begun':>6} {'inferred':>9} {'state':>6}\n"]
    for point in POINTS:
        job = killed.job(point)
        counts = "{:8} {:6} {:9}".format(*(killed.said(what, point) for what in ("check", "run", "ran")))
        out.append(f"{point:18} {killed.stored[point]:6} {counts} {job.state if job else '':>6}\n")
    twice = len(killed.peer.received) - objects
    out.append(f"{objects} objects delivered, {twice} of them twice and then with the same bytes, none lost\n")
    sys.stdout.write("".join(out))
