"""The page shows what is wrong with what to do, what is over, and who is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.database.connection import Database, open_database
from node.database.migrations import migrate
from node.status.app import build_app
from tests.node.alerts.watching import MINUTE, Watching, configuration
from tests.node.on_demand.told import Told
from tests.node.status.pages.acting_page import act_on
from tests.serving import client_of

NOBODY = "http://127.0.0.1:9/"  # the discard port: nothing listens


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


def shown(watch: Watching) -> str:
    with client_of(build_app(watch.settings, watch.database), accept="text/html") as client:
        return " ".join(client.get("/alerts").text.split())


def test_what_is_wrong_is_shown_with_what_to_do_and_then_as_over(database: Database, tmp_path: Path) -> None:
    with Told() as told:
        channels = {"chat": {"kind": "webhook", "url": told.url}}
        rules = {"it": {"kind": "destination_down", "after": "0s", "calm": "0s"}}
        watch = Watching(database, configuration(tmp_path, channels=channels, rules=rules))
        assert "Nothing is wrong that a rule asks for." in shown(watch)
        watch.fail_to_send()
        watch.round(MINUTE)
        text = shown(watch)
        assert '<a href="/#destinations">destination pacs is down</a>' in text
        assert "condyle check --online asks it" in text
        assert '<span class="badge sent">sent</span>' in text
        watch.send_at_last()
        watch.round(MINUTE)
        text = shown(watch)
    assert "Nothing is wrong that a rule asks for." in text
    assert "<h2>Over</h2>" in text


def test_a_node_that_tells_nobody_says_so(database: Database, tmp_path: Path) -> None:
    text = shown(Watching(database, configuration(tmp_path)))
    assert "Nobody is told of anything" in text
    assert "<table" not in text


def test_a_channel_is_sent_a_test_and_a_rule_is_silenced_from_the_page(database: Database, tmp_path: Path) -> None:
    with Told() as told:
        channels = {"chat": {"kind": "webhook", "url": told.url}, "gone": {"kind": "webhook", "url": NOBODY}}
        rules = {"it": {"kind": "destination_down"}}
        watch = Watching(database, configuration(tmp_path, channels=channels, rules=rules))
        with client_of(build_app(watch.settings, watch.database), accept="text/html") as client:
            assert "Send a test" in client.get("/alerts").text
            sent = act_on(client, "/alerts/channels/chat/test")
            assert (sent.status_code, sent.headers["location"]) == (303, "/alerts?done=tested")
            assert len(told.posts) == 1
            assert act_on(client, "/alerts/channels/gone/test").status_code == 409
            assert client.get("/alerts/channels/nobody/test").status_code == 404
            assert client.post("/alerts/channels/chat/test", data={"token": "x"}).status_code == 403
            act_on(client, "/alerts/rules/it/silence", hours="4")
            silenced = client.get("/alerts").text
            assert act_on(client, "/alerts/rules/it/silence", hours="5000").status_code == 404
            act_on(client, "/alerts/rules/it/silence", hours="0")
            heard = client.get("/alerts").text
    assert re.search(r'data-th="Silenced until"[^>]*><time', silenced)
    assert not re.search(r'data-th="Silenced until"[^>]*><time', heard)
