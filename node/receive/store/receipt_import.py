"""The receipt logs' way into the database: one process per node reads what all receiving processes appended.

It is the only writer of receipts, so nothing collides, and it writes in batches, so a database costs a receiver
little. In a node it runs in the parent process: a receiver's threads would share their interpreter with it. Each
receiver has one too, which takes over where there is no parent. What a batch says is put so that reading it twice
changes nothing: a crash between the database's commit and the note of how far the log was read is harmless.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from prometheus_client import Counter as Metric
from sqlalchemy import JSON, Connection, Row, Select, Table, Update, and_, bindparam, case, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from dicom_sr.words import counted
from node.background import Loop
from node.database import rejections, verdicts
from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.states import (
    ASSOCIATION,
    AssociationOutcome,
    ForbiddenTransition,
    RejectionNoteState,
    before,
    require,
)
from node.database.tables import (
    ACCESSION,
    KEY_OBJECTS,
    NOT_STORED,
    PATIENT_ID,
    AssociationRow,
    AuditRow,
    InstanceRow,
    KeyObjectRow,
    SeriesRow,
    StudyKeyRow,
    StudyRow,
)
from node.files import write_whole
from node.metrics import (
    ASSOCIATIONS,
    INSTANCES_NOT_STORED,
    INSTANCES_RECEIVED,
    INSTANCES_REPEATED,
    RECEIVED_BYTES,
)
from node.progress import goes_on
from node.receive.store.locks import LeaderLock
from node.receive.store.receipt_log import (
    CameBack,
    Closed,
    Entry,
    Failed,
    Finished,
    Noted,
    Opened,
    Refused,
    Stored,
    Synced,
    decode_all,
    encode,
    is_abandoned,
)
from node.receive.store.refusals import what_was_refused
from node.receive.store.unrecorded import RETRY_S, SEARCH_S, SETTLED_S, UnrecordedInstances
from node.study.patients import patient_id_part, same_patient

log = logging.getLogger(__name__)

POLL_S = 0.05  # a receipt is in the database about this long after the sender's success; under load
BUSY_SHARE = 0.1  # of the time the import works at most, in larger batches, so that reception has the processor
LONGEST_POLL_S = 0.5
ABANDONED_CHECK_S = 2.0
LONGEST_WHO = 128
UNKNOWN_WAY = "unknown"  # of an instance whose association is not on record
NOT_RECORDED = "not-recorded.lines"  # beside the logs: what the database refused of them
BATCH_BYTES = 256 * 1024  # of a log, some 700 receipts a transaction

associations = cast(Table, AssociationRow.__table__)
instances = cast(Table, InstanceRow.__table__)
series = cast(Table, SeriesRow.__table__)
studies = cast(Table, StudyRow.__table__)
audits = cast(Table, AuditRow.__table__)
notes = cast(Table, KeyObjectRow.__table__)
keys = cast(Table, StudyKeyRow.__table__)

# The statements are made once: building and compiling one costs SQLAlchemy more than the database takes to run it.
KNOWN_ASSOCIATIONS = select(associations.c.id, associations.c.times).where(
    associations.c.id.in_(bindparam("keys", expanding=True))
)
OUTCOMES = select(associations.c.id, associations.c.way, associations.c.outcome).where(
    associations.c.id.in_(bindparam("keys", expanding=True))
)
WAYS = select(associations.c.id, associations.c.way).where(associations.c.id.in_(bindparam("keys", expanding=True)))
KNOWN_COUNTS = select(audits.c.counted_as, audits.c.times).where(
    audits.c.counted_as.in_(bindparam("keys", expanding=True))
)
KNOWN_INSTANCES = (
    select(
        instances.c.sop_instance_uid,
        instances.c.sop_class_uid,
        instances.c.study_instance_uid,
        instances.c.series_instance_uid,
        instances.c.made_by_us,
        instances.c.turn,
        (instances.c.given_up != "").label("given_up"),
    )
    .where(instances.c.sop_instance_uid.in_(bindparam("keys", expanding=True)))
    .with_for_update()  # one that is being deleted is waited for
)
KNOWN_SERIES = select(series.c.study_instance_uid, series.c.series_instance_uid, series.c.expected).where(
    series.c.series_instance_uid.in_(bindparam("keys", expanding=True))
)
NEW_ASSOCIATION, NEW_INSTANCE, NEW_SERIES, NEW_AUDIT = (
    insert(table) for table in (associations, instances, series, audits)
)
NEW_OR_MORE_OF_STUDY = {
    name: new.on_conflict_do_update(
        index_elements=[studies.c.study_instance_uid], set_={"last_received": new.excluded.last_received}
    )
    for name, new in (("sqlite", sqlite.insert(studies)), ("postgresql", postgresql.insert(studies)))
}
NEW_NOTE = {
    name: new.on_conflict_do_nothing()
    for name, new in (("sqlite", sqlite.insert(notes)), ("postgresql", postgresql.insert(notes)))
}
NEW_KEY = {
    name: new.on_conflict_do_nothing()
    for name, new in (("sqlite", sqlite.insert(keys)), ("postgresql", postgresql.insert(keys)))
}
CHANGED_NOTE = (
    update(notes)
    .where(notes.c.sop_instance_uid == bindparam("key"))
    .values(state=RejectionNoteState.WAITING, attempts=0)
)
COUNT_STORED = (
    update(associations)
    .where(associations.c.id == bindparam("key"), associations.c.ended.is_(None))  # its end has the whole count
    .values(stored=associations.c.stored + bindparam("count"))
)
END = (
    update(associations)
    .where(associations.c.id == bindparam("key"))
    .values(
        ended=bindparam("at"),
        outcome=bindparam("how"),
        reason=bindparam("why"),
        stored=bindparam("whole"),
        failed=bindparam("broken"),
    )
)
# An entry has the whole count: one that is read again changes nothing.
MORE_REFUSED = (
    update(associations)
    .where(associations.c.id == bindparam("key"), associations.c.times < bindparam("count"))
    .values(times=bindparam("count"), ended=bindparam("at"))
)
MORE_NOT_STORED = (
    update(audits)
    .where(audits.c.counted_as == bindparam("key"), audits.c.times < bindparam("count"))
    .values(times=bindparam("count"), detail=bindparam("all", type_=JSON))
)
OF_SERIES = and_(series.c.study_instance_uid == bindparam("study"), series.c.series_instance_uid == bindparam("key"))
# The file was replaced by what came last; an entry that is read twice is known by its turn, and one of an earlier
# version, which has none, by its time.
REPEATED = (
    update(instances)
    .where(
        instances.c.sop_instance_uid == bindparam("key"),
        or_(
            instances.c.turn < bindparam("its_turn"),
            and_(instances.c.turn == 0, instances.c.received != bindparam("at")),
        ),
    )
    .values(
        sop_class_uid=bindparam("class_uid"),
        series_instance_uid=bindparam("series_uid"),
        study_instance_uid=bindparam("study_uid"),
        transfer_syntax_uid=bindparam("syntax"),
        size=bindparam("bytes"),
        association_id=bindparam("association"),
        received=bindparam("at"),
        times_received=instances.c.times_received + 1,
        revision=instances.c.revision + bindparam("changed"),
        turn=bindparam("its_turn"),
        fsynced=bindparam("safe"),
        made_by_us=bindparam("ours"),
        patient=bindparam("who"),
        reading_attempts=0,
        given_up="",
        looks_left=instances.c.looks_left + bindparam("looks"),
    )
)
# The file was replaced by another, of another process, whose entry was read before.
REPLACED = (
    update(instances)
    .where(instances.c.sop_instance_uid == bindparam("key"))
    .values(times_received=instances.c.times_received + 1, revision=instances.c.revision + bindparam("changed"))
)
# What was decided about the series was about other images, or without this one, which had been given up and is to be
# read again: it is complete once more, as after a late instance.
REVISED_SERIES = (
    update(series)
    .where(OF_SERIES)
    .values(
        {
            column: case((column >= series.c.instances, series.c.instances - 1), else_=column)
            for column in (series.c.routed_instances, series.c.study_routed_instances)
        }
    )
)
MORE_OF_SERIES = (
    update(series)
    .where(OF_SERIES)
    .values(
        instances=series.c.instances + bindparam("added"),
        expected=bindparam("stated"),
        last_received=bindparam("at"),
        last_association_id=bindparam("association"),
    )
)
# Their places were taken by instances of other series: what is undecided stays so.
LESS_OF_SERIES = (
    update(series)
    .where(OF_SERIES)
    .values(
        {
            column: case((column > bindparam("gone"), column - bindparam("gone")), else_=0)
            for column in (series.c.instances, series.c.routed_instances, series.c.study_routed_instances)
        }
    )
)
SAFE = (
    update(instances)
    .where(instances.c.sop_instance_uid == bindparam("key"), instances.c.received <= bindparam("at"))
    .values(fsynced=True)
)

_T = TypeVar("_T", bound=Entry)
SeriesKey: TypeAlias = tuple[str, str]
"""Study and Series Instance UID: some devices give one series to several studies."""


class ReceiptImport:
    """Reads the receipt logs in `<data>/receipts` and writes the tables of reception.

    Only one process per data folder does it: the others wait until its lock is free.

    Parameters
    ----------
    data
        The node's data folder.
    database
        The node's database.
    """

    def __init__(self, data: Path, database: Database) -> None:
        self._folder = data / "receipts"
        self._database = database
        self._leader_lock = LeaderLock(self._folder / "receipt_import.lock")
        self._positions: dict[str, int] = {}
        self._looked = 0.0  # when it was last looked for processes that have died
        self._caught_up = False  # whether all that was there at some time has been brought in
        self._not_recorded = len(_lines(self._folder / NOT_RECORDED))
        self._loop = Loop("import of receipts", self._work, every_s=POLL_S, last_round=True)
        self._unrecorded = UnrecordedInstances(data, database, self._bring_in)
        self._search = Loop(
            "search for instances without a record", self._look_for_unrecorded, every_s=SEARCH_S, retry_s=RETRY_S
        )

    def start(self) -> None:
        """Bring in what the last run left behind, then go on in a thread.

        Who asks what is complete after this sees whole series: half of what came before a crash would look like all of
        it, since it has been quiet for as long as the node was down.
        """
        if self._leader_lock.is_mine():  # now, before a process that is started after this asks
            try:
                self._try_again()
                self.poll()
            except (SQLAlchemyError, OSError) as error:
                log.error("receipts wait for the database", extra={"error": type(error).__name__})
        self._loop.start()
        self._search.start()

    def stop(self) -> None:
        """Bring in what has been appended so far, then end."""
        self._search.stop()
        self._loop.stop()
        self._leader_lock.close()

    def import_now(self) -> bool:
        """Import what is there, unless another process does; whether it was done here. Instead of `start`."""
        try:
            if not self._leader_lock.is_mine():
                return False
            self.poll()
            return True
        finally:
            self._leader_lock.close()

    def problem(self) -> str | None:
        """Why receipts are not brought in at the moment, or None."""
        return self._loop.problem()

    def remark(self) -> str | None:
        """How many receipts the database has refused, and where they are kept; None where it has refused none."""
        if not self._not_recorded:
            return None
        what = counted(self._not_recorded, "receipt")
        return f"{what} that the database refuses: kept in {NOT_RECORDED}, tried again when the node starts"

    def _work(self) -> float:
        """Bring in what is new, if no other process does; the seconds until the next time.

        Whatever fails, the logs keep everything until it works again.
        """
        if not self._leader_lock.is_mine():
            return ABANDONED_CHECK_S  # the process that does it may die
        began = time.monotonic()
        look = self._loop.stopping.is_set() or began - self._looked >= ABANDONED_CHECK_S
        self.poll(look)
        if look:
            self._looked = began
        worked = time.monotonic() - began
        return min(max(POLL_S, worked * (1 / BUSY_SHARE - 1)), LONGEST_POLL_S)

    def _look_for_unrecorded(self) -> float | None:
        """Look, if this process is the one, and all receipts were read before; the seconds until the next time."""
        if not self._caught_up or not self._leader_lock.is_mine():
            return RETRY_S
        return SETTLED_S if self._unrecorded.look() else None

    def poll(self, look_for_abandoned: bool = True) -> int:
        """Bring in what is new; how many entries that were.

        Parameters
        ----------
        look_for_abandoned
            Whether to see which processes have died, and close what they left open.
        """
        count = 0
        for segment in sorted(self._folder.glob("*.journal")):
            # asked before the last read: nothing can be appended between the two
            abandoned = look_for_abandoned and is_abandoned(segment)
            finished, read = self._read(segment)
            count += read
            if finished or abandoned:
                if not finished:
                    self._close_open_associations(segment.name.split("-")[0])
                segment.unlink(missing_ok=True)
                self._done_file(segment).unlink(missing_ok=True)
                self._positions.pop(segment.name, None)
        self._caught_up = True
        return count

    def _read(self, segment: Path) -> tuple[bool, int]:
        """Whether the segment's last line has been read, and how many entries were."""
        position = self._position(segment)
        count = 0
        finished = False
        with segment.open("rb") as file:
            file.seek(position)
            while data := file.read(BATCH_BYTES):
                goes_on()
                if (end := data.rfind(b"\n") + 1) == 0:
                    data += file.readline()  # of a line that is longer than a batch
                    end = data.rfind(b"\n") + 1
                if not end:
                    break  # a line is being written, or was cut short by a crash
                entries = list(decode_all(data[:end]))
                finished = bool(entries) and isinstance(entries[-1], Finished)
                self._bring_in(entries)
                count += len(entries)
                position += end
                self._remember(segment, position)
                file.seek(position)
        return finished, count

    def _done_file(self, segment: Path) -> Path:
        return segment.with_suffix(".read")

    def _position(self, segment: Path) -> int:
        if segment.name not in self._positions:
            try:
                text = self._done_file(segment).read_text(encoding="ascii", errors="replace")
            except FileNotFoundError:
                text = ""
            position = int(text) if text.isdigit() else 0
            # what a bad disk made of it: from the beginning, for reading twice changes nothing
            self._positions[segment.name] = position if position <= segment.stat().st_size else 0
        return self._positions[segment.name]

    def _remember(self, segment: Path, position: int) -> None:
        self._positions[segment.name] = position
        # not flushed, as this is done many times a second: after a power cut the segment is read again from an older
        # place, and what is recorded already changes nothing
        write_whole(self._done_file(segment), str(position).encode(), sync="never")

    def _close_open_associations(self, process: str) -> None:
        """A process died: what it had open was lost. What it had acknowledged is all there."""
        with self._database.begin() as connection:
            ways = connection.scalars(
                update(associations)
                .where(
                    associations.c.id.startswith(f"{process}-"),
                    associations.c.outcome.in_(before(ASSOCIATION, AssociationOutcome.LOST)),
                )
                .values(ended=datetime.now(UTC), outcome=AssociationOutcome.LOST, reason="The receiving process ended")
                .returning(associations.c.way)
            ).all()
        for way in ways:
            ASSOCIATIONS.labels(way, AssociationOutcome.LOST.value).inc()
        log.warning("a receiving process ended", extra={"receiver": process, "associations": len(ways)})

    def _bring_in(self, entries: Sequence[Entry]) -> None:
        """Write `entries`; one that the database refuses is kept beside the logs instead of stopping all others."""
        try:
            self._write(entries)
        except (DataError, IntegrityError, ForbiddenTransition):
            self._keep([entry for entry in entries if self._is_refused(entry)])

    def _is_refused(self, entry: Entry) -> bool:
        """Write one entry; whether the database refuses it."""
        try:
            self._write([entry])
        except ForbiddenTransition as error:  # it is about what is recorded otherwise
            log.error("a receipt contradicts the records", extra={"kind": type(entry).__name__, "error": str(error)})
        except (DataError, IntegrityError) as error:
            facts = {"kind": type(entry).__name__, "error": type(error).__name__}
            log.error("a receipt cannot be recorded", extra=facts)
            return True
        return False

    def _keep(self, entries: Iterable[Entry]) -> None:
        """Keep these with those that were refused before; one that was read twice is there once."""
        path = self._folder / NOT_RECORDED
        before = _lines(path)
        lines = dict.fromkeys([*before, *(encode(entry) for entry in entries)])
        if len(lines) > len(before):
            write_whole(path, b"".join(lines), sync="content")
        self._not_recorded = len(lines)

    def _try_again(self) -> None:
        """Write what was refused in an earlier run: this version, or this database, may take it."""
        path = self._folder / NOT_RECORDED
        entries = decode_all(b"".join(_lines(path)))
        refused = [entry for entry in entries if not self._is_replaced(entry) and self._is_refused(entry)]
        if refused:
            write_whole(path, b"".join(map(encode, refused)), sync="content")
        else:
            path.unlink(missing_ok=True)
        self._not_recorded = len(refused)

    def _is_replaced(self, entry: Entry) -> bool:
        """Whether it is about an instance that came once more since."""
        if not isinstance(entry, Stored):
            return False
        newer = select(instances.c.sop_instance_uid).where(
            instances.c.sop_instance_uid == entry.sop_instance_uid,
            or_(
                instances.c.turn > entry.turn,
                and_(instances.c.turn == entry.turn, instances.c.received > _moment(entry.at)),
            ),
        )
        with self._database.connect() as connection:
            return connection.scalar(newer) is not None

    def _write(self, entries: Sequence[Entry]) -> None:
        """One transaction for `entries`, in the order that keeps an association's end after its instances."""
        counts = _Counts()
        with self._database.begin() as connection:
            _write_associations(connection, entries, counts)
            _write_instances(connection, _of(Stored, entries), counts)
            _count(connection, COUNT_STORED, [*_of(Stored, entries), *_of(CameBack, entries)])
            _write_synced(connection, _of(Synced, entries))
            _write_audit(connection, entries)
            _write_not_stored(connection, _of(Failed, entries), counts)
            _write_ends(connection, _of(Closed, entries), counts)
        counts.tell()


