"""Instances that lie in the store and that no record knows: found, and recorded as if they came now.

An instance has its name before its receipt is written. A full disk between the two has its sender told of a failure,
and leaves the file; a disk that loses a receipt, or a database that is set back to an older copy, leave one that was
acknowledged. Either is looked for at the start and once a day.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select

from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.states import AssociationOutcome
from node.database.tables import InstanceRow
from node.progress import goes_on
from node.receive.status import NotStored
from node.receive.store.corrections import receipt_of
from node.receive.store.instance_files import SHARDS
from node.receive.store.receipt_log import Closed, Entry, Noted, Opened, Stored
from node.study.patients import marking_key

log = logging.getLogger(__name__)

SEARCH_S = 86400.0
RETRY_S = 60.0
SETTLED_S = 300.0  # the receipt of a file that is younger may be on its way
WAY, SENDER = "folder", "instances without a record"
FOUND, UNREADABLE = "instances without a record found", "files in the store that are no instances"
NAMED = 5


class UnrecordedInstances:
    """Finds them for the one process that imports receipts.

    Parameters
    ----------
    data
        The node's data folder.
    database
        The node's database.
    bring_in
        Writes entries into the database.
    clock
        Seconds since the epoch, as file times are.
    """

    def __init__(
        self,
        data: Path,
        database: Database,
        bring_in: Callable[[Sequence[Entry]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._data, self._instances = data, data / "instances"
        self._database, self._bring_in, self._clock = database, bring_in, clock

    def look(self) -> bool:
        """Record what is found; whether there may be more, which is too young yet.

        What is on record must have been brought in before.

        Raises
        ------
        SQLAlchemyError, OSError
            If the database or the folder cannot be used.
        """
        unreadable = list[str]()
        young, key = False, marking_key(self._data)
        for relatives in in_chunks(self._unknown()):
            association_id = f"found-{uuid4().hex[:23]}"
            found = list[Stored]()
            for relative in relatives:
                goes_on()
                try:
                    if os.stat(self._instances / relative).st_ctime > self._clock() - SETTLED_S:
                        young = True
                    else:
                        entry = receipt_of(self._instances / relative, relative, association_id, key)
                        found.append(entry._replace(at=self._clock()))
                except FileNotFoundError:  # it was removed meanwhile
                    pass
                except (NotStored, OSError):
                    unreadable.append(relative)
            if found:
                self._record(association_id, found)
        if unreadable:
            self._bring_in([self._noted(UNREADABLE, unreadable)])
        return young

    def _record(self, association_id: str, found: Sequence[Stored]) -> None:
        now, count = self._clock(), len(found)
        begin = Opened(association_id, WAY, "", "", SENDER, now)
        end = Closed(association_id, now, AssociationOutcome.RELEASED, "", count, 0)
        self._bring_in([begin, *found, self._noted(FOUND, [entry.sop_instance_uid for entry in found]), end])

    def _noted(self, what: str, names: Sequence[str]) -> Noted:
        detail = {"count": len(names), "first": ", ".join(names[:NAMED])}
        log.warning(what, extra=detail)
        return Noted(self._clock(), what, "", detail)

    def _unknown(self) -> Iterator[str]:
        """The files that have no row, relative to the folder of instances."""
        for shard in SHARDS:
            goes_on()
            there = {f"{shard}/{name}" for name in self._names(shard) if name.endswith(".dcm")}
            if there:
                with self._database.connect() as connection:
                    of_shard = select(InstanceRow.path).where(InstanceRow.path.startswith(f"{shard}/"))
                    there.difference_update(connection.scalars(of_shard))
            yield from sorted(there)

    def _names(self, shard: str) -> list[str]:
        """The names in a folder of the store; none where the receiver of a new node has not made it yet."""
        try:
            return os.listdir(self._instances / shard)
        except FileNotFoundError:
            with self._database.connect() as connection:
                if connection.scalar(select(InstanceRow.sop_instance_uid).limit(1)) is not None:  # the storage is away
                    raise
            return []
