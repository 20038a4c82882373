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
from node.database.tables import AUDIT_CHANGED, AUDIT_LOST, AuditHeadRow, AuditRow
from node.network.syslog_client import Line as SyslogLine
from node.network.syslog_client import Severity, SyslogClient
from node.progress import goes_on

log = logging.getLogger(__name__)

EVERY_S = 1.0
PAGE = 500  # lines that are written together
SENT_TOGETHER = 100
COUNTED_FOR = timedelta(minutes=65)  # lines are counted within the hour; receipts may come a little later
COUNTED_EVERY = timedelta(minutes=5)
STOP_S = 5.0  # for lines that are being sent
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
        self._source = Source.of(configuration)
        self._chain, self._sent = Chain(configuration.node.data), Chain(configuration.node.data)  # each for one thread
        self._keep, self._server = _settings(configuration)
        self._last: Link | None = None  # as the database's head has it; None: to be looked for
        self._writing = Loop("audit trail", self._write, every_s=EVERY_S, last_round=True)
        self._sending = self._new_sending()
        self._removal = Loop("removal of old audit files", self._remove_old, every_s=OLD_FILES_EVERY_S)

    def start(self) -> None:
        """Begin to write and to send."""
        self._writing.start()
        self._removal.start()
        if self._server is not None:
            self._sending.start()

    def stop(self) -> None:
        """Write what is there, and end."""
        self._sending.stop(STOP_S)
        self._removal.stop()
        self._writing.stop()

    def reconfigure(self, configuration: Configuration) -> None:
        """Keep lines as long, and send them to the server, that this configuration says."""
        self._sending.stop(STOP_S)
        self._keep, self._server = _settings(configuration)
        self._sending = self._new_sending()  # what the one before is at ends, and is perhaps sent twice
        if self._server is not None:
            self._sending.start()

    def problem(self) -> str | None:
        """Why lines are not written, or not sent, at the moment; None if they are."""
        return self._writing.problem() or (self._sending.problem() if self._server is not None else None)

    # ---- to the files
    def write(self) -> int:
        """Write the lines that are not in the files yet; how many."""
        written = 0
        while count := self._write_page():
            goes_on()
            written += count
        return written + self._write_counts()

    def _write(self) -> None:
        self.write()

    def _write_page(self) -> int:
        with Session(self._database) as session, session.begin():
            head = _head(session)
            self._find_end(session, head)
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
            since = head.counted_until
            if since is not None and until - since < COUNTED_EVERY:
                return 0
            self._find_end(session, head)
            head.counted_until = until
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

        Where it does not end well, `_find_end` finds them.
        """
        links: list[Link] = []
        for line in lines:
            before = links[-1] if links else self._last
            links.append(Link.after(before, line.at, audit_message(line, self._source), line.row))
        self._last = None  # until all of it is done
        self._chain.append(links)
        self._last = links[-1]
        head.number, head.digest = self._last.number, self._last.digest

    def _find_end(self, session: Session, head: AuditHeadRow) -> None:
        """Find the last line, and have the database say the same.

        Another node that shares the database may have gone on, this one may have ended between the file and the
        database, or somebody has changed the files: that is written down, and the chain goes on from what the database
        has, so that it shows for ever.
        """
        if self._last is not None and (self._last.number, self._last.digest) == (head.number, head.digest):
            return
        last = self._chain.last()
        known = self._chain.line(head.number, head.digest) if head.number else None
        if head.number and (known is None or not known.is_whole):
            there = last.number if last else 0
            what = AUDIT_LOST if there < head.number else AUDIT_CHANGED
            log.error(what, extra={"written": head.number, "there": there})
            audit.note(session, what, "", now=self._clock(), written=head.number, there=there)
            session.flush()
            self._last = Link(head.number, self._clock(), "", 0, "", head.digest)  # as if it were there
            return
        self._last = known
        for link in self._chain.after(head.number):
            if not self._adopt(session, head, link):
                log.error(AUDIT_CHANGED, extra={"written": head.number, "there": link.number})
                audit.note(session, AUDIT_CHANGED, "", now=self._clock(), written=head.number, there=link.number)
                session.flush()
                return

    def _adopt(self, session: Session, head: AuditHeadRow, link: Link) -> bool:
        """Have the database know a line that only the file has; whether this node has written it."""
        row = session.get(AuditRow, link.row)
        follows = link.is_whole and (link.number, link.previous) == (head.number + 1, head.digest)
        if row is None or not follows or link.at != row.at:
            return False
        if row.number is None:
            row.number = link.number
        else:  # the second time, with its count
            head.counted_until = max(row.at, head.counted_until or row.at)
        head.number, head.digest = link.number, link.digest
        self._last = link
        return True

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
        count, loop = 0, self._sending
        while not loop.stopping.is_set() and (links := self._next_to_send()):
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
        return list(islice(self._sent.after(sent), SENT_TOGETHER)) if written > sent else []

    def _note_sent(self, number: int) -> None:
        with Session(self._database) as session, session.begin():
            session.execute(update(AuditHeadRow).values(sent=number))

    def _new_sending(self) -> Loop:
        return Loop("audit trail to syslog", self._send, every_s=EVERY_S)

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