class _Counts:
    """What one transaction adds to the node's counters: nothing of what was read a second time."""

    def __init__(self) -> None:
        self._added: Counter[tuple[Metric, tuple[str, ...]]] = Counter()

    def add(self, metric: Metric, *labels: str, number: int = 1) -> None:
        """So many more, where it is not less than none."""
        self._added[metric, labels] += max(0, number)

    def tell(self) -> None:
        """Count them: what they are about is committed."""
        for (metric, labels), number in self._added.items():
            metric.labels(*labels).inc(number)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []


def _of(kind: type[_T], entries: Iterable[Entry]) -> list[_T]:
    return [entry for entry in entries if isinstance(entry, kind)]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _existing(
    connection: Connection, statement: Select[*tuple[Any, ...]], values: Iterable[str]
) -> list[Row[*tuple[Any, ...]]]:
    """The rows of `statement` for `values`."""
    return [row for chunk in in_chunks(values) for row in connection.execute(statement, {"keys": chunk})]


def _write_associations(connection: Connection, entries: Sequence[Entry], counts: _Counts) -> None:
    begun = {entry.association_id: entry for entry in entries if isinstance(entry, Opened | Refused)}
    known = {row.id: row.times for row in _existing(connection, KNOWN_ASSOCIATIONS, begun)}
    for name, entry in begun.items():
        if isinstance(entry, Refused):
            more_of_it = entry.times - known.get(name, 0)
            counts.add(ASSOCIATIONS, entry.way, AssociationOutcome.REFUSED.value, number=more_of_it)
    rows = [
        {
            "id": entry.association_id,
            "way": entry.way,
            "calling_ae_title": entry.calling_ae_title,
            "called_ae_title": entry.called_ae_title,
            "peer_address": entry.peer_address,
            "started": _moment(entry.at),
            "ended": _moment(max(entry.at, entry.last)) if isinstance(entry, Refused) else None,
            "outcome": AssociationOutcome.REFUSED if isinstance(entry, Refused) else AssociationOutcome.OPEN,
            "reason": entry.reason if isinstance(entry, Refused) else "",
            "contexts_refused": "" if isinstance(entry, Refused) else entry.contexts_refused,
            "stored": 0,
            "failed": 0,
            "times": entry.times if isinstance(entry, Refused) else 1,
        }
        for name, entry in begun.items()
        if name not in known
    ]
    if rows:
        connection.execute(NEW_ASSOCIATION, rows)
    more = [
        {"key": name, "count": entry.times, "at": _moment(entry.last)}
        for name, entry in begun.items()
        if name in known and isinstance(entry, Refused) and entry.times > 1
    ]
    if more:
        connection.execute(MORE_REFUSED, more)


