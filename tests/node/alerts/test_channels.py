"""The channels, to real servers: what arrives there, and what is said of those that do not take it."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from node.alerts.channels import open_way, place_of
from node.alerts.messages import Message, Notice, Origin
from node.config import AlertSettings
from node.config.alerts import Channel
from node.config.checks import listening_socket
from node.errors import PeerRefused, PeerUnavailable
from tests.node.alerts.watching import mail
from tests.node.on_demand.told import Told
from tests.node.send.telling import MailServer, mail_server
from tests.syslog_peer import syslog_server

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BEGUN = Notice("archive", "begun", "critical", "destination pacs is down", "Why.", "Look.", AT.isoformat(), None, "/")
OVER = Notice("archive", "over", "critical", "destination pacs is down", "It answers.", "", AT.isoformat(), None, "/")
MESSAGE = Message("0" * 32, AT, (BEGUN, OVER), Origin("KNEES", "https://condyle.example.org"))


def channel(**section: Any) -> Channel:
    return AlertSettings.model_validate({"channels": {"it": section}}).channels["it"]


def sent(of: Channel, message: Message = MESSAGE) -> str:
    with closing(open_way("it", of)) as way:
        return way.send(message)


@pytest.fixture
def port() -> int:
    with listening_socket("127.0.0.1", 0) as found:
        return int(found.getsockname()[1])


def test_a_mail_is_one_message_to_all(port: int) -> None:
    peer = MailServer()
    with mail_server(peer, port):
        assert sent(channel(**mail(port, recipients=["a@example.org", "b@example.org"]))) == "SMTP 250"
    (message,) = peer.messages
    assert peer.recipients == [["a@example.org", "b@example.org"]]
    assert message["Subject"] == "KNEES: 2 alerts, first destination pacs is down"
    assert (message["Message-ID"], message["Auto-Submitted"]) == (f"<{'0' * 32}@condyle.invalid>", "auto-generated")


@pytest.mark.parametrize("answer", ["554 spam", "451 busy"])
def test_a_mail_that_is_not_taken_is_said_to_be(port: int, answer: str) -> None:
    peer = MailServer()
    peer.data_answers = [answer]
    with mail_server(peer, port), pytest.raises(PeerRefused, match=f"it: SMTP {answer[:3]}: the message refused"):
        sent(channel(**mail(port)))


def test_a_webhook_gets_json_that_is_signed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret of the site")
    with Told() as told:
        of = channel(kind="webhook", url=told.url, secret_file=str(tmp_path / "secret"))
        assert sent(of) == "HTTP 204 No Content"
    (post,) = told.posts
    assert post.content["type"] == "condyle.alert"
    assert [alert["event"] for alert in post.content["data"]["alerts"]] == ["begun", "over"]
    assert post.headers["webhook-id"] == "0" * 32
    assert post.headers["webhook-signature"].startswith("v1,")


@pytest.mark.parametrize(("form", "key"), [("text", "text"), ("card", "attachments")])
def test_a_chat_gets_what_it_takes(form: str, key: str) -> None:
    with Told() as told:
        sent(channel(kind="webhook", url=told.url, format=form))
    assert key in told.posts[0].content
    assert "destination pacs is down" in json.dumps(told.posts[0].content)


def test_a_webhook_that_refuses_or_is_away_is_named(port: int) -> None:
    with Told(404, 503) as told:
        for status in (404, 503):
            with pytest.raises(PeerRefused, match=f"it: HTTP {status}"):
                sent(channel(kind="webhook", url=told.url))
    with pytest.raises(PeerUnavailable, match="it: ConnectError"):
        sent(channel(kind="webhook", url=f"http://127.0.0.1:{port}/"))


def test_syslog_gets_a_line_for_each() -> None:
    with syslog_server("tcp") as (peer, port):
        of = channel(kind="syslog", host="127.0.0.1", port=port, transport="tcp")
        assert sent(of) == "sent by TCP; syslog gives no answer"
        first, second = peer.wait_for(2)
    assert (first["priority"], first["kind"]) == (str(8 * 3 + 2), "alert-begun")  # daemon, critical
    assert (second["priority"], second["kind"]) == (str(8 * 3 + 5), "alert-over")  # daemon, notice
    assert first["text"].startswith("KNEES archive begun critical: destination pacs is down. Why.")


def test_channels_are_pinged_without_a_message(port: int) -> None:
    peer = MailServer()
    with mail_server(peer, port), closing(open_way("it", channel(**mail(port)))) as way:
        assert way.ping() == "answers"
    with Told() as told, closing(open_way("it", channel(kind="webhook", url=told.url))) as way:
        assert way.ping() == "answers: HTTP 204 No Content"
    with syslog_server("tcp") as (syslog, syslog_port):
        of = channel(kind="syslog", host="127.0.0.1", port=syslog_port, transport="tcp")
        with closing(open_way("it", of)) as way:
            assert way.ping() == "answers"
    assert (peer.messages, told.posts, syslog.raw) == ([], [], [])


def test_a_place_is_named_without_what_may_be_secret() -> None:
    assert place_of(channel(kind="webhook", url="https://u:p@chat.example.org/hooks/abc")) == "https://chat.example.org"
    assert place_of(channel(**mail(25))) == "a@b by 127.0.0.1"
    assert place_of(channel(kind="syslog", host="siem")) == "siem by UDP"
