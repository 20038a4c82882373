"""Who may use what the node offers by HTTP: this machine, or whoever shows the token. One rule for all ways in.

The pages know people too: `node.access.callers`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import HTTPConnection

from node.config import Network, TokenSection
from node.config.secret_files import read_token
from node.network.addresses import address_of, bare, is_loopback, within

UNAUTHORIZED, FORBIDDEN = 401, 403
# A request that has one of these came through a proxy (RFC 7239 5, and what was usual before).
NAMES = {
    name.lower(): name
    for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
}
FORWARDED = tuple(NAMES)


class Refusal(NamedTuple):
    """Why a caller may not, as an HTTP status and a sentence for the caller."""

    status: int
    sentence: str


class SignIn:
    """The rule for one way in.

    With a token, every caller must show it. Without one, only this machine may; a request that somebody forwarded is
    not from this machine, unless the forwarder is one of the trusted proxies and names a caller on this machine.

    Parameters
    ----------
    key
        Of the section in the configuration, for messages.
    settings
        The section with the token.
    proxies
        Networks of the proxies whose word about the caller's address is taken.
    Raises
    ------
    ConfigurationError
        If the token file cannot be read, or holds no token.
    """

    def __init__(self, key: str, settings: TokenSection, proxies: Sequence[Network] = ()) -> None:
        self._key, self._proxies = key, proxies
        token = read_token(key, settings.token, settings.token_file)
        self._token = None if token is None else token.encode()

    def refusal(self, request: HTTPConnection) -> Refusal | None:
        """Why this caller may not; None if they may."""
        if self._token is not None:
            shown = shown_token(request)[1]
            if hmac.compare_digest(shown, self._token):  # takes as long for a wrong token as for the right one
                return None
            return Refusal(UNAUTHORIZED, f"The token of {self._key}.token_file is needed")
        if is_loopback(caller_address(request, self._proxies)):
            return None
        only = f"Only this machine may, as the configuration sets no {self._key}.token_file"
        return Refusal(FORBIDDEN, f"{only}; {seen(request, self._proxies)}")


def caller_address(request: HTTPConnection, proxies: Sequence[Network]) -> str:
    """The address that a request came from first, as far as those who forwarded it can be trusted; empty if unknown."""
    sender = request.client.host if request.client else ""
    if not any(header in request.headers for header in FORWARDED):
        return sender
    if not within(sender, proxies):
        return ""
    hops = _forwarded_for(request)
    # read from our end: the first hop that is no trusted proxy is the caller; what it says of others is not taken
    first = next((hop for hop in reversed(hops) if not within(hop, proxies)), hops[0] if hops else "")
    return first if address_of(first) is not None else ""


def seen(request: HTTPConnection, proxies: Sequence[Network]) -> str:
    """What a request that is not from this machine was told by, and what has to be set if it is."""
    sender = (request.client.host if request.client else "") or "an unknown address"
    headers = " and ".join(NAMES[header] for header in FORWARDED if header in request.headers)
    if not headers:
        return f"the request came from {sender}"
    if not within(sender, proxies):
        return (
            f"the request came from {sender} and has {headers}, so somebody forwarded it; "
            f"if {sender} is a proxy of yours, name it in status.trusted_proxies"
        )
    if address := caller_address(request, proxies):
        return f"the proxy {sender} says that the request came from {address}"
    return (
        f"the proxy {sender} sent {headers}, which does not tell where the request came from; "
        "have the proxy set X-Forwarded-For, or Forwarded, and not both"
    )


def _forwarded_for(request: HTTPConnection) -> list[str]:
    """The addresses that the request names as those it came from, the first caller first."""
    older, newer = request.headers.getlist("x-forwarded-for"), request.headers.getlist("forwarded")
    if older and newer:  # a caller may have sent the one that the proxy does not write
        return []
    if older:
        return [bare(hop) for value in older for hop in value.split(",")]
    return [bare(_pair(hop, "for")) for value in newer for hop in value.split(",")]


def forwarded_hosts(request: HTTPConnection, proxies: Sequence[Network]) -> list[str]:
    """The names, with their ports, that callers used for the node, as a trusted proxy says; of others nothing."""
    if request.client is None or not within(request.client.host, proxies):
        return []
    older = [host for value in request.headers.getlist("x-forwarded-host") for host in value.split(",")]
    newer = [_pair(hop, "host") for value in request.headers.getlist("forwarded") for hop in value.split(",")]
    return [host.strip().strip('"') for host in (*older, *newer) if host.strip()]


def _pair(hop: str, wanted: str) -> str:
    """The value of ``for=`` or ``host=`` in one element of a Forwarded header, RFC 7239 4."""
    pairs = (pair.strip().partition("=") for pair in hop.split(";"))
    return next((value for name, _, value in pairs if name.strip().lower() == wanted), "")


def shown_token(request: HTTPConnection) -> tuple[str, bytes]:
    """How a caller shows a token, and the token: as a bearer, or as the password that a browser asks for (RFC 7617)."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    scheme = scheme.lower()
    if scheme == "bearer":
        return scheme, shown.strip().encode()
    if scheme == "basic":
        try:
            return scheme, base64.b64decode(shown.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return scheme, b""
    return scheme, b""
