"""The ways by which people are told: e-mail, webhooks, syslog."""

from __future__ import annotations

import json
from email.utils import format_datetime
from typing import Protocol

from node.alerts.messages import Message, Notice, body, lines, subject, syslog_text
from node.config.alerts import Channel, EmailChannel, SyslogChannel, WebhookChannel
from node.config.notifications import without_path
from node.database.alerts import Event
from node.errors import PeerRefused
from node.network.smtp_client import Mailed, SmtpClient, plain_mail
from node.network.syslog_client import Line, Severity, SyslogClient
from node.network.webhook_client import WebhookClient

SEVERITIES = {"critical": Severity.CRITICAL, "warning": Severity.WARNING, "info": Severity.INFORMATIONAL}


class Way(Protocol):
    """A way to those who are told, opened when needed; for one thread at a time."""

    def send(self, message: Message) -> str:
        """Send a message, and return what the server answered.

        Raises
        ------
        PeerUnavailable
            If the server cannot be reached, or does not know us.
        PeerRefused
            If it does not take the message.
        """

    def ping(self) -> str:
        """See whether the server answers; nothing is sent. Raises `PeerUnavailable` if it does not."""

    def close(self) -> None:
        """End the connection, if there is one."""


def open_way(name: str, channel: Channel) -> Way:
    """The way of a channel, nothing connected yet.

    Parameters
    ----------
    name
        Of the channel; messages begin with it.
    channel
        Its section of the configuration.

    Raises
    ------
    OSError
        If its certificate cannot be used.
    """
    if isinstance(channel, EmailChannel):
        return EmailWay(name, channel)
    return WebhookWay(name, channel) if isinstance(channel, WebhookChannel) else SyslogWay(name, channel)


def place_of(channel: Channel) -> str:
    """Where a channel leads, for people, without what may be secret."""
    if isinstance(channel, WebhookChannel):
        return without_path(channel.url)
    if isinstance(channel, EmailChannel):
        return f"{', '.join(channel.recipients)} by {channel.host}"
    return f"{channel.host} by {channel.transport.upper()}"


class EmailWay:
    """One message to all recipients."""

    def __init__(self, name: str, channel: EmailChannel) -> None:
        self._name, self._channel = name, channel
        self._client = SmtpClient(name, f"alerts.channels.{name}", channel)

    def send(self, message: Message) -> str:
        """Send it; see `Way`."""
        try:
            answer = self._client.send(
                plain_mail(self._channel, subject(message), lines(message), message.id, format_datetime(message.at))
            )
        finally:
            self._client.close()  # the next one may be due in a month
        if answer.outcome is not Mailed.TAKEN:
            raise PeerRefused(f"{self._name}: {answer.text}")
        return answer.text

    def ping(self) -> str:
        """Connect and sign in."""
        return self._client.ping()

    def close(self) -> None:
        """End the connection."""
        self._client.close()


class WebhookWay:
    """JSON that is posted, under an id that is the same however often it is sent."""

    def __init__(self, name: str, channel: WebhookChannel) -> None:
        self._name, self._channel = name, channel
        self._client = WebhookClient(name, f"alerts.channels.{name}", channel)

    def send(self, message: Message) -> str:
        """Post it; see `Way`."""
        content = json.dumps(body(message, self._channel.format)).encode()
        answer = self._client.post(self._channel.url, message.id, content)
        if not answer.is_success:
            raise PeerRefused(f"{self._name}: {answer.phrase}")
        return answer.phrase

    def ping(self) -> str:
        """See whether the server answers at all; nothing is posted."""
        return f"answers: {self._client.ask('OPTIONS', self._channel.url).phrase}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class SyslogWay:
    """A line for each notice."""

    def __init__(self, name: str, channel: SyslogChannel) -> None:
        self._client = SyslogClient(name, channel)

    def send(self, message: Message) -> str:
        """Send them; see `Way`."""
        return self._client.send(*(_line(message, notice) for notice in message.notices))

    def ping(self) -> str:
        """Connect, where there is a connection."""
        return self._client.ping()

    def close(self) -> None:
        """Nothing stays open."""


def _line(message: Message, notice: Notice) -> Line:
    severity = Severity.NOTICE if notice.event == Event.OVER else SEVERITIES[notice.severity]
    return Line(syslog_text(message, notice), severity, message.at, f"alert-{notice.event}")
