"""Notifications by HTTPS POST."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dicom_sr.profile import ObjectFile
from node.config import WebhookDestination
from node.errors import PeerUnavailable
from node.network.webhook_client import AWAY, WebhookClient
from node.send.delivery import Answer, Outcome
from node.send.notification_file import NOT_ONE, read_notification
from node.send.one_by_one import OneByOne


class WebhookDelivery(OneByOne):
    """Posts each notification as JSON, under an id that is the same however often it is sent.

    Parameters
    ----------
    name
        Of the destination; messages begin with it.
    destination
        Its section of the configuration.
    key_file
        Opens notifications that are sealed.
    clock
        Seconds since 1970, for the header that is signed too.
    """

    def __init__(
        self,
        name: str,
        destination: WebhookDestination,
        key_file: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name, key_file)
        self._url, self._client = destination.url, WebhookClient(name, f"destinations.{name}", destination, clock)

    def ping(self) -> str:
        """See whether the server answers at all; nothing is posted.

        Raises
        ------
        PeerUnavailable
            If it does not.
        """
        return f"answers: {self._client.ask('OPTIONS', self._url).phrase}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, item: ObjectFile) -> Answer:
        content = b"" if item.sop_class_uid else self._content(item)
        if read_notification(content) is None:
            return Answer(Outcome.REFUSED, NOT_ONE)
        answer = self._client.post(self._url, item.sop_instance_uid, content)
        if answer.is_success:
            return Answer(Outcome.DELIVERED, answer.phrase)
        if answer.status in AWAY:
            raise PeerUnavailable(f"{self._name}: {answer.phrase}")
        return Answer(Outcome.LATER if answer.status >= 500 else Outcome.REFUSED, answer.phrase)
