"""Who holds a connection to the page's port, and who has to make room: limits per address and in total.

At a limit the newcomer gets the place of the connection that has waited longest without a whole request, so that a
caller with a request always gets in. Only where all of them are at work is the newcomer turned away. What comes through
a trusted proxy comes from one address, so that the limit in total alone holds for it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from node.config import Network
from node.network.addresses import address_of, within

log = logging.getLogger(__name__)

PER_ADDRESS, IN_TOTAL = 64, 512
# For the database, receipts, jobs, sending, HL7; `select`, which pynetdicom uses, takes no descriptor above 1,023.
FILES_KEPT_FREE = 384
LEAST = 16  # connections, however few files may be open
TOLD_EVERY_S = 60.0
NAMES_TOLD = 5

Reason = Literal["no room", "no whole request in time", "too slow", "foreign host", "foreign page"]


class Refusals:
    """Counts what was turned away at the page's port; the log has one line a minute, however many there are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[Reason] = Counter()
        self._untold: Counter[Reason] = Counter()
        self._names: list[str] = []
        self._told = float("-inf")

    def add(self, reason: Reason, name: str | None = None) -> None:
        """One more; `name` is that of the node in the request, or of a page, of which the log has the first few."""
        with self._lock:
            if name is not None and name not in self._names and len(self._names) < NAMES_TOLD:
                self._names.append(name)
            self._counts[reason] += 1
            self._untold[reason] += 1
        self.tell()

    def counts(self) -> dict[Reason, int]:
        """How many since the start, by reason."""
        with self._lock:
            return dict(self._counts)

    def tell(self) -> None:
        """Log what has not been logged, unless the last line is too young."""
        with self._lock:
            if not self._untold or self._clock() - self._told < TOLD_EVERY_S:
                return
            self._told = self._clock()
            counts, self._untold = self._untold, Counter()
            names, self._names = self._names, []
        told = {"by_reason": dict(counts)} | ({"names": names} if names else {})
        log.warning("turned away at the page's port", extra=told)


class Connection(socket.socket):
    """An accepted connection; counts until it is closed, be it in the middle of a TLS handshake."""

    def __init__(self, fileno: int, address: str, connections: Connections) -> None:
        super().__init__(fileno=fileno)
        self.caller = _caller(address)
        self.waits_since = time.monotonic()  # for a whole request
        self.stage: Literal["handshake", "waits", "at work"] = "handshake"
        self.leaving = False
        self._connections = connections
        connections.enter(self)

    def close(self) -> None:
        """Close it, and count it no more."""
        self._connections.leave(self)
        super().close()

    def cut(self) -> None:
        """Have the event loop find that nothing more comes; it then closes the connection at whatever stage it is."""
        self.leaving = True
        with contextlib.suppress(OSError):  # the other side was quicker
            self.shutdown(socket.SHUT_RDWR)


class Connections:
    """The connections that are open, and the limits.

    Parameters
    ----------
    proxies
        Networks of the proxies for which the limit per address does not hold.
    open_files
        How many files the process may have open.
    """

    def __init__(self, proxies: Sequence[Network] = (), open_files: int = 1024) -> None:
        self.refusals = Refusals()
        self._proxies = proxies
        self._in_total = min(IN_TOTAL, max(LEAST, open_files - FILES_KEPT_FREE))
        self._open: dict[int, Connection] = {}  # by descriptor, the oldest first

    def __len__(self) -> int:
        return len(self._open)

    def of(self, fileno: int) -> Connection | None:
        """The connection with that descriptor."""
        return self._open.get(fileno)

    def enter(self, connection: Connection) -> None:
        """Count one more."""
        self._open[connection.fileno()] = connection

    def leave(self, connection: Connection) -> None:
        """Count it no more."""
        if self._open.get(connection.fileno()) is connection:
            del self._open[connection.fileno()]

    def has_room(self, address: str) -> bool:
        """Whether one more from `address` may come; makes room where that is needed and can be had."""
        if not within(address, self._proxies):
            caller = _caller(address)
            if not self._room([one for one in self._open.values() if one.caller == caller], PER_ADDRESS):
                return False
        return self._room(self._open.values(), self._in_total)

    def cut_handshakes(self, seconds: float) -> None:
        """Cut those that have not ended their TLS handshake after so long."""
        limit = time.monotonic() - seconds
        for one in list(self._open.values()):
            if one.stage == "handshake" and not one.leaving and one.waits_since < limit:
                self.refusals.add("no whole request in time")
                one.cut()

    def _room(self, among: Iterable[Connection], limit: int) -> bool:
        staying = [one for one in among if not one.leaving]
        if len(staying) < limit:
            return True
        self.refusals.add("no room")
        waiting = [one for one in staying if one.stage != "at work"]
        if waiting:
            min(waiting, key=lambda one: one.waits_since).cut()
        return bool(waiting)


class Door(socket.socket):
    """A listening socket that lets in whom `connections` has room for.

    Parameters
    ----------
    listening
        A socket that listens; both are to be closed.
    connections
        The limits.
    """

    def __init__(self, listening: socket.socket, connections: Connections) -> None:
        super().__init__(fileno=listening.dup().detach())
        self._connections = connections

    def accept(self) -> tuple[socket.socket, object]:
        """Accept one; raises `BlockingIOError` where there is none, or it was turned away."""
        accepted, address = super().accept()
        host = str(address[0])
        if not self._connections.has_room(host):
            accepted.close()
            raise BlockingIOError
        return Connection(accepted.detach(), host, self._connections), address


def _caller(address: str) -> object:
    """What counts as one caller: an address, of IPv6 the network of 64 bits that one site or machine has (RFC 6177)."""
    where = address_of(address)
    if isinstance(where, ipaddress.IPv6Address):
        return ipaddress.IPv6Network((where, 64), strict=False)
    return where or address
