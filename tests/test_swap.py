"""Another model is put in force while studies arrive: nothing is dropped, and each result names what made it."""

from __future__ import annotations

import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage
from sqlalchemy import select

from node.commands.operator import operator
from node.database.tables import MODEL_CHANGED, AuditRow, JobRow, OutboxRow
from pipelines.bundle import bundle_digest
from tests.command_line import Condyle
from tests.node.run.trial import mr_instances
from tests.node.run.trial_pipelines import NOWHERE, trial_bundle
from tests.running import RunningNode
from tests.waiting import until

EVERY_S = 1.0  # a study comes
AFTER = 3  # studies that the new version is seen to be decided for


pytestmark = pytest.mark.usefixtures("trial_installed")


def done(condyle: Condyle, node: RunningNode, *arguments: object) -> str:
    """What a command prints that ends well."""
    ended = condyle(*arguments, "--config", node.config)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


def results(node: RunningNode) -> dict[str, str]:
    """By job: the digest of the weights that its result names."""
    found = {}
    for job in node.jobs():
        told = json.loads((node.folder / "data" / "jobs" / job.id / "summary.json").read_text())
        found[job.id] = told["model"]["weights_digest"]
    return found


def test_studies_that_arrive_while_a_model_is_swapped_are_all_done_by_the_version_they_were_decided_with(
    tmp_path: Path, condyle: Condyle
) -> None:
    first, second = trial_bundle(tmp_path / "first", 1), trial_bundle(tmp_path / "second", 2)
    old, new = (bundle_digest({"number.txt": folder / "number.txt"}) for folder in (first, second))
    settings = {"journal": str(NOWHERE), "bundle": str(first)}  # in the box it can write nowhere
    route = {"when": {"Modality": "MR"}, "pipeline": "trial_bundle", "settings": settings, "destinations": ["out"]}
    destinations = {"out": {"kind": "folder", "path": "out"}}
    with RunningNode(tmp_path, routes={"trial": route}, destinations=destinations) as node:
        statuses: list[int] = []
        studies = 0
        enough = threading.Event()

        def send() -> None:
            nonlocal studies
            while not enough.wait(EVERY_S):
                statuses.extend(node.send(mr_instances(1)))
                studies += 1

        sender = threading.Thread(target=send)
        sender.start()
        try:
            until(node.jobs, "a study was decided about")
            said = done(condyle, node, "model", "use", "trial", second)
            until(lambda: sum(decided(job, old) == new for job in node.jobs()) >= AFTER, "the new version is taken")
        finally:
            enough.set()
            sender.join()
        jobs = node.ended_jobs(studies, 200)
        assert f"version {new[:12]} is in force" in said
        assert set(statuses) == {0}
        assert [(job.state, job.reason) for job in jobs] == [("done", "")] * studies
        versions = {job.id: decided(job, old) for job in jobs}
        assert set(versions.values()) == {old, new}
        assert versions == {job.id: job.weights for job in jobs} == results(node)
        assert not node.all(select(OutboxRow).where(OutboxRow.state != "delivered"))
        assert Counter(named_in_reports(node, old, new)) == Counter(versions.values())
        (changed,) = node.all(select(AuditRow).where(AuditRow.what == MODEL_CHANGED))
        assert (changed.who, changed.detail["route"]) == (operator(), "trial")
        assert (changed.detail["from"], changed.detail["to"]) == ("as configured", new)


def decided(job: JobRow, configured: str) -> str:
    """The version that a job was decided with."""
    return str(job.settings.get("sha256", configured))


def named_in_reports(node: RunningNode, *digests: str) -> Iterator[str]:
    """The digest that each delivered report names."""
    for path in (node.folder / "out").rglob("*.dcm"):
        if dcmread(path).SOPClassUID == Comprehensive3DSRStorage:
            content = path.read_bytes()
            yield from (digest for digest in digests if f"weights sha256:{digest}".encode() in content)


