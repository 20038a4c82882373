"""What an operator does with a running node: another configuration under load, pauses, uploads, actions on studies."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import select

from dicom_sr import phantoms
from node.actions.configuration import read_fit
from node.actions.reloading import ReloadActions
from node.actions.routes_file import RoutesFile
from node.commands.pauses import pause, resume
from node.commands.reload import reload
from node.config.routes_section import RoutesSection
from node.database.tables import NODE_STARTED, AssociationRow, AuditRow, InstanceRow, JobRow
from tests.node.status.pages.acting_page import act_on, hidden
from tests.running import SENDER, RunningNode
from tests.test_flow import KNEE_ROUTE, fresh
from tests.waiting import until

SOON = {"series_quiet_s": 5, "study_quiet_s": 0.5}  # a series says how many images it has
FOLDERS = {name: {"kind": "folder", "path": name} for name in ("out", "more")}
LOAD = {"when": {"Modality": "CT"}, "pipeline": "knee_super_resolution", "destinations": ["out"]}


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six small slices of a simulated knee."""
    header = phantoms.study_header(phantoms.Person(), "operating", "Simulated knee")
    return phantoms.write_knee_mr(tmp_path_factory.mktemp("slices"), header, (6, 32, 32), (4.0, 2.5, 2.5))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    with RunningNode(tmp_path, receive=SOON, routes={"load": LOAD}, destinations=FOLDERS) as node:
        yield node


def changed(node: RunningNode, **sections: Any) -> None:
    """Write the configuration with other sections."""
    content = yaml.safe_load(node.config.read_text())
    node.config.write_text(yaml.safe_dump({**content, **sections}))


class Sending:
    """storescu of DCMTK, which sends one image over and over on one association, as fast as it is taken."""

    def __init__(self, program: Path, node: RunningNode, image: Path, folder: Path) -> None:
        to = ["127.0.0.1", str(node.port)]
        command = [str(program), "-aet", SENDER, "-aec", "CONDYLE", "--repeat", "100000", *to, str(image)]
        self._log = (folder / "storescu.log").open("wb")
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


def sent(node: RunningNode, image: str) -> int:
    """How often the image has come."""
    return next(iter(node.all(select(InstanceRow.times_received).where(InstanceRow.sop_instance_uid == image))), 0)


