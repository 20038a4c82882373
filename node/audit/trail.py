"""Writes the lines of the audit trail down, in the order of their numbers, and sends them on.

The database is where lines are made, in the transaction of what they tell of. From there each goes to the files of the
data folder within a second or two, and from these to the syslog server. Lines that are counted within the hour, such as
instances that were not stored, are written when the first of them comes, and once more with their number an hour later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from node.audit.chain import Chain, Link
from node.audit.line import Line
from node.audit.message import Source, audit_message
from node.background import Loop
from node.config import Configuration
from node.database import audit
from node.database.connection import Database
from node.database.tables import AUDIT_LOST, AuditHeadRow, AuditRow
from node.network.syslog_client import Line as SyslogLine
from node.network.syslog_client import Severity, SyslogClient
from node.progress import goes_on

log = logging.getLogger(__name__)

EVERY_S = 1.0
PAGE = 500  # lines that are written together
SENT_TOGETHER = 100
COUNTED_FOR = timedelta(minutes=65)  # lines are counted within the hour; receipts may come a little later
MESSAGE_KIND = "DICOM+RFC3881"  # MSGID, PS3.15 A.6
OLD_FILES_EVERY_S = 3600.0


class AuditTrail:
    """What is done with the lines, once its loops are started.

    Parameters
    ----------
    clock
        The time, with its zone.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database, self._clock = database, clock
        self._chain, self._source = Chain(configuration.node.data), Source.of(configuration)
        self._keep, self._server = _settings(configuration)
        self._last: Link | None = None
        self._is_ready = False
        self._writing = Loop("audit trail", self._write, every_s=EVERY_S, last_round=True)
        self._sending = Loop("audit trail to syslog", self._send, every_s=EVERY_S)
        self._removal = Loop("removal of old audit files", self._remove_old, every_s=OLD_FILES_EVERY_S)

    def start(self) -> None:
        """Begin to write and to send."""
        self._writing.start()
        self._removal.start()
        if self._server is not None:
            self._sending.start()

    def stop(self) -> None:
        """Write what is there, and end."""
        self._sending.stop()
        self._removal.stop()
        self._writing.stop()

    def reconfigure(self, configuration: Configuration) -> None:
        """Keep lines as long, and send them to the server, that this configuration says."""
        self._sending.stop()
        self._keep, self._server = _settings(configuration)
        if self._server is not None:
            self._sending.start()

    def problem(self) -> str | None:
        """Why lines are not written, or not sent, at the moment; None if they are."""
        return self._writing.problem() or (self._sending.problem() if self._server is not None else None)

    # ---- to the files
    def write(self) -> int:
        """Write the lines that are not in the files yet; how many."""
        if not self._is_ready:
            self._catch_up()
        self._is_ready = False  # until files and database have the same again
        written = 0
        while count := self._write_page():
            goes_on()
            written += count
        written += self._write_counts()
        self._is_ready = True
        return written

    def _write(self) -> None:
        self.write()

    def _write_page(self) -> int:
        with Session(self._database) as session, session.begin():
            head = _head(session)
            query = select(AuditRow).where(AuditRow.number.is_(None)).order_by(AuditRow.id).limit(PAGE)
            rows = session.scalars(query).all()
            if not rows:
                return 0
            self._append(head, [Line.of(row) for row in rows])
            first = head.number - len(rows) + 1
            for number, row in enumerate(rows, first):
                row.number = number
        return len(rows)

    def _write_counts(self) -> int:
        """Write lines once more whose count has grown, when it grows no more; how many."""
        until = self._clock() - COUNTED_FOR
        with Session(self._database) as session, session.begin():
            head = _head(session)
            since, head.counted_until = head.counted_until, until
            if since is None:  # what is older was just written with its count
                return 0
            counted = (AuditRow.counted_as.is_not(None), AuditRow.times > 1, AuditRow.number.is_not(None))
            query = select(AuditRow).where(AuditRow.at > since, AuditRow.at <= until, *counted)
            rows = session.scalars(query.order_by(AuditRow.at, AuditRow.id)).all()
            if rows:
                self._append(head, [Line.of(row) for row in rows])
        return len(rows)

    def _append(self, head: AuditHeadRow, lines: Sequence[Line]) -> None:
        """Write lines behind the last one; the database has them as written when its transaction ends.

        Where it does not end well, `_catch_up` finds them.
        """
        links: list[Link] = []
        for line in lines:
            before = links[-1] if links else self._last
            links.append(Link.after(before, line.at, audit_message(line, self._source), line.row))
        self._chain.append(links)
        self._last = links[-1]
        head.number, head.digest = self._last.number, self._last.digest

    def _catch_up(self) -> None:
        """Find where the files end, and have the database say the same.

        The node may have ended between the two, or somebody has taken lines away; the numbers go on after the higher.
        """
        self._last = self._chain.last()
        with Session(self._database) as session, session.begin():
            head = _head(session)
            number = self._last.number if self._last else 0
            if number > head.number:
                for link in self._chain.after(head.number):
                    session.execute(
                        update(AuditRow)
                        .where(AuditRow.id == link.row, AuditRow.number.is_(None))
                        .values(number=link.number)
                    )
            elif number < head.number:
                log.error("audit file shortened", extra={"written": head.number, "there": number})
                audit.note(session, AUDIT_LOST, "", now=self._clock(), written=head.number, there=number)
                self._last = Link(head.number, self._clock(), "", 0, "", head.digest)  # the chain goes on from there
                return
            head.number, head.digest = number, self._last.digest if self._last else ""

    # ---- to the syslog server
    def send(self) -> int:
        """Send the lines that the syslog server has not been sent; how many.

        Raises
        ------
        PeerUnavailable
            If it does not take them; they are sent again, also those of them that it took.
        """
        if self._server is None:
            return 0
        count = 0
        while links := self._next_to_send():
            goes_on()
            self._server.send(*(SyslogLine(link.message, Severity.NOTICE, link.at, MESSAGE_KIND) for link in links))
            self._note_sent(links[-1].number)
            count += len(links)
        return count

    def _send(self) -> None:
        self.send()

    def _next_to_send(self) -> list[Link]:
        with Session(self._database) as session:
            sent, written = session.execute(select(AuditHeadRow.sent, AuditHeadRow.number)).one_or_none() or (0, 0)
        return list(islice(self._chain.after(sent), SENT_TOGETHER)) if written > sent else []

    def _note_sent(self, number: int) -> None:
        with Session(self._database) as session, session.begin():
            session.execute(update(AuditHeadRow).values(sent=number))

    def _remove_old(self) -> None:
        self._chain.remove_before(self._clock() - self._keep)


def _settings(configuration: Configuration) -> tuple[timedelta, SyslogClient | None]:
    server = configuration.audit.syslog
    client = None if server is None else SyslogClient("audit.syslog", server)
    return timedelta(days=configuration.history.audit_days), client


def _head(session: Session) -> AuditHeadRow:
    """The only row, locked where the database can, so that lines get their numbers one after the other."""
    head = session.get(AuditHeadRow, 1, with_for_update=True)
    if head is None:
        head = AuditHeadRow(id=1, number=0, digest="", sent=0)
        session.add(head)
        session.flush()
    return head


def head_of(database: Database) -> tuple[int, str] | None:
    """Number and digest of the last line that was written; None where there is none."""
    with Session(database) as session:
        head = session.get(AuditHeadRow, 1)
        return (head.number, head.digest) if head is not None and head.number else None


def waiting(database: Database) -> int:
    """How many lines are not in the files yet."""
    with Session(database) as session:
        return session.scalar(select(func.count()).select_from(AuditRow).where(AuditRow.number.is_(None))) or 0
