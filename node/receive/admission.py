"""Who may open an association, and how many: allow-lists and limits, the same for the fast and the plain server."""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from node.config import Dimse, Peer

UNKNOWN_PEER_ASSOCIATIONS = 16  # per address, where peers need not be known


class Rejection(NamedTuple):
    """An A-ASSOCIATE-RJ (PS3.8 9.3.4): result, source, diagnostic; and the reason in words for the record."""

    result: int
    source: int
    diagnostic: int
    reason: str


CALLED = (1, 1, 7)  # permanent, service user: called AE title not recognised
CALLING = (1, 1, 3)  # permanent, service user: calling AE title not recognised
BUSY = (2, 3, 2)  # transient, service provider (presentation): local limit exceeded


class Admission:
    """Decides on each A-ASSOCIATE-RQ; counts what it let in until `leave`."""

    def __init__(self, settings: Dimse, ae_title: str, peers: Mapping[str, Peer]) -> None:
        self._settings = settings
        self._called = frozenset({ae_title.strip(), *(title.strip() for title in settings.ae_titles)})
        self._peers: dict[str, list[tuple[str, Peer]]] = {}
        for name, peer in peers.items():
            self._peers.setdefault(peer.ae_title.strip(), []).append((name, peer))
        self._lock = threading.Lock()
        self._inside: Counter[str] = Counter()

    def enter(self, calling_ae_title: str, called_ae_title: str, address: str) -> str | Rejection:
        """The key to give back to `leave`, or why not."""
        if self._settings.require_called_ae_title and called_ae_title.strip() not in self._called:
            return Rejection(*CALLED, "Called AE title is not ours")
        peer = self.peer(calling_ae_title, address)
        if peer is None and self._settings.require_known_peer:
            known = calling_ae_title.strip() in self._peers
            return Rejection(
                *CALLING,
                "The address is not in the networks of that peer" if known else "Calling AE title is not a known peer",
            )
        key, limit = (peer[0], peer[1].maximum_associations) if peer else (address, UNKNOWN_PEER_ASSOCIATIONS)
        with self._lock:
            if self._inside.total() >= self._settings.maximum_associations:
                return Rejection(*BUSY, "The node's limit of associations is reached")
            if self._inside[key] >= limit:
                return Rejection(*BUSY, "The peer's limit of associations is reached")
            self._inside[key] += 1
        return key

    def leave(self, key: str) -> None:
        """Give back a place."""
        with self._lock:
            self._inside[key] -= 1
            if not self._inside[key]:
                del self._inside[key]

    def peer(self, calling_ae_title: str, address: str) -> tuple[str, Peer] | None:
        """Name and entry of the peer that calls itself so from there."""
        try:
            where = ipaddress.ip_address(address.split("%")[0])
        except ValueError:
            return None
        if isinstance(where, ipaddress.IPv6Address) and where.ipv4_mapped:
            where = where.ipv4_mapped
        for name, peer in self._peers.get(calling_ae_title.strip(), ()):
            if not peer.networks or any(where in network for network in peer.networks):
                return name, peer
        return None

    @property
    def inside(self) -> int:
        """How many associations are open."""
        with self._lock:
            return self._inside.total()
