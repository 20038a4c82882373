"""What an operator does with alerts: each leaves a line in the audit trail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.alerts import operations
from node.alerts.operations import NoSuchName
from node.database.connection import Database, open_database
from node.database.migrations import migrate
from node.database.tables import AuditRow
from node.errors import PeerUnavailable
from tests.node.alerts.watching import MINUTE, Watching, configuration
from tests.node.on_demand.told import Told
from tests.node.send.outgoing import START


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


def watching(database: Database, folder: Path, url: str) -> Watching:
    rules = {
        "it": {"kind": "destination_down", "after": "0s", "calm": "0s"},
        "disk": {"kind": "disk_low", "below_mb": 1},
    }
    return Watching(database, configuration(folder, channels={"chat": {"kind": "webhook", "url": url}}, rules=rules))


def trail(database: Database) -> list[tuple[str, str, dict[str, Any]]]:
    with Session(database) as session:
        return [(row.what, row.who, row.detail) for row in session.scalars(select(AuditRow).order_by(AuditRow.id))]


def test_the_list_says_what_is_wrong_what_was_and_who_was_told(database: Database, tmp_path: Path) -> None:
    with Told() as told:
        watch = watching(database, tmp_path, told.url)
        watch.fail_to_send()
        watch.round(1)
        listed = operations.list_alerts(watch.settings, database, watch.clock())
        (one,) = listed.firing
        assert (one.rule, one.subject, one.state, one.title) == ("it", "pacs", "firing", "destination pacs is down")
        assert (one.told, listed.past) == (watch.clock(), [])
        assert [(rule.name, rule.kind, rule.channels) for rule in listed.rules] == [
            ("it", "destination_down", ("chat",)),
            ("disk", "disk_low", ("chat",)),
        ]
        (channel,) = listed.channels
        assert (channel.state, channel.answer) == ("sent", "HTTP 204 No Content")
        watch.send_at_last()
        watch.round(MINUTE)
        listed = operations.list_alerts(watch.settings, database, watch.clock())
        assert (listed.firing, [(over.title, over.times) for over in listed.past]) == (
            [],
            [("destination pacs is down", 1)],
        )
    plain = json.loads(json.dumps(listed.as_json()))
    assert plain["past"][0]["ended"] == "2026-01-02T03:05:06+00:00"


def test_a_test_says_what_the_server_answered(database: Database, tmp_path: Path) -> None:
    with Told() as told:
        watch = watching(database, tmp_path, told.url)
        answer = operations.test_channel(watch.settings, database, "chat", "anna", watch.clock())
    assert answer == "HTTP 204 No Content"
    (alert,) = told.posts[0].content["data"]["alerts"]
    assert alert["sentence"] == "This is a test, asked for by anna. Nothing is wrong."
    with pytest.raises(PeerUnavailable, match="chat: ConnectError"):
        operations.test_channel(watch.settings, database, "chat", "anna", watch.clock())
    assert trail(database) == [
        ("alert channel tested", "anna", {"channel": "chat", "answer": "HTTP 204 No Content"}),
        ("alert channel tested", "anna", {"channel": "chat", "answer": "chat: ConnectError"}),
    ]


def test_a_rule_is_silenced_and_told_of_again(database: Database, tmp_path: Path) -> None:
    watch = watching(database, tmp_path, "http://127.0.0.1:9")
    until = operations.silence(watch.settings, database, "it", timedelta(hours=2), "anna", watch.clock())
    assert until == watch.clock() + timedelta(hours=2)
    (rule, _) = operations.list_alerts(watch.settings, database, watch.clock()).rules
    assert (rule.silenced_until, rule.silenced_by) == (until, "anna")
    watch.fail_to_send()
    watch.clock.wait(1)
    watch.alerts.look()
    assert watch.notices() == []
    assert operations.silence(watch.settings, database, "it", None, "ben", watch.clock()) is None
    watch.alerts.look()
    assert len(watch.notices()) == 1
    assert [(what, who, detail["until"]) for what, who, detail in trail(database)] == [
        ("alert silenced", "anna", "2026-01-02T05:04:05+00:00"),
        ("alert silenced", "ben", None),
    ]


def test_a_name_that_is_none_is_told_with_those_that_there_are(database: Database, tmp_path: Path) -> None:
    settings = watching(database, tmp_path, "http://127.0.0.1:9").settings
    now = START
    with pytest.raises(NoSuchName, match=r"'chatt': no such channel; there are: chat; did you mean 'chat'\?"):
        operations.test_channel(settings, database, "chatt", "anna", now)
    with pytest.raises(NoSuchName, match=r"'dsk': no such rule; there are: it, disk; did you mean 'disk'\?"):
        operations.silence(settings, database, "dsk", None, "anna", now)
    assert trail(database) == []
