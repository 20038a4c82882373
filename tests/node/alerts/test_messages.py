"""What people read: plain sentences, and JSON in the forms that chats and programs take."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from node.alerts.messages import Message, Notice, Origin, body, lines, subject, syslog_text, trial_notice

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE = Notice(
    rule="archive",
    event="begun",
    severity="critical",
    title="destination pacs is down",
    sentence="Nothing has arrived there since; 2 objects to be sent wait.",
    advice="See whether it runs.",
    since="2026-01-02T03:00:00+00:00",
    ended=None,
    path="/#destinations",
)


def message(*notices: Notice, page_url: str = "https://condyle.example.org/") -> Message:
    return Message("abc", AT, notices, Origin("KNEES", page_url))


def changed(**more: Any) -> Notice:
    return Notice.read({**ONE.as_json(), **more, "of a newer version": 1})


OVER = changed(event="over", ended="2026-01-02T03:30:00+00:00", advice="", sentence="It answers.", holds_back=False)


def test_an_email_says_what_since_when_and_what_to_do() -> None:
    assert subject(message(ONE)) == "KNEES: destination pacs is down"
    since = datetime.fromisoformat(ONE.since).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    assert lines(message(ONE))[:-2] == [
        "Critical: destination pacs is down",
        "Nothing has arrived there since; 2 objects to be sent wait.",
        f"Since {since}.",
        "What to do: See whether it runs.",
        "https://condyle.example.org/#destinations",
        "Rule archive; to hold it back: condyle alerts silence archive --for 2h",
    ]
    assert lines(message(ONE))[-1].startswith("Node KNEES on ")
    assert "https://" not in "\n".join(lines(message(ONE, page_url="")))


def test_the_end_is_told_with_its_time_and_without_advice() -> None:
    assert subject(message(OVER)) == "KNEES: over: destination pacs is down"
    text = "\n".join(lines(message(OVER)))
    assert "From 2026-01-0" in text
    assert "Critical" not in text
    assert "silence" not in text


def test_many_are_counted_in_the_subject() -> None:
    assert subject(message(changed(event="lasting"), OVER)) == "KNEES: 2 alerts, first still: destination pacs is down"


def test_what_a_stranger_is_called_changes_no_line_and_calls_nobody() -> None:
    hostile = changed(title="sender @channel\r\nBcc: x@y <!here> [a](http://b) is refused")
    assert "\n" not in subject(message(hostile))
    assert all("\n" not in line and "\r" not in line for line in lines(message(hostile)))
    assert "\n" not in syslog_text(message(hostile), hostile)
    text = str(body(message(hostile), "text")["text"])
    assert "@" not in text
    assert "<!here>" not in text
    assert "[a](http" not in text


def test_programs_get_every_fact() -> None:
    made = body(message(ONE, OVER), "standard")
    assert (made["type"], made["timestamp"]) == ("condyle.alert", "2026-01-02T03:04:05+00:00")
    first, second = made["data"]["alerts"]
    assert (made["data"]["node"], first["rule"], first["event"], first["severity"]) == (
        "KNEES",
        "archive",
        "begun",
        "critical",
    )
    assert first["link"] == "https://condyle.example.org/#destinations"
    assert second["ended"] == "2026-01-02T03:30:00+00:00"
    assert "path" not in first


def test_a_chat_gets_one_text_and_teams_a_card() -> None:
    text = body(message(ONE, OVER), "text")
    assert list(text) == ["text"]
    assert text["text"].startswith(":rotating_light: **KNEES: destination pacs is down**\nNothing has arrived")
    assert "[Page](https://condyle.example.org/#destinations)" in text["text"]
    card = body(message(ONE, OVER), "card")
    (attachment,) = card["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    colors = [block["color"] for block in attachment["content"]["body"] if "color" in block]
    assert colors == ["attention", "good"]
    assert [one["url"] for one in attachment["content"]["actions"]] == ["https://condyle.example.org/#destinations"]


def test_a_line_for_syslog_begins_with_what_is_sorted_by() -> None:
    line = syslog_text(message(ONE), ONE)
    assert line.startswith("KNEES archive begun critical: destination pacs is down. Nothing has arrived there since;")


def test_a_test_says_that_it_is_one() -> None:
    text = "\n".join(lines(message(trial_notice("mail", "anna", AT))))
    assert "This is a test, asked for by anna. Nothing is wrong." in text
    assert "Since" not in text
