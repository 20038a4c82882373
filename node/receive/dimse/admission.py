"""Who may open an association, and how many: allow-lists and limits, the same for the fast and the plain server."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from node.config import DimseSettings, Peer
from node.files import file_name, make_folder
from node.receive.store.locks import take_slot

UNKNOWN_PEER_ASSOCIATIONS = 16  # per address, where peers need not be known


class Rejection(NamedTuple):
    """An A-ASSOCIATE-RJ (PS3.8 9.3.4): result, source, diagnostic; and the reason in words for the record."""

    result: int
    source: int
    diagnostic: int
    reason: str

    def pdu(self) -> bytes:
        """The whole PDU."""
        return struct.pack(">BBLBBBB", 3, 0, 4, 0, self.result, self.source, self.diagnostic)


CALLED = (1, 1, 7)  # permanent, service user: called AE title not recognised
CALLING = (1, 1, 3)  # permanent, service user: calling AE title not recognised
BUSY = (2, 3, 2)  # transient, service provider (presentation): local limit exceeded


class Slot(NamedTuple):
    """What an association holds while it is open: one slot of the node's, and one of its peer's."""

    descriptors: tuple[int, ...]

    def leave(self) -> None:
        """Give both back; to be called once."""
        for descriptor in self.descriptors:
            os.close(descriptor)


class Admission:
    """Decides on each A-ASSOCIATE-RQ; what it lets in counts until it leaves, over all processes of the node.

    Parameters
    ----------
    folder
        Where the slots are counted.
    """

    def __init__(self, settings: DimseSettings, ae_title: str, peers: Mapping[str, Peer], folder: Path) -> None:
        self._folder, self._ae_title = folder, ae_title.strip()
        make_folder(folder)
        self.reconfigure(settings, peers)

    def reconfigure(self, settings: DimseSettings, peers: Mapping[str, Peer]) -> None:
        """Decide by these from the next request on; who is in stays in."""
        by_title: dict[str, list[tuple[str, Peer]]] = {}
        for name, peer in peers.items():
            by_title.setdefault(peer.ae_title.strip(), []).append((name, peer))
        self._settings, self._peers = settings, by_title
        self._called = frozenset({self._ae_title, *(title.strip() for title in settings.ae_titles)})

    def stranger(self, calling_ae_title: str, called_ae_title: str, address: str) -> Rejection | None:
        """Why somebody is refused by title or address alone; None where he is not."""
        if self._settings.require_called_ae_title and called_ae_title.strip() not in self._called:
            return Rejection(*CALLED, "Called AE title is not ours")
        if self.peer(calling_ae_title, address) is None and self._settings.require_known_peer:
            known = calling_ae_title.strip() in self._peers
            return Rejection(
                *CALLING,
                "The address is not in the networks of that peer" if known else "Calling AE title is not a known peer",
            )
        return None

    def enter(self, calling_ae_title: str, called_ae_title: str, address: str) -> Slot | Rejection:
        """A slot, to be left at the end, or why there is none.

        Parameters
        ----------
        calling_ae_title, called_ae_title
            Of the request; padding does not count.
        address
            IP address that the connection comes from.
        """
        if (stranger := self.stranger(calling_ae_title, called_ae_title, address)) is not None:
            return stranger
        peer = self.peer(calling_ae_title, address)
        own = take_slot(self._folder / "node", self._settings.maximum_associations)
        if own is None:
            return Rejection(*BUSY, "The node's limit of associations is reached")
        key, limit = (peer[0], peer[1].maximum_associations) if peer else (_name(address), UNKNOWN_PEER_ASSOCIATIONS)
        theirs = take_slot(self._folder / f"peer-{file_name(key)}", limit)
        if theirs is None:
            os.close(own)
            return Rejection(*BUSY, "The peer's limit of associations is reached")
        return Slot((own, theirs))

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


def _name(address: str) -> str:
    """A file name for an address: one of a few, so that strangers cannot fill the folder."""
    return f"other-{hashlib.sha256(address.encode()).digest()[0]:02x}"
