"""What senders of records were refused: counted for the log, and on record where it ended what reads it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.database import audit
from node.database.connection import Database
from node.database.tables import PATIENT_CHANGE_REFUSED, RECORD_NOT_READ, AuditRow
from node.errors import ReadingFailed

log = logging.getLogger(__name__)

TELL_EVERY_S = 60.0
KINDS = 50  # that are told apart between two times of telling, and in the audit trail within an hour
OTHERS = "(others)"


class RefusedRecords:
    """Tells of refusals without what was refused. Safe to use from any thread.

    Parameters
    ----------
    database
        For the audit trail; None: the log alone.
    clock
        The time.
    """

    def __init__(
        self, database: Database | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._untold: dict[tuple[str, str, str], int] = {}  # by what, sender and reason
        self._on_record = threading.Lock()
        self._hour: datetime | None = None
        self._rows: dict[tuple[str, str, str], int] = {}  # of this hour's audit trail, by what and way, sender, reason

    def add(self, what: str, sender: str, reason: str) -> None:
        """Log that `what` happened, at once if it is the first of its kind; `tell` does for those after it."""
        with self._lock:
            kind = _kind(self._untold, what, sender, reason)
            first = kind not in self._untold
            self._untold[kind] = 0 if first else self._untold[kind] + 1
        if first:
            log.warning(what, extra={"sender": kind[1], "reason": kind[2]})

    def tell(self) -> None:
        """Log how many there were of each kind since the last time."""
        with self._lock:
            counts, self._untold = self._untold, {kind: 0 for kind, count in self._untold.items() if count}
        for (what, sender, reason), count in counts.items():
            if count:
                log.warning(what, extra={"sender": sender, "reason": reason, "times": count})

    def not_read(self, way: str, sender: str, failure: ReadingFailed) -> None:
        """Put into the audit trail, and the log, that a message or a bundle ended what reads it, or broke it.

        Of one sender and reason there is one record an hour, which says how often.

        Parameters
        ----------
        way
            ``HL7`` or ``FHIR``.
        sender
            Its address.
        failure
            How it ended.
        """
        self.add(RECORD_NOT_READ, sender, str(failure))
        self._put_on_record(RECORD_NOT_READ, way, sender, str(failure))

    def not_changed(self, sender: str, why: str) -> None:
        """Put into the audit trail that a patient was not merged although a message asks for it; once an hour, too."""
        self._put_on_record(PATIENT_CHANGE_REFUSED, "HL7", sender, why)

    def _put_on_record(self, what: str, way: str, sender: str, reason: str) -> None:
        if self._database is None:
            return
        try:
            with self._on_record, Session(self._database) as session, session.begin():
                self._count(session, what, way, sender, reason)
        except SQLAlchemyError as error:  # its sender is answered all the same
            log.error("no audit of what was refused", extra={"what": what, "reason": type(error).__name__})

    def _count(self, session: Session, what: str, way: str, sender: str, reason: str) -> None:
        now = self._clock()
        hour = now.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self._hour, self._rows = hour, {}
        kind = _kind(self._rows, f"{what}, {way}", sender, reason)
        row = session.get(AuditRow, self._rows[kind]) if kind in self._rows else None
        if row is not None:
            row.detail = {**row.detail, "times": row.detail["times"] + 1, "until": now.isoformat()}
            return
        row = audit.note(session, what, kind[1], now=now, way=way, reason=kind[2], times=1, until=now.isoformat())
        session.flush()
        self._rows[kind] = row.id


def _kind(known: dict[tuple[str, str, str], int], what: str, sender: str, reason: str) -> tuple[str, str, str]:
    """What a refusal counts as: where there are too many kinds already, one of the others."""
    kind = (what, sender, reason)
    return kind if kind in known or len(known) < KINDS else (what, OTHERS, OTHERS)
