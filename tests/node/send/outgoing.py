"""What the sender's tests share: objects in an outbox, peers that answer as told, a clock in the hand."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from sqlalchemy import Engine as Database
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database import job_states
from node.database.connection import open_database
from node.database.jobs import Job, JobState
from node.database.migrations import migrate
from node.database.tables import EventRow, JobRow, ObjectRow, OutboxRow
from tests.scp import end, listen, port_of

KINDS = {  # SOP class and order of sending
    "derived_series": (MRImageStorage, 0),
    "secondary_capture": (SecondaryCaptureImageStorage, 1),
    "presentation_state": (GrayscaleSoftcopyPresentationStateStorage, 3),
    "report": (Comprehensive3DSRStorage, 4),
}
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Outgoing:
    """A database with jobs whose objects lie in a folder, ready to be sent."""

    folder: Path
    database: Database
    made: int = 0

    def job(self, *destinations: str, kinds: Sequence[str] = ("secondary_capture",), confirm: bool = False) -> str:
        """A job that is being sent, with an object of each kind for every destination; returns its id."""
        self.made += 1
        job = Job(f"{self.made:032x}", "route", "trial", generate_uid(), (), (), {}, destinations, START)
        with Session(self.database) as session, session.begin():
            job_states.record(session, job)
            job_states.move(session, job.id, JobState.RUNNING)
            job_states.move(session, job.id, JobState.SENDING)
        for kind in kinds:
            sop_class, order = KINDS[kind]
            self.add(job, kind, sop_class, order, confirm=confirm)
        return job.id

    def add(
        self, job: Job, kind: str, sop_class: str, order: int, twin_of: str | None = None, confirm: bool = False
    ) -> str:
        """One object of a job and its line for every destination, none for a twin; returns its SOP Instance UID."""
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = sop_class, generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID = job.study_instance_uid, generate_uid()
        ds.PatientID, ds.PatientName, ds.Modality = "K4711", "Muster^Erika", "OT"
        path = self.folder / f"{ds.SOPInstanceUID}.dcm"
        pydicom.dcmwrite(path, ds, enforce_file_format=True)
        with Session(self.database) as session, session.begin():
            session.add(
                ObjectRow(
                    sop_instance_uid=ds.SOPInstanceUID,
                    sop_class_uid=sop_class,
                    series_instance_uid=ds.SeriesInstanceUID,
                    study_instance_uid=ds.StudyInstanceUID,
                    job_id=job.id,
                    kind=kind,
                    path=str(path),
                    sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                    size=path.stat().st_size,
                    order=order,
                    twin_of=twin_of,
                )
            )
            session.flush()
            for destination in job.destinations if twin_of is None else ():
                session.add(
                    OutboxRow(
                        sop_instance_uid=ds.SOPInstanceUID,
                        job_id=job.id,
                        destination=destination,
                        order=order,
                        state="waiting",
                        not_before=START,
                        confirm=confirm,
                    )
                )
        return str(ds.SOPInstanceUID)

    def twin(self, job_id: str, of: str) -> str:
        """A Comprehensive SR that stands in for the report `of`."""
        with Session(self.database) as session:
            study = session.get_one(JobRow, job_id).study_instance_uid
        job = Job(job_id, "route", "trial", study, (), (), {}, (), START)
        return self.add(job, "report", ComprehensiveSRStorage, 4, twin_of=of)

    def reset(self, job_id: str) -> None:
        """Let the job's lines wait again, as if the node had died before it noted that they were sent."""
        with Session(self.database) as session, session.begin():
            session.execute(update(OutboxRow).where(OutboxRow.job_id == job_id).values(state="waiting"))
            session.execute(update(JobRow).where(JobRow.id == job_id).values(state=JobState.SENDING))

    def lines(self, job_id: str, destination: str | None = None) -> list[OutboxRow]:
        query = select(OutboxRow).where(OutboxRow.job_id == job_id)
        if destination is not None:
            query = query.where(OutboxRow.destination == destination)
        with Session(self.database) as session:
            return list(session.scalars(query.order_by(OutboxRow.order, OutboxRow.id)))

    def states(self, job_id: str, destination: str | None = None) -> list[str]:
        return [line.state for line in self.lines(job_id, destination)]

    def path(self, uid: str) -> Path:
        return self.folder / f"{uid}.dcm"

    def job_record(self, job_id: str) -> JobRow:
        with Session(self.database) as session:
            return session.get_one(JobRow, job_id)

    def events(self, job_id: str) -> list[tuple[str, str]]:
        with Session(self.database) as session:
            rows = session.execute(
                select(EventRow.what, EventRow.detail).where(EventRow.job_id == job_id).order_by(EventRow.id)
            )
            return list(rows)