def _write_instances(connection: Connection, stored: Sequence[Stored], counts: _Counts) -> None:
    if not stored:
        return
    ways = {row.id: row.way for row in _existing(connection, WAYS, {entry.association_id for entry in stored})}
    images = [entry for entry in stored if _is_image(entry)]
    # first: as who removes or erases a study, whoever has its row may change what is of it
    _write_studies(connection, images)
    known = _existing(connection, KNOWN_INSTANCES, {entry.sop_instance_uid for entry in stored})
    places: dict[str, SeriesKey | None] = {  # of which series it is counted
        row.sop_instance_uid: (row.study_instance_uid, row.series_instance_uid) if _is_image(row) else None
        for row in known
    }
    latest = {row.sop_instance_uid: row.turn for row in known}
    replaced = [entry for entry in stored if entry.turn < latest.get(entry.sop_instance_uid, 0)]
    if replaced:
        _write_replaced(connection, replaced)
        stored = [entry for entry in stored if entry.turn >= latest.get(entry.sop_instance_uid, 0)]
        images = [entry for entry in stored if _is_image(entry)]
    new: list[Stored] = []
    again: list[Stored] = []
    added: Counter[SeriesKey] = Counter()
    gone: Counter[SeriesKey] = Counter()
    for entry in stored:
        (again if entry.sop_instance_uid in places else new).append(entry)
        before, place = places.get(entry.sop_instance_uid), _series_key(entry) if _is_image(entry) else None
        if before != place:  # else its file was gone, and its UID anybody's
            added.update([place] if place else [])
            gone.update([before] if before else [])
        places[entry.sop_instance_uid] = place
    for entry in new:
        way = ways.get(entry.association_id, UNKNOWN_WAY)
        counts.add(INSTANCES_RECEIVED, way)
        counts.add(RECEIVED_BYTES, way, number=entry.size)
    if new:
        rejected = _rejected(connection, new)
        connection.execute(NEW_INSTANCE, [_instance_row(entry, rejected) for entry in new])
    for entry in again:
        if entry.turn > latest.get(entry.sop_instance_uid, 0):  # else it is read a second time
            counts.add(INSTANCES_REPEATED, ways.get(entry.association_id, UNKNOWN_WAY))
    if again:
        _write_repeated(connection, again, {row.sop_instance_uid for row in known if row.given_up})
    if images:
        _write_series(connection, images, added)
        _write_keys(connection, images)
    if gone:
        lost = [{"study": study, "key": uid, "gone": count} for (study, uid), count in sorted(gone.items())]
        connection.execute(LESS_OF_SERIES, lost)
    _write_notes(connection, stored)


