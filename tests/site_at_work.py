"""A whole node with something on every page: results, failures, refusals, a pause, an alert, users and a token."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage
from pynetdicom import AE

from node.demo.orthanc_process import free_port
from tests.node.access.quick import PASSWORD
from tests.node.run.trial import mr_instances
from tests.running import RunningNode
from tests.waiting import until

PEOPLE = {"anna": "administrator", "otto": "operator", "vera": "viewer"}  # the first must be an administrator
SEES_PATIENTS = "anna"
NOT_DICOM = "Muster_Erika.dcm"  # the name of a file that is not taken: it may name a patient


def add_user(config: Path, name: str, role: str, *, patients: bool = False) -> None:
    """As on the node's machine."""
    command = [sys.executable, "-m", "node", "user", "add", name, "--role", role, "--config", str(config)]
    command += ["--password-file", "-", *(["--patients"] if patients else [])]
    subprocess.run(command, input=PASSWORD.encode(), check=True, capture_output=True)


def study(body_part: str, number: int = 3) -> list[Dataset]:
    """A small MR study of a part of the body."""
    made = mr_instances(number)
    for ds in made:
        ds.BodyPartExamined = body_part
    return made


@contextmanager
def site_at_work(folder: Path, **more: Any) -> Iterator[RunningNode]:
    """The node, once everything has happened; its users are `PEOPLE`, who share a password.

    Parameters
    ----------
    folder
        Holds all of it. The trial pipelines are installed for processes that this one starts.
    more
        Further routes, by name.
    """
    inbox = folder / "inbox"
    inbox.mkdir()
    (inbox / NOT_DICOM).write_bytes(b"no DICOM at all")
    node = RunningNode(folder, **_settings(folder, more))
    for name, role in PEOPLE.items():
        add_user(node.config, name, role, patients=name == SEES_PATIENTS)
    with node:
        _run("token", "new", "dashboard", "--config", node.config)
        _strangers(node)
        for part in ("KNEE", "KNEE", "HAND", "HEAD", "CHEST"):
            assert set(node.send(study(part))) == {0}
        _run("pause", "route", "head", "--reason", "the model is being validated", "--config", node.config)
        assert set(node.send(study("HEAD"))) == {0}
        until(lambda: _has_happened(node), "everything has happened", 120)
        yield node


def _settings(folder: Path, routes: Mapping[str, Any]) -> dict[str, Any]:
    def route(body_part: str, behaviour: str, *destinations: str) -> dict[str, Any]:
        return {
            "when": {"Modality": "MR", "BodyPartExamined": body_part},
            "pipeline": "trial",
            "settings": {"journal": str(folder / "journal.txt"), "behaviour": behaviour},
            "destinations": list(destinations),
        }

    return {
        "routes": {
            **routes,
            "joints": route("KNEE", "find", "archive", "workstation"),
            "hand": route("HAND", "raise", "archive"),
            "head": route("HEAD", "refuse", "archive"),
        },
        "destinations": {
            "archive": {"kind": "folder", "path": str(folder / "archive")},
            "workstation": {"kind": "dimse", "ae_title": "WORKSTATION", "host": "127.0.0.1", "port": free_port()},
        },
        "receive": {"disk_floor_mb": 100, "watched_folders": [{"path": str(folder / "inbox")}]},
        "run": {"box": "off"},
        "alerts": {
            "channels": {"siem": {"kind": "syslog", "host": "127.0.0.1", "port": free_port(), "transport": "udp"}},
            "rules": {
                "archive_down": {"kind": "destination_down", "after": "1s"},
                "failures": {"kind": "jobs_failed", "number": 1},
            },
            "every_s": 1.0,
        },
    }


def _run(*arguments: object) -> str:
    command = [sys.executable, "-m", "node", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _strangers(node: RunningNode) -> None:
    """Somebody who is no peer is refused."""
    ae = AE("STRANGER")
    ae.add_requested_context(MRImageStorage)
    assert not ae.associate("127.0.0.1", node.port, ae_title="CONDYLE").is_established


def _has_happened(node: RunningNode) -> bool:
    states = sorted(job.state for job in node.jobs() if job.pipeline == "trial")
    told = _run("alerts", "--json", "--config", node.config)
    return states == ["failed", "queued", "sending", "sending", "unsuitable"] and "workstation" in told
