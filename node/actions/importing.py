"""Files are imported by an operator: from this machine's disk, or uploaded by a browser."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from sqlalchemy.orm import Session

from node.config import Configuration
from node.database import audit
from node.database.connection import Database
from node.database.job_states import path_name
from node.database.states import AssociationOutcome
from node.database.tables import IMPORTED
from node.files import make_folder, remove_folder
from node.receive import importer
from node.receive.importer import WAY, ImportReport, import_content
from node.receive.status import NotStored
from node.receive.store.store import Store

FOLDER = "uploads"  # in the data folder; a file lies there until it is imported
LOOK_BYTES = 16 * 2**20  # after so many the room on the disk is looked at again
STUDIES_NOTED = 100  # in the audit trail


def import_paths(
    configuration: Configuration,
    database: Database,
    paths: Iterable[Path],
    by: str,
    progress: Callable[[Path], None] | None = None,
) -> ImportReport:
    """Import files, folders, media and packed files of this machine, whether the node runs or not.

    Parameters
    ----------
    paths, progress
        As for `node.receive.importer.run`.
    by
        Who does so, for the audit trail.
    """
    report = importer.run(configuration, paths, progress)
    note(database, by, report)
    return report


def note(database: Database, by: str, report: ImportReport) -> None:
    """Write down who imported what, by the studies; files are counted only, as their names may be a patient's."""
    if not (report.stored or report.not_taken):
        return
    numbers = {"stored": report.stored, "not_taken": len(report.not_taken), "studies": len(report.studies)}
    uids = list(report.studies)[:STUDIES_NOTED]
    only = uids[0] if len(report.studies) == 1 else None
    with Session(database) as session, session.begin():
        audit.note(session, IMPORTED, by, study_instance_uid=only, files=numbers, study_instance_uids=uids)


def uploads_folder(configuration: Configuration) -> Path:
    """Where this node, of those that share the data folder, keeps what is being uploaded."""
    return configuration.node.data.absolute() / FOLDER / path_name(configuration)


def forget_uploads(configuration: Configuration) -> None:
    """Delete what uploads have left that this node was taking when it was killed."""
    folder = uploads_folder(configuration)
    if folder.exists():
        remove_folder(folder)


class NoMoreRoom(Exception):
    """The disk has no room for more of an upload; the message says so."""


class Upload:
    """The files of one upload on their way into the store, one after the other.

    Parameters
    ----------
    store
        Takes the instances.
    folder
        A file lies there until it is imported.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self.report = store, ImportReport()
        self._folder = folder / secrets.token_hex(16)
        make_folder(self._folder)
        self._arrival = store.open(WAY, peer_address=WAY)
        self._path = self._folder / "file"
        self._file: IO[bytes] | None = None
        self._name, self._written, self._looked = "", 0, 0

    def begin(self, name: str) -> None:
        """A file begins.

        Parameters
        ----------
        name
            As the browser has it, with its folders; it never becomes a path.

        Raises
        ------
        NoMoreRoom
        """
        self._name, self._written, self._looked = name, 0, 0
        self._require_room()
        self._file = self._path.open("wb")

    def write(self, data: bytes) -> None:
        """More of the file has come.

        Raises
        ------
        NoMoreRoom
        """
        assert self._file is not None
        self._written += len(data)
        if self._written - self._looked > LOOK_BYTES:
            self._looked = self._written
            self._require_room()
        try:
            self._file.write(data)
        except OSError as error:
            raise NoMoreRoom(f"cannot be written: {error.strerror}") from error

    def end(self) -> None:
        """The file is there: take it, and what is packed in it.

        Raises
        ------
        NoMoreRoom
        """
        assert self._file is not None
        try:
            self._file.close()
        except OSError as error:
            raise NoMoreRoom(f"cannot be written: {error.strerror}") from error
        self._file = None
        import_content(self._path, self._store, lambda: self._arrival, self.report, self._name)
        self._path.unlink(missing_ok=True)
        if self.report.no_room:
            raise NoMoreRoom("The disk is full")

    def close(self, outcome: AssociationOutcome = AssociationOutcome.RELEASED, reason: str = "") -> ImportReport:
        """No more files come; what became of those that did. To be called once, however it ends."""
        if self._file is not None:
            self._file.close()
        self.report.metas_replaced = self._arrival.metas_replaced
        self._arrival.close(outcome, reason)
        remove_folder(self._folder)
        return self.report

    def _require_room(self) -> None:
        try:
            self._store.require_room(self._arrival)
        except NotStored as error:
            raise NoMoreRoom(error.reason) from error