def _is_image(one: Stored | Row[*tuple[Any, ...]]) -> bool:
    """Whether it adds to its series and its study's time: not results of this software, nor key object documents."""
    return not one.made_by_us and one.sop_class_uid != KEY_OBJECTS


def _write_keys(connection: Connection, images: Sequence[Stored]) -> None:
    """By what their studies are found."""
    patients = {(entry.study_instance_uid, PATIENT_ID, patient_id_part(entry.patient)) for entry in images}
    accessions = {
        (entry.study_instance_uid, ACCESSION, entry.accession) for entry in images if entry.accession is not None
    }
    found = sorted(accessions | {key for key in patients if key[2]})
    rows = [{"study_instance_uid": study, "kind": kind, "digest": digest} for study, kind, digest in found]
    if rows:
        connection.execute(NEW_KEY[connection.dialect.name], rows)


def _write_notes(connection: Connection, stored: Sequence[Stored]) -> None:
    """Have key object documents be looked into, which may reject images; those of this software never do."""
    found = [entry for entry in stored if entry.sop_class_uid == KEY_OBJECTS and not entry.made_by_us]
    if not found:
        return
    rows = [
        {
            "sop_instance_uid": entry.sop_instance_uid,
            "study_instance_uid": entry.study_instance_uid,
            "patient": entry.patient,
            "state": RejectionNoteState.WAITING,
            "code": "",
            "attempts": 0,
            "received": _moment(entry.at),
        }
        for entry in found
    ]
    connection.execute(NEW_NOTE[connection.dialect.name], rows)
    if changed := [{"key": entry.sop_instance_uid} for entry in found if entry.changed]:
        connection.execute(CHANGED_NOTE, changed)


