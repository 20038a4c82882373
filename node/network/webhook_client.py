"""JSON that is posted to a server, with the headers of https://www.standardwebhooks.com: id, time and signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import httpx

from node.config import Tls
from node.config.secret_files import bearer, read_secret
from node.errors import ConfigurationError, PeerUnavailable
from node.network.http_answer import HttpAnswer, HttpAsker, UnsuitableAnswer
from node.network.tls import destination_context

AWAY = {401, 403, 408, 425, 429, 502, 503, 504}  # the server as a whole, or what it knows of us: may be put right
ENCODED_SECRET = "whsec_"


class WebhookServer(Protocol):
    """What a section of the configuration says of a server that is posted to."""

    @property
    def secret_file(self) -> Path | None:
        """Signs what is sent."""

    @property
    def token_file(self) -> Path | None:
        """The bearer token that the server asks for."""

    @property
    def tls(self) -> Tls | None:
        """A client certificate, or a CA of the site's own."""

    @property
    def timeout_s(self) -> float:
        """How long the server may say nothing."""


class WebhookClient:
    """Posts to one server; for one thread at a time.

    Parameters
    ----------
    name
        Of the server; messages begin with it.
    key
        Of its section in the configuration.
    server
        That section.
    clock
        Seconds since 1970, for the header that is signed too.
    """

    def __init__(self, name: str, key: str, server: WebhookServer, clock: Callable[[], float] = time.time) -> None:
        self._name, self._key, self._server, self._clock = name, key, server, clock
        context = destination_context(server.tls) if server.tls else True
        self._http = HttpAsker(server.timeout_s, verify=context)

    def post(self, url: str, uid: str, body: bytes) -> HttpAnswer:
        """Post JSON under an id that tells the server what it has had before.

        Raises
        ------
        PeerUnavailable
            If the server cannot be reached, or a file with what it is shown cannot be read now.
        """
        return self.ask("POST", url, body, self._signed(uid, body))

    def ask(self, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> HttpAnswer:
        """Ask anything, with the token; no redirect is followed. Raises what `post` does."""
        headers = {} if headers is None else headers
        if (token_file := self._server.token_file) is not None:  # read each time: tokens are renewed
            token = self._or_away(lambda path: bearer(f"{self._key}.token_file", path), token_file)
            headers = {**headers, "Authorization": token}
        try:
            with self._http.answer(method, url, content=body, headers=headers) as (status, told, _):
                return HttpAnswer(status, told, b"")  # nothing follows from what it says besides
        except (UnsuitableAnswer, httpx.HTTPError, OSError, ValueError) as error:
            raise PeerUnavailable(f"{self._name}: {type(error).__name__}") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _signed(self, uid: str, body: bytes) -> dict[str, str]:
        at = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": uid,
            "webhook-id": uid,
            "webhook-timestamp": at,
        }
        if (secret_file := self._server.secret_file) is not None:
            text = self._or_away(lambda path: read_secret(f"{self._key}.secret_file", path), secret_file)
            headers["webhook-signature"] = signature(secret_bytes(text), uid, at, body)
        return headers

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