def reloaded(node: RunningNode, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = reload(node.config, as_json=True)
    return code, json.loads(capsys.readouterr().out)


def test_under_load_a_reload_cuts_no_association_and_the_next_study_meets_the_new_routes(
    node: RunningNode,
    slices: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    dcmtk: Callable[[str], Path],
) -> None:
    load = fresh(slices[:1])
    image = load.images[0].SOPInstanceUID
    file = tmp_path / "load.dcm"
    load.images[0].save_as(file)
    with Sending(dcmtk("storescu"), node, file, tmp_path) as sending:
        until(lambda: sent(node, image) > 5, "the load is on")
        (association,) = node.all(select(AssociationRow).where(AssociationRow.outcome == "open"))
        scanner = {"ae_title": SENDER, "networks": ["127.0.0.0/8"]}
        peers = {"scanner": scanner, "other": {"ae_title": "OTHER", "networks": ["127.0.0.0/8"]}}
        changed(
            node, routes={"knee": KNEE_ROUTE}, peers=peers, status={"port": node.page, "allowed_hosts": ["a.example"]}
        )
        code, outcome = reloaded(node, capsys)
        assert (code, outcome["taken"], outcome["waiting"]) == (0, True, [])
        assert set(outcome["in_force"]) == {"peers.other", "routes.load", "routes.knee", "status.allowed_hosts"}
        new = fresh(slices, counted=True)
        assert set(node.send(new.images)) == {0}
        (job,) = node.ended_jobs(1, study=new.study)
        assert (job.route, job.state) == ("knee", "done")

        changed(node, peers={"other": peers["other"]})  # the peer that is sending right now
        code, outcome = reloaded(node, capsys)
        assert (code, outcome["in_force"]) == (0, ["peers.scanner"])
        before = sent(node, image)
        with pytest.raises(AssertionError):
            node.send(fresh(slices[:1]).images)  # is not let in
        until(lambda: sent(node, image) > before + 5, "what is open goes on")

        node.config.write_text(f"{node.config.read_text()}\npears: {{}}\n")
        code, outcome = reloaded(node, capsys)
        assert (code, outcome["taken"], len(outcome["wrong"])) == (3, False, 1)
        assert "there is no such key; did you mean 'peers'?" in outcome["wrong"][0]
        before = sent(node, image)
        until(lambda: sent(node, image) > before + 5, "a wrong file costs nobody anything")
        assert node.is_ready()
        assert sending.process.poll() is None
    (after,) = node.all(select(AssociationRow).where(AssociationRow.id == association.id))
    assert after.started == association.started
    kinds = node.all(select(AuditRow.what).where(AuditRow.what.startswith("configuration")).order_by(AuditRow.id))
    assert kinds == [*["configuration in force"] * 3, "configuration refused"]


def test_a_node_that_is_killed_at_a_reload_comes_back_with_the_file_as_it_is(node: RunningNode) -> None:
    changed(node, routes={"knee": KNEE_ROUTE}, peers={})
    digests = len(node.all(select(AuditRow).where(AuditRow.what == "configuration in force")))
    assert node._process is not None
    node._process.send_signal(signal.SIGHUP)
    time.sleep(0.2)  # somewhere on the way
    node.kill()
    node.start()
    lines = node.all(select(AuditRow).where(AuditRow.what == "configuration in force").order_by(AuditRow.id))
    assert len(lines) in (digests + 1, digests + 2), "the reload got there, or did not"
    assert lines[-1].who == "the node's start"
    before = node.log_text()
    node._process.send_signal(signal.SIGHUP)
    until(lambda: '"by": "SIGHUP"' in node.log_text().removeprefix(before), "it has read the file")
    last = node.all(select(AuditRow).where(AuditRow.what == "configuration in force").order_by(AuditRow.id))[-1]
    assert (last.who, last.detail["in_force"]) == ("SIGHUP", []), "it works by it already"


def test_a_paused_destination_gets_nothing_over_a_restart_until_it_is_resumed(
    node: RunningNode, slices: list[Path]
) -> None:
    changed(node, routes={"knee": {**KNEE_ROUTE, "destinations": ["out", "more"]}})
    assert reload(node.config, as_json=False) == 0
    assert pause("destination", "out", "the share moves", node.config) == 0
    until(lambda: "destination out" in node.get("/health/ready")["checks"]["pauses"], "the node knows")
    new = fresh(slices, counted=True)
    node.send(new.images)
    until(lambda: list((node.folder / "more").rglob("*.dcm")), "the other destination has the result")
    node.kill()
    node.start()
    checks = node.get("/health/ready")["checks"]
    assert checks["pauses"].startswith("paused by an operator: destination out since")
    assert checks["destinations"] == "ok"
    until(lambda: [job.state for job in node.jobs(new.study)] == ["sending"], "the rest of the result is there")
    assert not (node.folder / "out").exists()
    assert resume("destination", "out", node.config) == 0
    (job,) = node.ended_jobs(1, study=new.study)
    assert job.state == "done"
    assert list((node.folder / "out").rglob("*.dcm"))


def test_what_is_uploaded_is_decided_about_and_acted_on_from_the_page(node: RunningNode, slices: list[Path]) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{node.page}", headers={"accept": "text/html"}, timeout=60) as page:
        files = [("files", (file.name, file.read_bytes())) for file in slices]
        answer = page.post("/import", data=hidden(page.get("/import").text), files=files)
        assert "6 instances taken" in answer.text
        study = phantoms_study(slices)
        until(lambda: "Route load does not match." in page.get(f"/studies/{study}/reroute").text, "it is decided about")
        assert node.jobs(study) == []

        changed(node, routes={"knee": KNEE_ROUTE})
        assert "routes.knee: in force" in act_on(page, "/reload").text
        assert "Route knee makes a new job." in page.get(f"/studies/{study}/reroute").text
        assert act_on(page, f"/studies/{study}/reroute").status_code == 303
        (job,) = node.ended_jobs(1, study=study)
        assert job.state == "done"
        assert "Route knee has its result: nothing changes." in page.get(f"/studies/{study}/reroute").text

        asked = f"/studies/{study}/run?route=knee&to.more=on"
        assert "6 images: a new job." in page.get(asked).text
        assert act_on(page, asked).headers["location"] == f"/studies/{study}?done=run"
        by_hand = node.ended_jobs(2, study=study)[-1]
        assert (by_hand.route, by_hand.destinations, by_hand.state) == ("by hand", ["more"], "done")
        assert "the same job is known, done before" in page.get(asked).text
    rows = node.all(select(AuditRow).where(AuditRow.study_instance_uid == study).order_by(AuditRow.id))
    assert [(row.what, row.who) for row in rows] == [
        ("files imported", "this machine"),
        ("study decided anew", "this machine"),
        ("pipeline run by hand", "this machine"),
    ]
    assert rows[2].detail["jobs"] == [by_hand.id]
    assert node.all(select(AssociationRow.way)) == ["import"]
    assert node.all(select(JobRow.reason).where(JobRow.study_instance_uid == study)) == ["", ""]


def test_routes_that_are_applied_are_in_the_file_and_in_force(node: RunningNode) -> None:
    configuration = read_fit(node.config).configuration
    file = RoutesFile(node.config, node.database)
    section = RoutesSection.of(node.config)
    file.apply(section.text.replace("CT", "MR"), "kim", seen=section.digest)
    outcome = ReloadActions(node.config, configuration).reload("kim")
    assert (outcome.in_force, outcome.wrong) == (("routes.load.when.Modality",), ())
    assert outcome.digest == RoutesSection.of(node.config).digest
    kinds = node.all(select(AuditRow.what).where(AuditRow.what != NODE_STARTED).order_by(AuditRow.id))
    assert kinds == ["configuration in force", "routes changed", "configuration in force"]


def phantoms_study(slices: list[Path]) -> str:
    from pydicom import dcmread

    uid: str = dcmread(slices[0], stop_before_pixels=True).StudyInstanceUID
    return uid