def _rejected(connection: Connection, new: Sequence[Stored]) -> dict[str, str]:
    """By SOP Instance UID: why images were rejected before they came, by notes of their study and patient."""
    entries = {entry.sop_instance_uid: entry for entry in new}
    return {
        row.sop_instance_uid: row.code
        for row in _existing(connection, rejections.BEFORE_RECEIPT, entries)
        if row.study_instance_uid == entries[row.sop_instance_uid].study_instance_uid
        and same_patient(row.patient, entries[row.sop_instance_uid].patient)
    }


def _count(connection: Connection, statement: Update, entries: Sequence[Stored | CameBack | Failed]) -> None:
    """Add `entries` to what their associations have brought."""
    counts = Counter(entry.association_id for entry in entries)
    if counts:
        connection.execute(statement, [{"key": name, "count": count} for name, count in counts.items()])


def _instance_row(entry: Stored, rejected: Mapping[str, str]) -> dict[str, Any]:
    return {
        "sop_instance_uid": entry.sop_instance_uid,
        "sop_class_uid": entry.sop_class_uid,
        "series_instance_uid": entry.series_instance_uid,
        "study_instance_uid": entry.study_instance_uid,
        "transfer_syntax_uid": entry.transfer_syntax_uid,
        "path": entry.path,
        "size": entry.size,
        "association_id": entry.association_id,
        "received": _moment(entry.at),
        "times_received": 1,
        "revision": 0,
        "turn": entry.turn,
        "fsynced": entry.fsynced,
        "made_by_us": entry.made_by_us,
        "patient": entry.patient,
        "reading_attempts": 0,
        "given_up": "",
        "looks_left": verdicts.looks(entry.sop_class_uid),
        "rejected": rejected.get(entry.sop_instance_uid, ""),
    }


