"""Notifications by e-mail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from dicom_sr.profile import ObjectFile
from node.config import EmailDestination
from node.network.smtp_client import Mailed, SmtpClient
from node.send.delivery import Answer, Outcome
from node.send.email_text import email
from node.send.notification_file import NOT_ONE, read_notification
from node.send.one_by_one import OneByOne

OUTCOMES = {
    Mailed.TAKEN: Outcome.DELIVERED,
    Mailed.LATER: Outcome.LATER,
    Mailed.REFUSED: Outcome.REFUSED,
    Mailed.UNCLEAR: Outcome.UNCLEAR,
}


class EmailDelivery(OneByOne):
    """Sends each notification as one message to all recipients. Its Message-ID is the same however often it is sent.

    Parameters
    ----------
    name
        Of the destination; messages begin with it.
    destination
        Its section of the configuration.
    key_file
        Opens notifications that are sealed.
    clock
        Now, timezone aware, for the message's date.
    """

    def __init__(
        self,
        name: str,
        destination: EmailDestination,
        key_file: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, key_file)
        self._destination, self._clock = destination, clock
        self._client = SmtpClient(name, f"destinations.{name}", destination)

    def ping(self) -> str:
        """Connect and sign in; nothing is sent.

        Raises
        ------
        PeerUnavailable
            If that cannot be done.
        """
        return self._client.ping()

    def close(self) -> None:
        """End the connection, if there is one."""
        self._client.close()

    def _send(self, item: ObjectFile) -> Answer:
        told = None if item.sop_class_uid else read_notification(self._content(item))
        if told is None:
            return Answer(Outcome.REFUSED, NOT_ONE)
        answer = self._client.send(
            email(told, item.sop_instance_uid, self._destination, format_datetime(self._clock()))
        )
        return Answer(OUTCOMES[answer.outcome], answer.text)
