"""A data folder that is moved with work under way: all of it ends well in the new place."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.database.jobs import JobState
from node.database.tables import ExecutorRow, InstanceRow, OutboxRow
from node.demo.orthanc_process import free_port
from tests.node.run.trial import install_trial, mr_instances
from tests.node.send.outgoing import Peer
from tests.running import RunningNode
from tests.test_kill import ALL_CLASSES
from tests.waiting import until

WORK = ("sending", "running", "waiting", "arriving")  # where each series is when the node is killed


@pytest.fixture
def peer_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "site"))
    return free_port()


def node_in(folder: Path, journal: Path, wait_here: Path, peer_port: int) -> RunningNode:
    """A node whose jobs of the route ``running`` do so while `wait_here` exists."""
    more = {"running": {"run_while": str(wait_here)}}
    routes = {
        name: {
            "when": {"SeriesDescription": name},
            "pipeline": "trial",
            "settings": {"journal": str(journal), **more.get(name, {})},
            "destinations": ["pacs"],
        }
        for name in WORK
    }
    pacs = Peer().destination(peer_port)
    return RunningNode(
        folder,
        receive={"series_quiet_s": 60},
        run={"box": "off"},  # its journal lies beside the data folder
        routes=routes,
        destinations={"pacs": pacs},
    )


def series(name: str) -> list[Dataset]:
    instances = mr_instances(2)
    for ds in instances:
        ds.SeriesDescription, ds.NumberOfSeriesRelatedInstances = name, len(instances)
    return instances


def states(node: RunningNode) -> dict[str, str]:
    return {job.route: job.state for job in node.jobs()}


def test_work_under_way_ends_well_in_the_new_place_and_nothing_names_the_old_one(
    tmp_path: Path, peer_port: int
) -> None:
    old, new, journal, wait_here = (tmp_path / name for name in ("old", "new", "journal.txt", "wait-here"))
    old.mkdir()
    wait_here.touch()
    last = series("arriving")
    with node_in(old, journal, wait_here, peer_port) as node:
        node.send(series("sending"))
        until(lambda: states(node) == {"sending": JobState.SENDING}, "objects wait for the archive")
        node.send(series("running"))
        until(lambda: journal.read_text().count("run ") == 2, "the pipeline is at it")
        node.send(series("waiting"))
        node.send(last[:1])
        until(lambda: {"running", "waiting"} <= states(node).keys(), "a job waits for the worker")
        until(lambda: len(node.all(select(InstanceRow))) == 7, "all that came is stored")

    old.rename(new)
    wait_here.unlink()
    moved = node_in(new, journal, wait_here, peer_port)
    with Session(moved.database) as session, session.begin():  # else it waits half a minute for the node that was
        session.execute(update(ExecutorRow).values(seen=datetime.now(UTC) - timedelta(hours=1)))
    with moved as node, Peer(classes=ALL_CLASSES).listen(port=peer_port):
        node.send(last[1:])
        jobs = node.ended_jobs(len(WORK))
        assert {job.route: (job.state, job.reason) for job in jobs} == dict.fromkeys(WORK, (JobState.DONE, ""))
        lines = node.all(select(OutboxRow))
        assert {line.state for line in lines} == {"delivered"}
        assert journal.read_text().count("ran ") == len(WORK), "what was finished is not done again"

    found = list((new / "data").rglob("*"))
    assert [path for path in found if path.is_file() and str(old).encode() in path.read_bytes()] == []
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