def _write_repeated(connection: Connection, again: Sequence[Stored], given_up: Collection[str]) -> None:
    connection.execute(
        REPEATED,
        [
            {
                "key": entry.sop_instance_uid,
                "class_uid": entry.sop_class_uid,
                "series_uid": entry.series_instance_uid,
                "study_uid": entry.study_instance_uid,
                "syntax": entry.transfer_syntax_uid,
                "bytes": entry.size,
                "association": entry.association_id,
                "at": _moment(entry.at),
                "its_turn": entry.turn,
                "safe": entry.fsynced,
                "changed": int(entry.changed),
                "ours": entry.made_by_us,
                "who": entry.patient,
                "looks": verdicts.looks(entry.sop_class_uid) if entry.changed else 0,
            }
            for entry in again
        ],
    )
    _revise(connection, [one for one in again if one.changed or one.sop_instance_uid in given_up])


def _write_replaced(connection: Connection, replaced: Sequence[Stored]) -> None:
    """Count entries whose files had been replaced before what is recorded already."""
    connection.execute(REPLACED, [{"key": entry.sop_instance_uid, "changed": int(entry.changed)} for entry in replaced])
    _revise(connection, [entry for entry in replaced if entry.changed])


def _revise(connection: Connection, entries: Sequence[Stored]) -> None:
    """Have the series of these be decided about once more."""
    revised = sorted({_series_key(one) for one in entries})
    if revised:
        connection.execute(REVISED_SERIES, [{"study": study, "key": uid} for study, uid in revised])