@contextmanager
def outgoing(folder: Path) -> Iterator[Outgoing]:
    """An empty outbox in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    database = open_database(f"sqlite:///{folder / 'node.db'}")
    migrate(database)
    try:
        yield Outgoing(folder, database)
    finally:
        database.dispose()


def destinations(**named: dict[str, Any]) -> Configuration:
    """A configuration with the given destinations."""
    return Configuration.model_validate({"destinations": named})


@dataclass
class Peer:
    """An archive made with pynetdicom: takes the classes it is told to and answers as it is told to."""

    classes: Sequence[str] = (*(sop_class for sop_class, _ in KINDS.values()), ComprehensiveSRStorage)
    syntaxes: Sequence[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    status: Callable[[str], int] = lambda uid: 0x0000
    hang_up_on: str = ""  # an object
    received: list[tuple[str, bytes, str]] = field(default_factory=list)  # UID, data set, transfer syntax
    contexts: list[list[str]] = field(default_factory=list)  # proposed per association

    @property
    def uids(self) -> list[str]:
        return [uid for uid, _, _ in self.received]

    @contextmanager
    def listen(self, more: Sequence[Any] = (), port: int = 0, ae_title: str = "ARCHIVE") -> Iterator[int]:
        """Accept associations on a free port of the loopback; yields it."""
        ae = AE(ae_title)
        for sop_class in self.classes:
            ae.add_supported_context(sop_class, list(self.syntaxes))
        for add in more:
            add(ae)
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_REQUESTED, self._requested),
            *(handler for add in more for handler in getattr(add, "handlers", ())),
        ]
        server = listen(ae, handlers, port)
        try:
            yield port_of(server)
        finally:
            end(server)

    def _requested(self, event: evt.Event) -> None:
        asked = event.assoc.requestor.primitive
        assert asked is not None
        requested = asked.presentation_context_definition_list
        self.contexts.append([f"{c.abstract_syntax} {'|'.join(c.transfer_syntax or ())}" for c in requested])

    def _store(self, event: evt.Event) -> int:
        request = event.request
        assert isinstance(request, C_STORE)
        assert isinstance(request.DataSet, BytesIO)
        uid = str(request.AffectedSOPInstanceUID)
        if uid == self.hang_up_on:
            event.assoc.abort()
        status = self.status(uid)
        if status == 0x0000 or status >> 12 == 0xB:
            self.received.append((uid, request.DataSet.getvalue(), str(event.context.transfer_syntax)))
        return status

    def destination(self, port: int, **more: Any) -> dict[str, Any]:
        """This peer as a destination of the configuration."""
        return {"kind": "dimse", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": port, "timeout_s": 10, **more}


@contextmanager
def silent_peer() -> Iterator[int]:
    """A port that accepts connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        kept: list[socket.socket] = []
        threading.Thread(target=_accept, args=(listener, kept), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in kept:
                connection.close()


def _accept(listener: socket.socket, kept: list[socket.socket]) -> None:
    try:
        while True:
            kept.append(listener.accept()[0])
    except OSError:
        return
