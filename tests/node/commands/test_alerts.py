"""`condyle alerts`, as an operator calls it, and `condyle check` on the channels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.config import read
from node.config.checks import listening_socket
from node.database.connection import Database, open_database
from node.database.migrations import migrate
from node.database.tables import AuditRow
from tests.command_line import Condyle
from tests.node.alerts.watching import MINUTE, Watching
from tests.node.on_demand.told import Told
from tests.node.send.outgoing import HandClock


def configuration(folder: Path, **alerts: Any) -> Path:
    path = folder / "config.yaml"
    pacs = {"kind": "folder", "path": "out"}
    path.write_text(yaml.safe_dump({"node": {"data": "data"}, "destinations": {"pacs": pacs}, "alerts": alerts}))
    return path


@pytest.fixture
def told() -> Iterator[Told]:
    with Told() as made:
        yield made


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    (tmp_path / "data").mkdir()
    opened = open_database(f"sqlite:///{tmp_path / 'data' / 'node.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


def channels(told: Told, **more: Any) -> dict[str, Any]:
    return {"chat": {"kind": "webhook", "url": told.url}, **more}


RULES = {"archive": {"kind": "destination_down", "after": "0s", "severity": "critical"}}


def test_the_list_says_what_is_wrong_as_text_and_as_json(
    condyle: Condyle, tmp_path: Path, database: Database, told: Told
) -> None:
    config = configuration(tmp_path, channels=channels(told), rules=RULES)
    ended = condyle("alerts", "-c", config)
    assert ended.returncode == 0
    assert "nothing is wrong that a rule asks for" in ended.stdout
    watch = Watching(database, read(config), HandClock())
    watch.fail_to_send()
    watch.round(MINUTE)
    ended = condyle("alerts", "-c", config)
    assert "critical  destination pacs is down  (rule archive)" in ended.stdout
    assert "chat" in ended.stdout
    assert "HTTP 204 No Content" in ended.stdout
    listed = json.loads(condyle("alerts", "--json", "-c", config).stdout)
    assert [one["title"] for one in listed["firing"]] == ["destination pacs is down"]
    assert listed["channels"][0]["place"] == told.url.removesuffix("/hook")


def test_without_channels_the_list_says_that_nobody_is_told(
    condyle: Condyle, tmp_path: Path, database: Database
) -> None:
    assert "nobody is told of anything" in condyle("alerts", "-c", configuration(tmp_path)).stdout
    assert condyle("alerts", "-c", configuration(tmp_path), "test").returncode == 2


def test_a_test_goes_to_each_channel_and_says_what_became_of_it(
    condyle: Condyle, tmp_path: Path, database: Database, told: Told
) -> None:
    with listening_socket("127.0.0.1", 0) as free:
        port = int(free.getsockname()[1])
    mail = {"kind": "email", "host": "127.0.0.1", "port": port, "sender": "a@b", "recipients": ["c@d"]}
    config = configuration(tmp_path, channels=channels(told, mail=mail))
    ended = condyle("alerts", "test", "-c", config)
    assert ended.returncode == 1
    assert "chat: sent: HTTP 204 No Content" in ended.stdout
    assert "mail: not sent: Connection refused" in ended.stderr
    assert condyle("alerts", "test", "chat", "-c", config).returncode == 0
    ended = condyle("alerts", "test", "chatt", "-c", config)
    assert (ended.returncode, "did you mean 'chat'?" in ended.stderr) == (2, True)
    assert len(told.posts) == 2
    with Session(database) as session:
        assert len(session.scalars(select(AuditRow)).all()) == 3


def test_a_rule_is_silenced_and_told_of_again(condyle: Condyle, tmp_path: Path, database: Database, told: Told) -> None:
    config = configuration(tmp_path, channels=channels(told), rules=RULES)
    ended = condyle("alerts", "silence", "archive", "--for", "2h", "-c", config)
    assert (ended.returncode, "rule archive: nobody is told until" in ended.stdout) == (0, True)
    (rule,) = json.loads(condyle("alerts", "--json", "-c", config).stdout)["rules"]
    assert rule["silenced_until"] is not None
    assert condyle("alerts", "silence", "archive", "--off", "-c", config).returncode == 0
    for wrong in (("archive",), ("archive", "--off", "--for", "2h"), ("archive", "--for", "2"), ("archiv", "--off")):
        assert condyle("alerts", "silence", *wrong, "-c", config).returncode == 2


def test_check_asks_the_channels_only_online(condyle: Condyle, tmp_path: Path, told: Told) -> None:
    with listening_socket("127.0.0.1", 0) as free:
        port = int(free.getsockname()[1])
    log = {"kind": "syslog", "host": "127.0.0.1", "port": port, "transport": "tcp"}
    wrong = {"of": {"kind": "result", "when": {"Modality": "MR"}}}
    config = configuration(tmp_path, channels=channels(told, log=log), rules={**RULES, **wrong})
    offline, online = condyle("check", config), condyle("check", config, "--online")
    for ended in (offline, online):
        assert "alerts.rules.of.when.Modality" in ended.stdout
    assert f"alerts.channels.log: 127.0.0.1:{port}: Connection refused" in online.stdout
    assert "answers: HTTP 204 No Content" in " ".join(online.stdout.split())
    assert "Connection refused" not in offline.stdout
    assert told.posts == []
