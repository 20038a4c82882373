"""Which receiver of the configuration an address belongs to that a request names; other addresses are never asked."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import httpx

from node.config import CallbackReceiver
from node.route.by_hand import UnknownName


def receiver_of(url: str, receivers: Mapping[str, CallbackReceiver]) -> tuple[str, str]:
    """Name of the receiver, the one with the longest address where several fit, and the address as it is asked.

    Raises
    ------
    UnknownName
        If the address lies at or below that of no receiver.
    """
    by_length = sorted(receivers.items(), key=lambda item: len(item[1].url), reverse=True)
    for name, receiver in by_length:
        if (asked := _below(url, receiver.url)) is not None:
            return name, asked
    there = ", ".join(receivers) or "none"
    raise UnknownName(f"callback: is at or below no address of run_requests.callbacks; there are: {there}")


def _below(url: str, allowed: str) -> str | None:
    """The address as httpx understands and asks it, if it is the allowed one or lies below it in plain sight."""
    try:
        asked, top = httpx.URL(url), httpx.URL(allowed)
        path = asked.raw_path.partition(b"?")[0].decode("ascii")
    except (httpx.InvalidURL, ValueError):
        return None
    if asked.userinfo or asked.fragment or _server(asked) != _server(top):
        return None
    if not all(map(_is_plain, path.split("/"))):
        return None
    above = top.raw_path.decode("ascii").rstrip("/")
    return str(asked) if path == above or path.startswith(f"{above}/") else None


def _server(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port  # None: that of the scheme, also where it is said


def _is_plain(segment: str) -> bool:
    """Whether no server can take a segment of a path for a way up or for several."""
    meant = unquote(segment)
    return meant not in (".", "..") and meant.isprintable() and not any(sign in meant for sign in "/\\%;")
