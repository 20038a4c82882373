"""Who holds a connection to the page's port, and who has to make room: limits per address and in total.

At a limit the newcomer gets the place of the connection that has waited longest without a whole request; if there is
none, of the one whose body or answer makes the least progress. So a caller with a request always gets in. Only where
the node itself is at work for all of them is the newcomer turned away. Bodies and answers that are under way have half
of an address's places and a quarter of all: one more there takes the place of the slowest, and requests that are whole
at once, such as for the page and for health, find the others free. What comes through a trusted proxy comes from one
address, so that the limits in total alone hold for it.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from node.config import Network
from node.network.addresses import one_caller, within

log = logging.getLogger(__name__)

PER_ADDRESS, IN_TOTAL = 64, 512
UNDER_WAY_PER_ADDRESS, UNDER_WAY_IN_TOTAL = 1 / 2, 1 / 4  # of the places: each may need a file for what comes
HEAD_START, SETTLING_S = 2048, 1.0  # bytes that each has more, and the time until its speed can be told
# For the database, receipts, jobs, sending, HL7; `select`, which pynetdicom uses, takes no descriptor above 1,023.
FILES_KEPT_FREE = 384
LEAST = 16  # connections, however few files may be open
TOLD_EVERY_S = 60.0
NAMES_TOLD = 5

# who waits for whom: all but the last for the client
Stage = Literal["handshake", "request", "body", "answer", "at work"]
UNDER_WAY: tuple[Stage, ...] = ("body", "answer")
Reason = Literal[
    "no room", "no whole request in time", "too slow", "length told in two ways", "foreign host", "foreign page"
]


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
        self.caller = None if connections.trusts(address) else one_caller(address)
        self.stage: Stage = "handshake"
        self.since = time.monotonic()
        self.moved = 0  # bytes of a body, or of an answer, since then
        self.leaving = False
        self.say_why: Callable[[], None] | None = None  # to the client, before it is cut
        self._connections = connections
        connections.enter(self)

    def close(self) -> None:
        """Close it, and count it no more."""
        self._connections.leave(self)
        super().close()

    def progress(self) -> float:
        """How fast its body or answer goes on, bytes/s."""
        return (HEAD_START + self.moved) / max(time.monotonic() - self.since, SETTLING_S)

    def cut(self) -> None:
        """Have the event loop find that nothing more comes; it then closes the connection at whatever stage it is."""
        self.leaving = True
        if self.say_why is not None:
            self.say_why()
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

    def __init__(
        self,
        proxies: Sequence[Network] = (),
        open_files: int = 1024,
        *,
        per_address: int = PER_ADDRESS,
        in_total: int = IN_TOTAL,
    ) -> None:
        self.refusals = Refusals()
        self._proxies = proxies
        self._per_address = per_address
        self._in_total = min(in_total, max(LEAST, open_files - FILES_KEPT_FREE))
        self._open: dict[int, Connection] = {}  # by descriptor, the oldest first

    def __len__(self) -> int:
        return len(self._open)

    def of(self, fileno: int) -> Connection | None:
        """The connection with that descriptor."""
        return self._open.get(fileno)

    def trusts(self, address: str) -> bool:
        """Whether that is a proxy, which speaks for many callers."""
        return within(address, self._proxies)

    def enter(self, connection: Connection) -> None:
        """Count one more."""
        self._open[connection.fileno()] = connection

    def leave(self, connection: Connection) -> None:
        """Count it no more."""
        if self._open.get(connection.fileno()) is connection:
            del self._open[connection.fileno()]

    def has_room(self, address: str) -> bool:
        """Whether one more from `address` may come; makes room where that is needed and can be had."""
        caller = None if self.trusts(address) else one_caller(address)
        return self._room(self._of(caller), self._per_address) and self._room(self._staying(), self._in_total)

    def begins(self, connection: Connection, stage: Stage, moved: int) -> None:
        """Note what a connection is at from now on; of bodies and answers that are too many, the slowest is cut.

        Parameters
        ----------
        connection
            One that is open.
        stage
            What it is at.
        moved
            Bytes of it that have come or gone by now.
        """
        before, connection.stage = connection.stage, stage
        if stage == "request" or before == "request":  # else it is about the same request still
            connection.since, connection.moved = time.monotonic(), moved
        if stage in UNDER_WAY and before not in UNDER_WAY:
            for among, places in (
                (self._of(connection.caller), self._per_address * UNDER_WAY_PER_ADDRESS),
                (self._staying(), self._in_total * UNDER_WAY_IN_TOTAL),
            ):
                self._room([one for one in among if one.stage in UNDER_WAY], places + 1)  # which it has taken already

    def cut_handshakes(self, seconds: float) -> None:
        """Cut those that have not ended their TLS handshake after so long."""
        limit = time.monotonic() - seconds
        for one in list(self._open.values()):
            if one.stage == "handshake" and not one.leaving and one.since < limit:
                self.refusals.add("no whole request in time")
                one.cut()

    def _staying(self) -> list[Connection]:
        return [one for one in self._open.values() if not one.leaving]

    def _of(self, caller: object) -> list[Connection]:
        """Those of one caller; none of callers that come through a trusted proxy, which have no limit of their own."""
        return [one for one in self._staying() if one.caller == caller] if caller is not None else []

    def _room(self, among: Sequence[Connection], places: float) -> bool:
        """Whether there is, or has been made, a place for one more."""
        if len(among) < places:
            return True
        self.refusals.add("no room")
        if begun := [one for one in among if one.stage in ("handshake", "request")]:
            min(begun, key=lambda one: one.since).cut()
        elif slow := [one for one in among if one.stage in UNDER_WAY]:
            min(slow, key=lambda one: one.progress()).cut()
        else:
            return False
        return True


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
