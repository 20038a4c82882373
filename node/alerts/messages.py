"""What a channel is told: one or more notices of alerts in a message, as e-mail, JSON or syslog has it."""

from __future__ import annotations

import html
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from dicom_sr.words import counted, escaped
from node.config.alerts import ResultMade, Told
from node.database.alerts import Event
from node.database.tables import AlertRow

Form = Literal["standard", "text", "card"]
TEST_RULE = "test"
HEADS = {Event.BEGUN: "", Event.LASTING: "still: ", Event.OVER: "over: "}


@dataclass(frozen=True)
class Notice:
    """What is told of one alert; no patient's name or ID, and no UID unless its rule says so."""

    rule: str
    event: str  # an Event
    severity: str
    title: str  # in a few words
    sentence: str  # with the facts
    advice: str  # what to do
    since: str  # ISO 8601 with zone
    ended: str | None
    path: str  # on the status page
    holds_back: bool = True  # whether `condyle alerts silence` holds it back
    happened: bool = False  # it is of a moment, and does not last

    def as_json(self) -> dict[str, Any]:
        """As the database has it."""
        return asdict(self)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Notice:
        """What `as_json` gave, also that of a version which knew more."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in names})


@dataclass(frozen=True)
class Origin:
    """Who tells."""

    ae_title: str
    page_url: str = ""  # of the status page; empty: no links

    @property
    def host(self) -> str:
        """The machine."""
        return socket.gethostname()


@dataclass(frozen=True)
class Message:
    """What goes to a channel at a time."""

    id: str  # the same however often it is sent
    at: datetime  # timezone aware
    notices: tuple[Notice, ...]
    origin: Origin

    def link(self, notice: Notice) -> str:
        """Where on the status page there is more; empty without its address."""
        return f"{self.origin.page_url.rstrip('/')}{notice.path}" if self.origin.page_url and notice.path else ""


def notice_of(rule: Told, alert: AlertRow, event: Event) -> Notice:
    """What is told of an alert."""
    over = event is Event.OVER
    return Notice(
        rule=alert.rule,
        event=event,
        severity=alert.severity,
        title=alert.title,
        sentence=alert.ending if over else alert.sentence,
        advice="" if over else alert.advice,
        since=alert.since.isoformat(timespec="seconds"),
        ended=alert.ended.isoformat(timespec="seconds") if over and alert.ended is not None else None,
        path=alert.link,
        holds_back=not over,
        happened=isinstance(rule, ResultMade),
    )


def trial_notice(channel: str, who: str, now: datetime) -> Notice:
    """What is told to try a channel."""
    return Notice(
        rule=TEST_RULE,
        event=Event.BEGUN,
        severity="info",
        title=f"test of the channel {channel}",
        sentence=f"This is a test, asked for by {who}. Nothing is wrong.",
        advice="",
        since=now.isoformat(timespec="seconds"),
        ended=None,
        path="",
        holds_back=False,
    )


def subject(message: Message) -> str:
    """In one line: which node, and what."""
    first = message.notices[0]
    if len(message.notices) == 1:
        return escaped(f"{message.origin.ae_title}: {_head(first)}")
    return escaped(f"{message.origin.ae_title}: {counted(len(message.notices), 'alert')}, first {_head(first)}")


def lines(message: Message) -> list[str]:
    """The text of an e-mail."""
    return [escaped(line) for line in _lines(message)]


def _lines(message: Message) -> Iterator[str]:
    for notice in message.notices:
        urgent = "Critical: " if notice.severity == "critical" and notice.event != Event.OVER else ""
        yield f"{urgent}{_head(notice)}"
        yield notice.sentence
        yield _when(notice)
        if notice.advice:
            yield f"What to do: {notice.advice}"
        if link := message.link(notice):
            yield link
        if notice.holds_back:
            yield f"Rule {notice.rule}; to hold it back: condyle alerts silence {notice.rule} --for 2h"
        yield ""
    yield f"Node {message.origin.ae_title} on {message.origin.host}"


def syslog_text(message: Message, notice: Notice) -> str:
    """In one line."""
    facts = f"{message.origin.ae_title} {notice.rule} {notice.event} {notice.severity}"
    parts = (f"{facts}: {_head(notice)}.", notice.sentence, _when(notice), notice.advice, message.link(notice))
    return escaped(" ".join(filter(None, parts)))


# ---- JSON
def body(message: Message, form: Form) -> dict[str, Any]:
    """What is posted, in the form that the receiver takes."""
    if form == "text":
        return {"text": "\n\n".join(_marked_up(message, notice) for notice in message.notices)}
    return _card(message) if form == "card" else _standard(message)


def _standard(message: Message) -> dict[str, Any]:
    """Type, time and data, as https://www.standardwebhooks.com has it."""
    alerts = [{**notice.as_json(), "link": message.link(notice) or None} for notice in message.notices]
    for alert in alerts:
        del alert["path"], alert["holds_back"], alert["happened"]
    return {
        "type": "condyle.alert",
        "timestamp": message.at.isoformat(timespec="seconds"),
        "data": {"node": message.origin.ae_title, "host": message.origin.host, "alerts": alerts},
    }


def _marked_up(message: Message, notice: Notice) -> str:
    head = f"**{_plain(message.origin.ae_title)}: {_plain(_head(notice))}**"
    if notice.severity == "critical" and notice.event != Event.OVER:
        head = f":rotating_light: {head}"
    advice = f"What to do: {_plain(notice.advice)}" if notice.advice else ""
    link = f"[Page]({message.link(notice)})" if message.link(notice) else ""
    return "\n".join(filter(None, (head, _plain(notice.sentence), _when(notice), advice, link)))


def _card(message: Message) -> dict[str, Any]:
    """A message with an Adaptive Card, as a workflow of Teams takes it."""
    blocks: list[dict[str, Any]] = []
    for notice in message.notices:
        color = {"critical": "attention", "warning": "warning"}.get(notice.severity, "default")
        color = "good" if notice.event == Event.OVER else color
        head = f"{_plain(message.origin.ae_title)}: {_plain(_head(notice))}"
        blocks.append({"type": "TextBlock", "text": head, "weight": "bolder", "color": color, "wrap": True})
        advice = f"What to do: {_plain(notice.advice)}" if notice.advice else ""
        for text in filter(None, (_plain(notice.sentence), _when(notice), advice)):
            blocks.append({"type": "TextBlock", "text": text, "wrap": True, "spacing": "small"})
    links = dict.fromkeys(filter(None, (message.link(notice) for notice in message.notices)))
    actions = [{"type": "Action.OpenUrl", "title": "Page", "url": link} for link in list(links)[:1]]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
        "actions": actions,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


# ---- words
def _head(notice: Notice) -> str:
    return f"{HEADS[Event(notice.event)]}{notice.title}"


def _when(notice: Notice) -> str:
    if notice.rule == TEST_RULE:
        return ""
    if notice.ended is not None:
        return f"From {_local(notice.since)} to {_local(notice.ended)}."
    return f"{'At' if notice.happened else 'Since'} {_local(notice.since)}."


def _local(moment: str) -> str:
    """In the time zone of the machine."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _plain(text: str) -> str:
    """A text in which nothing is a mention, a link or a tag to a chat: titles of strangers may stand in it."""
    shown = html.escape(escaped(text), quote=False).replace("@", "(at)")
    return "".join(f"\\{sign}" if sign in "*_`[]~|\\" else sign for sign in shown)
