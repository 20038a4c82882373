"""Notifications by HTTPS POST, with the headers of https://www.standardwebhooks.com: id, time and signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from dicom_sr.profile import ObjectFile
from node.config import WebhookDestination
from node.config.secret_files import bearer, read_secret
from node.errors import ConfigurationError, PeerUnavailable
from node.network.http_answer import HttpAnswer, HttpAsker, UnsuitableAnswer
from node.network.tls import destination_context
from node.send.delivery import Answer, Outcome
from node.send.notification_file import NOT_ONE, read_notification
from node.send.one_by_one import OneByOne

AWAY = {401, 403, 408, 425, 429, 502, 503, 504}  # the server as a whole, or what it knows of us: may be put right
ENCODED_SECRET = "whsec_"


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
        self._destination, self._clock = destination, clock
        context = destination_context(destination.tls) if destination.tls else True
        self._http = HttpAsker(destination.timeout_s, verify=context)

    def ping(self) -> str:
        """See whether the server answers at all; nothing is posted.

        Raises
        ------
        PeerUnavailable
            If it does not.
        """
        return f"answers: {self._ask('OPTIONS', b'', {}).phrase}"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(self, item: ObjectFile) -> Answer:
        content = b"" if item.sop_class_uid else self._content(item)
        if read_notification(content) is None:
            return Answer(Outcome.REFUSED, NOT_ONE)
        answer = self._ask("POST", content, self._signed(item.sop_instance_uid, content))
        if answer.is_success:
            return Answer(Outcome.DELIVERED, answer.phrase)
        if answer.status in AWAY:
            raise PeerUnavailable(f"{self._name}: {answer.phrase}")
        return Answer(Outcome.LATER if answer.status >= 500 else Outcome.REFUSED, answer.phrase)

    def _signed(self, uid: str, body: bytes) -> dict[str, str]:
        """The headers of one notification; its id tells the server what it has had before."""
        at = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": uid,
            "webhook-id": uid,
            "webhook-timestamp": at,
        }
        if self._destination.secret_file is not None:
            text = self._or_away(
                lambda path: read_secret(self._key("secret_file"), path), self._destination.secret_file
            )
            headers["webhook-signature"] = signature(secret_bytes(text), uid, at, body)
        return headers

    def _ask(self, method: str, body: bytes, headers: dict[str, str]) -> HttpAnswer:
        if (token_file := self._destination.token_file) is not None:  # read each time: tokens are renewed
            token = self._or_away(lambda path: bearer(self._key("token_file"), path), token_file)
            headers = {**headers, "Authorization": token}
        try:
            with self._http.answer(method, self._destination.url, content=body, headers=headers) as (status, told, _):
                return HttpAnswer(status, told, b"")  # nothing follows from what it says besides
        except (UnsuitableAnswer, httpx.HTTPError, OSError, ValueError) as error:
            raise PeerUnavailable(f"{self._name}: {type(error).__name__}") from error

    def _key(self, key: str) -> str:
        return f"destinations.{self._name}.{key}"

    def _or_away(self, read: Callable[[Path], str], path: Path) -> str:
        try:
            return read(path)
        except ConfigurationError as error:  # a file that is not there yet
            raise PeerUnavailable(str(error)) from error


def secret_bytes(text: str) -> bytes:
    """What a secret signs with: the bytes behind ``whsec_`` in base64, else the text itself."""
    if text.startswith(ENCODED_SECRET):
        try:
            return base64.b64decode(text.removeprefix(ENCODED_SECRET), validate=True)
        except binascii.Error:
            pass  # a text that happens to begin so
    return text.encode()


def signature(secret: bytes, uid: str, at: str, body: bytes) -> str:
    """HMAC-SHA256 over id, time and body, as the header says it."""
    digest = hmac.new(secret, f"{uid}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