def _series_key(entry: Stored) -> SeriesKey:
    return entry.study_instance_uid, entry.series_instance_uid


def _write_series(connection: Connection, stored: Sequence[Stored], added: Counter[SeriesKey]) -> None:
    touched: dict[SeriesKey, list[Stored]] = {}
    for entry in stored:
        touched.setdefault(_series_key(entry), []).append(entry)
    known = {
        (row.study_instance_uid, row.series_instance_uid): row.expected
        for row in _existing(connection, KNOWN_SERIES, {uid for _, uid in touched})
    }
    inserts, updates = [], []
    for key, entries in touched.items():
        study, uid = key
        first, last = entries[0], entries[-1]
        # where headers disagree the larger count holds: it can only make a series wait for its quiet time
        stated = [entry.expected for entry in entries if entry.expected] + [known.get(key) or 0]
        expected = max(stated) or None
        if key in known:
            updates.append(
                {
                    "study": study,
                    "key": uid,
                    "added": added[key],
                    "stated": expected,
                    "at": _moment(last.at),
                    "association": last.association_id,
                }
            )
        else:
            inserts.append(
                {
                    "series_instance_uid": uid,
                    "study_instance_uid": study,
                    "modality": first.modality,
                    "instances": added[key],
                    "expected": expected,
                    "first_received": _moment(first.at),
                    "last_received": _moment(last.at),
                    "last_association_id": last.association_id,
                }
            )
    if inserts:
        connection.execute(NEW_SERIES, inserts)
    if updates:
        connection.execute(MORE_OF_SERIES, updates)


