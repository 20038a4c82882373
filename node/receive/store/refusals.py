"""What peers are refused, counted: of one peer for one reason there is one record an hour, whoever knocks how often."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import NamedTuple

from node.receive.store.receipt_log import ReceiptLog, Refused, new_association_id

log = logging.getLogger(__name__)

WINDOW_S = 3600
WRITE_S = 5.0  # a count that has grown is written this often at most
MAXIMUM_KINDS = 200  # an hour that are told apart by titles, and as many more by address: a stranger makes up any
OTHERS = "(others)"
TOLD_AGAIN = 10  # times what the log told last
COMMITMENT = "commitment"  # the way of a message of storage commitment, on an association that was accepted


class Kind(NamedTuple):
    """What is counted together."""

    way: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    reason: str


@dataclass
class _Count:
    """Refusals of one kind within the hour."""

    name: str  # of their record
    first: float
    last: float
    times: int = 1
    written: int = 0
    written_at: float = 0.0
    told: int = 0  # to the log


class Refusals:
    """Counts what one process refuses. Safe to use from its threads.

    The first of a kind is on record at once; of the others the record says how many and until when.

    Parameters
    ----------
    receipts
        Where they are written.
    """

    def __init__(self, receipts: ReceiptLog) -> None:
        self._receipts = receipts
        self._lock = threading.Lock()
        self._window = 0
        self._counts: dict[Kind, _Count] = {}

    def add(self, kind: Kind, now: float) -> None:
        """One more was refused at `now`, in seconds since the epoch."""
        with self._lock:
            if int(now // WINDOW_S) != self._window:
                self._write_all()
                self._counts.clear()
                self._window = int(now // WINDOW_S)
            if kind not in self._counts and len(self._counts) >= MAXIMUM_KINDS:
                kind = kind._replace(calling_ae_title=OTHERS, called_ae_title=OTHERS)
            if kind not in self._counts and len(self._counts) >= 2 * MAXIMUM_KINDS:
                kind = kind._replace(peer_address=OTHERS)
            count = self._counts.get(kind)
            if count is None:
                count = self._counts[kind] = _Count(new_association_id(self._receipts), now, now)
                self._write(kind, count)
                return
            count.times += 1
            count.last = now

    def write(self, now: float) -> None:
        """Write what has grown and has not been written for `WRITE_S`."""
        with self._lock:
            for kind, count in self._counts.items():
                if count.times > count.written and now - count.written_at >= WRITE_S:
                    self._write(kind, count)
                    count.written_at = now

    def close(self) -> None:
        """Write what has grown."""
        with self._lock:
            self._write_all()

    def _write_all(self) -> None:
        for kind, count in self._counts.items():
            if count.times > count.written:
                self._write(kind, count)
            if count.times > count.told:
                self._tell(kind, count)

    def _write(self, kind: Kind, count: _Count) -> None:
        """The whole count, so that it does not matter how often it is read."""
        self._receipts.append(Refused(count.name, *kind[:4], count.first, kind.reason, count.times, count.last))
        count.written = count.times
        if count.times >= TOLD_AGAIN * count.told:
            self._tell(kind, count)

    def _tell(self, kind: Kind, count: _Count) -> None:
        facts = {"way": kind.way, "calling": kind.calling_ae_title, "address": kind.peer_address, "reason": kind.reason}
        if count.times > 1:
            facts["times"] = str(count.times)
        log.warning(what_was_refused(kind.way), extra=facts)
        count.told = count.times


def what_was_refused(way: str) -> str:
    """What the log and the audit trail call a refusal of that way."""
    return "commitment refused" if way == COMMITMENT else "association refused"
