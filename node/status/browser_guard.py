"""Keeps web pages of others away: a browser on a machine that may use the node also shows pages of strangers.

Such a page can have the browser send requests to any address, and by making a name of its own point at the node (DNS
rebinding) even read the answers. So the node answers under names of its own only, and takes nothing from pages that are
not its own. Programs that are no browser send neither Origin nor Sec-Fetch-Site, and are not touched.
"""

from __future__ import annotations

import functools
import re
import socket
from collections.abc import Sequence
from typing import NamedTuple

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dicom_sr.words import escaped
from node.config import StatusSettings
from node.config.certificates import names_in
from node.network.addresses import address_of
from node.network.sign_in import forwarded_hosts
from node.status.connections import Reason, Refusals

MISDIRECTED, FORBIDDEN = 421, 403
READING = ("GET", "HEAD", "OPTIONS")
LONGEST_NAME = 253  # RFC 1035 2.3.4
# RFC 9110 7.2: a name, an IPv4 address, or an IPv6 address in brackets
HOST = re.compile(
    r"(\[(?P<ipv6>[\da-f.]*:[\da-f.:]*(%[\w.~%-]+)?)\]|(?P<name>[\w.-]+))(:(?P<port>\d{0,5}))?",
    re.ASCII | re.IGNORECASE,
)
HIGHEST_PORT = 65535
DEFAULT_PORT = {"http": ":80", "https": ":443"}


class _Refused(NamedTuple):
    status: int
    reason: Reason
    sentence: str
    name: str | None  # of whom it was asked for, or from which page


class BrowserGuard:
    """Passes on to `app` what a page of others cannot have sent, or cannot do harm with.

    Parameters
    ----------
    app
        Any ASGI application.
    settings
        Names of the node, and trusted proxies, which say under which name they were asked.
    refusals
        Counts what was refused.
    """

    def __init__(self, app: ASGIApp, settings: StatusSettings, refusals: Refusals) -> None:
        self._app, self._refusals, self._proxies = app, refusals, settings.trusted_proxies
        certificate = names_in(settings.tls.certificate) if settings.tls else []
        named = ("localhost", "*.localhost", settings.host, *settings.allowed_hosts, *certificate)
        self._names = frozenset(_plain(name) for name in named)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = await self._refused(HTTPConnection(scope), scope["method"]) if scope["type"] == "http" else None
        if refused is None:
            await self._app(scope, receive, send)
            return
        self._refusals.add(refused.reason, refused.name)
        answer = PlainTextResponse(f"{refused.sentence}.\n", refused.status, {"Connection": "close"})
        await answer(scope, receive, send)

    async def _refused(self, request: HTTPConnection, method: str) -> _Refused | None:
        hosts = [*request.headers.getlist("host"), *forwarded_hosts(request, self._proxies)]
        for host in hosts:
            if not await self._is_ours(host):
                shown = escaped(host[:LONGEST_NAME])
                sentence = (
                    f"{shown!r} is no name of this node that it knows; if it is one, add it to status.allowed_hosts"
                )
                return _Refused(MISDIRECTED, "foreign host", sentence, shown)
        if (origin := _foreign_origin(request.headers, hosts)) is not None:
            sentence = f"Nothing is taken from pages of others, and {origin!r} is none of the node's"
            return _Refused(FORBIDDEN, "foreign page", sentence, origin)
        if method not in READING and request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return _Refused(FORBIDDEN, "foreign page", "Nothing is taken from pages of others", None)
        return None

    async def _is_ours(self, host: str) -> bool:
        found = HOST.fullmatch(host)
        if found is None or int(found["port"] or 0) > HIGHEST_PORT:
            return False
        name = _plain(found["ipv6"] or found["name"])
        if address_of(name) is not None:  # no name that could be made to point elsewhere
            return True
        if name in self._names or f"*.{name.partition('.')[2]}" in self._names:
            return True
        return name in await to_thread.run_sync(_names_of_machine)


@functools.cache
def _names_of_machine() -> frozenset[str]:
    """What the machine calls itself; may ask a name server, once."""
    return frozenset({_plain(socket.gethostname()), _plain(socket.getfqdn())})


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _foreign_origin(headers: Headers, hosts: Sequence[str]) -> str | None:
    """The origin of the page that the request comes from, where it is none of the node's."""
    for origin in headers.getlist("origin"):
        scheme, _, place = origin.lower().partition("://")
        port = DEFAULT_PORT.get(scheme, "")
        ours = {host.lower().removesuffix(port) for host in hosts}
        if scheme not in DEFAULT_PORT or place.removesuffix(port) not in ours:
            return escaped(origin[:LONGEST_NAME])
    return None