def _write_studies(connection: Connection, stored: Sequence[Stored]) -> None:
    touched: dict[str, tuple[float, float]] = {}
    for entry in stored:
        first, _ = touched.get(entry.study_instance_uid, (entry.at, 0.0))
        touched[entry.study_instance_uid] = (first, entry.at)
    rows = [
        {"study_instance_uid": uid, "first_received": _moment(first), "last_received": _moment(last)}
        for uid, (first, last) in sorted(touched.items())
    ]
    if rows:
        connection.execute(NEW_OR_MORE_OF_STUDY[connection.dialect.name], rows)


def _write_synced(connection: Connection, synced: Sequence[Synced]) -> None:
    if synced:
        connection.execute(SAFE, [{"key": entry.sop_instance_uid, "at": _moment(entry.at)} for entry in synced])


def _write_audit(connection: Connection, entries: Sequence[Entry]) -> None:
    rows: list[dict[str, Any]] = []

    def add(entry: Noted | Refused, what: str, who: str, detail: dict[str, Any]) -> None:
        rows.append({"at": _moment(entry.at), "what": what, "who": who, "detail": detail, "times": 1})

    for entry in entries:
        if isinstance(entry, Noted):
            add(entry, entry.what, entry.who, entry.detail)
        elif isinstance(entry, Refused) and entry.times == 1:  # the first of an hour
            detail = {"way": entry.way, "called": entry.called_ae_title, "reason": entry.reason}
            who = f"{entry.calling_ae_title}@{entry.peer_address}"
            add(entry, what_was_refused(entry.way), who, detail)
    if rows:
        connection.execute(NEW_AUDIT, rows)


def _write_not_stored(connection: Connection, failed: Sequence[Failed], counts: _Counts) -> None:
    """One row for each kind; of the entries of one the last has the whole count."""
    last = {entry.key or str(number): entry for number, entry in enumerate(failed)}
    rows = _existing(connection, KNOWN_COUNTS, [key for key in last if last[key].key])
    known = {row.counted_as: row.times for row in rows}
    new, more = list[dict[str, Any]](), list[dict[str, Any]]()
    for key, entry in last.items():
        counts.add(INSTANCES_NOT_STORED, f"0x{entry.status:04X}", number=entry.times - known.get(key, 0))
        detail = {
            "association": entry.association_id,
            "sop_instance_uid": entry.sop_instance_uid,
            "series_instance_uid": entry.series_instance_uid,
            "status": f"0x{entry.status:04X}",
            "reason": entry.reason,
            "first": entry.named or entry.sop_instance_uid,
            "until": _moment(max(entry.at, entry.last)).isoformat(),
        }
        if key in known:
            more.append({"key": key, "count": entry.times, "all": detail})
        else:
            new.append(
                {
                    "at": _moment(entry.at),
                    "what": NOT_STORED,
                    "who": entry.sender[:LONGEST_WHO],
                    "study_instance_uid": entry.study_instance_uid or None,
                    "detail": detail,
                    "times": entry.times,
                    "counted_as": entry.key or None,
                }
            )
    if new:
        connection.execute(NEW_AUDIT, new)
    if more:
        connection.execute(MORE_NOT_STORED, more)


def _write_ends(connection: Connection, ends: Sequence[Closed], counts: _Counts) -> None:
    """End associations; an end that is read a second time changes nothing.

    Raises
    ------
    ForbiddenTransition
        If an association has ended otherwise before.
    """
    known = _existing(connection, OUTCOMES, [entry.association_id for entry in ends])
    outcomes = {row.id: AssociationOutcome(row.outcome) for row in known}
    ways = {row.id: row.way for row in known}
    for entry in ends:
        now, then = outcomes.get(entry.association_id), AssociationOutcome(entry.outcome)
        if now is not None:
            require(ASSOCIATION, f"association {entry.association_id}", now, then)
            if then != now:
                counts.add(ASSOCIATIONS, ways[entry.association_id], then.value)
            outcomes[entry.association_id] = then
    if ends:
        connection.execute(
            END,
            [
                {
                    "key": entry.association_id,
                    "at": _moment(entry.at),
                    "how": entry.outcome,
                    "why": entry.reason,
                    "whole": entry.stored,
                    "broken": entry.failed,
                }
                for entry in ends
            ],
        )
