"""What rules see of the machine: the disk, certificates, and parts of the node that do not work."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.alerts import engine
from node.alerts.machine import Parts, certificates_ending, disk_low, node_problems
from node.config import Configuration
from node.config.alerts import CertificateEnds, DiskLow, NodeProblem
from node.database.connection import Database
from tests.node.alerts.watching import Watching, configuration
from tests.node.commands.test_check import key_and_certificate
from tests.node.send.outgoing import START


def test_a_disk_with_too_little_room(tmp_path: Path) -> None:
    settings, usage = configuration(tmp_path), shutil.disk_usage(tmp_path)
    huge = usage.total // 2**20 + 1
    (one,) = disk_low(DiskLow(kind="disk_low", below_mb=huge), settings)
    assert one.title == "little room on the disk"
    assert f"of {usage.total / 1e9:.1f} GB are free on the disk of node.data." in one.sentence
    assert list(disk_low(DiskLow(kind="disk_low", below_mb=1), settings)) == []
    assert list(disk_low(DiskLow(kind="disk_low", below_share=1e-9), settings)) == []
    assert list(disk_low(DiskLow(kind="disk_low", below_share=1 - 1e-9, below_mb=1), settings)) != []


def test_a_certificate_that_runs_out_and_one_that_has(tmp_path: Path) -> None:
    key_and_certificate(tmp_path, "", days=10)
    key_and_certificate(tmp_path, "old", days=-1)
    tls = {
        name: {"certificate": str(tmp_path / f"{name}cert.pem"), "key": str(tmp_path / f"{name}key.pem")}
        for name in ("", "old")
    }
    channel = {"kind": "webhook", "url": "https://chat.example.org/", "tls": tls["old"]}
    settings = Configuration.model_validate({"status": {"tls": tls[""]}, "alerts": {"channels": {"chat": channel}}})
    now = datetime.now(UTC)
    soon, over = certificates_ending(CertificateEnds(kind="certificate_ends", days=11), settings, now)
    assert (soon.subject, soon.title) == ("status.tls.certificate", "certificate status.tls.certificate runs out soon")
    assert "in 10 days" in soon.sentence
    assert over.title == "certificate alerts.channels.chat.tls.certificate has run out"
    (only,) = certificates_ending(CertificateEnds(kind="certificate_ends", days=5), settings, now)
    assert only.subject == over.subject


def test_parts_that_do_not_work(tmp_path: Path) -> None:
    parts = Parts(
        {"receiver": lambda: "1 of 1 receiver processes do not run", "jobs": lambda: None},
        {"receiver": lambda: "one port is slow", "history": lambda: "old history: stuck"},
    )
    rule = NodeProblem(kind="node_problem")
    (one,) = node_problems(rule, configuration(tmp_path), parts)
    assert (one.subject, one.sentence) == ("receiver", "1 of 1 receiver processes do not run.")
    both = list(node_problems(rule.model_copy(update={"remarks": True}), configuration(tmp_path), parts))
    assert [(each.subject, each.sentence) for each in both] == [
        ("receiver", "1 of 1 receiver processes do not run; one port is slow."),
        ("history", "Old history: stuck."),
    ]


def test_a_disk_below_its_floor_is_a_problem_of_the_node(tmp_path: Path) -> None:
    settings = configuration(tmp_path)
    huge = shutil.disk_usage(tmp_path).total // 2**20 + 1
    receive = settings.receive.model_copy(update={"disk_floor_mb": huge})
    (one,) = node_problems(NodeProblem(kind="node_problem"), settings.model_copy(update={"receive": receive}), Parts())
    assert one.subject == "disk"
    assert "new images are refused, and jobs wait" in one.sentence


@pytest.mark.postgres
def test_certificates_are_read_once_an_hour(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []

    def look(*of: object) -> list[object]:
        read.append(of)
        return []

    monkeypatch.setattr(engine, "certificates_ending", look)
    rules = {"it": {"kind": "certificate_ends"}}
    channels = {"log": {"kind": "syslog", "host": "127.0.0.1", "port": 9}}
    watch = Watching(database, configuration(tmp_path, channels=channels, rules=rules))
    assert watch.clock() == START
    for _ in range(5):
        watch.alerts.look()
        watch.clock.wait(1000)
    assert len(read) == 2
