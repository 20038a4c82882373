"""A whole node whose archive is down tells of it by one e-mail, and by one more when it is back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from node.database.tables import AlertRow
from node.demo.orthanc_process import free_port
from tests.node.run.trial import install_trial, mr_instances
from tests.node.send.outgoing import Peer
from tests.node.send.telling import MailServer, mail_server
from tests.running import RunningNode
from tests.waiting import until

QUICK = {"after": "1s", "calm": "2s"}


def test_an_archive_that_is_down_is_told_once_and_once_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "site"))
    archive, mail, people = free_port(), free_port(), MailServer()
    peer = Peer()
    channel = {"kind": "email", "host": "127.0.0.1", "port": mail, "security": "none", "sender": "condyle@example.org"}
    trial = {"when": {"Modality": "MR"}, "pipeline": "trial", "destinations": ["pacs"]}
    node = RunningNode(
        tmp_path,
        routes={"trial": {**trial, "settings": {"journal": str(tmp_path / "journal.txt")}}},
        destinations={"pacs": peer.destination(archive)},
        run={"box": "off"},
        alerts={
            "channels": {"admins": {**channel, "recipients": ["admins@example.org"]}},
            "rules": {"archive": {"kind": "destination_down", **QUICK}, "node": {"kind": "node_problem"}},
            "every_s": 0.2,
        },
    )

    def subjects() -> list[str]:
        return [str(message["Subject"]) for message in people.messages]

    with mail_server(people, mail), node:
        assert set(node.send(mr_instances(4))) == {0}
        until(lambda: subjects() == ["CONDYLE: destination pacs is down"], "told that it is down", 90)
        seen = node.get("/health/ready")
        assert seen["checks"]["alerts"] == "ok"
        (row,) = node.all(select(AlertRow).where(AlertRow.rule == "archive"))
        assert (row.subject, row.state, row.times) == ("pacs", "firing", 1)
        with peer.listen(port=archive):
            node.ended_jobs(1, 90)
            until(lambda: len(people.messages) == 2, "told that it is back", 30)
        assert node.stop() == 0
    assert subjects() == ["CONDYLE: destination pacs is down", "CONDYLE: over: destination pacs is down"]
    assert "K4711" not in str(people.messages[0])
    assert "Muster" not in str(people.messages[0])
