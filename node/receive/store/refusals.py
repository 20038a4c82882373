"""What peers are refused, counted: of one peer for one reason there is one record an hour, whoever knocks how often.

Associations are counted so, their messages, and instances that were not stored, whichever way they came; and for the
log presentation contexts, which are on record with each association.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from node.database.tables import NOT_STORED
from node.receive.store.receipt_log import Failed, ReceiptLog, Refused, new_association_id

log = logging.getLogger(__name__)

WINDOW_S = 3600
WRITE_S = 5.0  # a count that has grown is written this often at most
MAXIMUM_KINDS = 200  # an hour that are told apart as they are: a stranger makes up any
MAXIMUM_KINDS_OF_PEER = 50  # of these, so that one peer leaves room for the others
# How many times as many of one peer, and of all, there may be when one is to be counted: as it is, without its study,
# its titles, its reason, its address; at last without the last two.
SHARES = ((1, 1), (2, 2), (2, 2), (3, 2), (4, 3), (4, 3))
OTHERS = "(others)"
NAMED = 5  # instances of a kind; the others are counted
TOLD_AGAIN = 10  # times what the log told last
COMMITMENT = "commitment"  # the way of a message of storage commitment, on an association that was accepted
CONTEXTS = "contexts"  # that of presentation contexts, of which the log alone is told


WHAT = {COMMITMENT: "commitment refused", CONTEXTS: "presentation contexts refused"}


class Kind(NamedTuple):
    """What is counted together."""

    way: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    reason: str
    status: int = 0  # that the instances were answered with; 0: they are no instances
    study_instance_uid: str = ""  # of the instances, where that much could be read

    @property
    def sender(self) -> str:
        """Who it was, as far as it said."""
        return " ".join(part for part in (self.way, self.calling_ae_title, self.peer_address) if part)

    def broader(self) -> Iterator[Kind]:
        """What it may be counted as where there are too many kinds: ever less is told apart."""
        kind = self._replace(study_instance_uid="")
        yield kind
        if kind.calling_ae_title or kind.called_ae_title:
            kind = kind._replace(calling_ae_title=OTHERS, called_ae_title=OTHERS)
        yield kind
        yield kind._replace(reason=OTHERS)
        yield kind._replace(peer_address=OTHERS)
        yield kind._replace(peer_address=OTHERS, reason=OTHERS)


class Instance(NamedTuple):
    """One that was not stored."""

    association_id: str
    name: str  # its SOP Instance UID, or else where it stood in what was sent
    series_instance_uid: str


@dataclass
class _Count:
    """Refusals of one kind within the hour."""

    name: str  # of their record
    first: float
    last: float
    instance: Instance | None  # the first
    named: list[str] = field(default_factory=list)
    times: int = 0
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
        self._of_peers: Counter[str] = Counter()  # kinds by address

    def add(self, kind: Kind, now: float, instance: Instance | None = None) -> None:
        """One more was refused at `now`, in seconds since the epoch; `instance` where it is one."""
        with self._lock:
            if int(now // WINDOW_S) != self._window:
                self._write_all()
                self._counts.clear()
                self._of_peers.clear()
                self._window = int(now // WINDOW_S)
            kind = self._counted_as(kind)
            count = self._counts.get(kind)
            if count is None:
                count = self._counts[kind] = _Count(new_association_id(self._receipts), now, now, instance)
                self._of_peers[kind.peer_address] += 1
            count.times += 1
            count.last = now
            if instance is not None and len(count.named) < NAMED and instance.name not in count.named:
                count.named.append(instance.name)
                self._tell(kind, count, instance)
            if count.times == 1:
                self._write(kind, count)

    def _counted_as(self, kind: Kind) -> Kind:
        """The first of it and its broader ones that is counted already or has room; the last has always."""
        for broader, (of_peer, of_all) in zip((kind, *kind.broader()), SHARES, strict=True):
            has_room = (
                self._of_peers[broader.peer_address] < of_peer * MAXIMUM_KINDS_OF_PEER
                and len(self._counts) < of_all * MAXIMUM_KINDS
            )
            if has_room or broader in self._counts:
                return broader
        return broader

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
        if kind.way != CONTEXTS:
            self._receipts.record(_entry(kind, count))
        count.written = count.times
        if count.times >= TOLD_AGAIN * count.told:
            self._tell(kind, count)

    def _tell(self, kind: Kind, count: _Count, instance: Instance | None = None) -> None:
        facts = {"way": kind.way, "calling": kind.calling_ae_title, "address": kind.peer_address, "reason": kind.reason}
        if count.instance is not None:
            facts |= {"status": f"0x{kind.status:04X}", "study_instance_uid": kind.study_instance_uid}
        if instance is not None:
            facts |= {"association": instance.association_id, "instance": instance.name}
        elif count.times > 1:
            facts["times"] = str(count.times)
        log.warning(what_was_refused(kind.way, kind.status), extra=facts)
        count.told = count.times


def _entry(kind: Kind, count: _Count) -> Refused | Failed:
    if count.instance is None:
        return Refused(count.name, *kind[:4], count.first, kind.reason, count.times, count.last)
    return Failed(
        count.instance.association_id,
        count.named[0],
        kind.status,
        kind.reason,
        count.first,
        kind.study_instance_uid,
        count.instance.series_instance_uid,
        count.name,
        kind.sender,
        count.times,
        count.last,
        ", ".join(filter(None, count.named)),
    )


def what_was_refused(way: str, status: int = 0) -> str:
    """What the log and the audit trail call a refusal of that way; of an instance where it has a status."""
    if status:
        return NOT_STORED
    return WHAT.get(way, "association refused")