def test_jobs_that_wait_keep_the_version_they_were_decided_with(tmp_path: Path, condyle: Condyle) -> None:
    first, second = trial_bundle(tmp_path / "first", 1), trial_bundle(tmp_path / "second", 2)
    hold = tmp_path / "hold"
    hold.touch()
    journal = {"journal": str(tmp_path / "journal.txt")}
    routes = {
        "slow": {"when": {"Modality": "CT"}, "pipeline": "trial", "settings": {**journal, "run_while": str(hold)}},
        "quick": {
            "when": {"Modality": "MR"},
            "pipeline": "trial_bundle",
            "settings": {**journal, "bundle": str(first)},
        },
    }
    for route in routes.values():
        route["destinations"] = []
    with RunningNode(tmp_path, routes=routes, run={"workers": 1, "box": "off"}) as node:
        slow = mr_instances(1)
        for ds in slow:
            ds.Modality = "CT"
        node.send(slow)
        until(lambda: "run " in (tmp_path / "journal.txt").read_text(), "the only worker is busy")
        for _ in range(3):
            node.send(mr_instances(1))
        until(lambda: len(node.jobs()) == 4, "three jobs wait")
        done(condyle, node, "model", "use", "quick", second)
        shutil.rmtree(second)
        for _ in range(2):
            node.send(mr_instances(1))
        until(lambda: len(node.jobs()) == 6, "five jobs wait")
        done(condyle, node, "model", "back", "quick")
        node.send(mr_instances(1))
        until(lambda: len(node.jobs()) == 7, "six jobs wait")
        hold.unlink()
        jobs = node.ended_jobs(7)[1:]
        assert [job.state for job in jobs] == ["done"] * 6
        told = [json.loads((tmp_path / "data" / "jobs" / job.id / "summary.json").read_text()) for job in jobs]
        numbers = [one["findings"]["Trial 1"]["measurements"]["SCT:410668003"]["value"] for one in told]
        assert numbers == [1.0, 1.0, 1.0, 2.0, 2.0, 1.0]


def test_a_stored_study_is_done_again_by_another_version(tmp_path: Path, condyle: Condyle) -> None:
    bundles = [trial_bundle(tmp_path / str(number), number) for number in (1, 2, 3)]
    weights = [bundle_digest({"number.txt": folder / "number.txt"}) for folder in bundles]
    settings = {"journal": str(NOWHERE), "bundle": str(bundles[0])}
    route = {"when": {"Modality": "MR"}, "pipeline": "trial_bundle", "settings": settings, "destinations": ["out"]}
    destinations = {"out": {"kind": "folder", "path": "out"}}
    with RunningNode(tmp_path, routes={"trial": route}, destinations=destinations) as node:
        images = mr_instances(1)
        study = images[0].StudyInstanceUID
        node.send(images)
        (first,) = node.ended_jobs(1)
        done(condyle, node, "model", "use", "trial", bundles[1])
        assert "1 job is queued" in done(condyle, node, "reroute", study)
        _, second = node.ended_jobs(2)
        done(condyle, node, "jobs", "start", "trial_bundle", study, "--bundle", bundles[2])
        _, _, third = node.ended_jobs(3)
        assert [job.weights for job in (first, second, third)] == weights
        assert [job.state for job in (first, second, third)] == ["done"] * 3
        assert (second.predecessor, third.route) == (first.id, "by hand")
        still = done(condyle, node, "model", "use", "trial", weights[1][:12])
        assert "version " + weights[1][:12] in still
        named = {
            digest: report
            for path in (node.folder / "out").rglob("*.dcm")
            if (report := dcmread(path)).Modality == "SR"
            for digest in weights
            if f"weights sha256:{digest}".encode() in path.read_bytes()
        }
        (before,) = named[weights[1]].PredecessorDocumentsSequence
        told = [item for series in before.ReferencedSeriesSequence for item in series.ReferencedSOPSequence]
        assert [item.ReferencedSOPInstanceUID for item in told] == [named[weights[0]].SOPInstanceUID]
