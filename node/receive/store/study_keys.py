"""The accession numbers of studies that earlier versions of the node received: read from an image of each, once."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Select, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from node.background import Loop
from node.database.connection import Database
from node.database.tables import ACCESSION, InstanceRow, StudyKeyRow, StudyRow
from node.errors import MustWait, NodeError
from node.progress import goes_on
from node.reading import Reader
from node.study.headers import read_header
from node.study.patients import accession_digest, marking_key

log = logging.getLogger(__name__)

AT_ONCE = 100  # studies a round
PAUSE_S = 1.0  # between two rounds: nobody waits for them
FIRST_S = 10.0  # after the start, when there is much else to do


class StudyKeys:
    """Reads them in the background, from the start of the node until there are none left.

    Parameters
    ----------
    data
        The node's data folder.
    database
        The node's records.
    reader
        Reads the images.
    """

    def __init__(self, data: Path, database: Database, reader: Reader) -> None:
        self._data, self._database, self._reader = data, database, reader
        self._tried: set[str] = set()  # studies whose images cannot be read now: until the next start
        self.loop = Loop("accession numbers of earlier studies", self._work, every_s=None, first_s=FIRST_S)

    def _work(self) -> float | None:
        return PAUSE_S if self.look() else None

    def look(self) -> int:
        """Read those of some studies; of how many, and 0 where none is left."""
        with Session(self._database) as session:
            found = list(session.scalars(_without_key().limit(AT_ONCE + len(self._tried))))
        studies = [uid for uid in found if uid not in self._tried][:AT_ONCE]
        key = marking_key(self._data)
        for study in studies:
            if self.loop.stopping.is_set():
                break
            goes_on()
            self._read(study, key)
        return len(studies)

    def _read(self, study: str, key: bytes) -> None:
        image = select(InstanceRow.path).where(InstanceRow.study_instance_uid == study, ~InstanceRow.made_by_us)
        with Session(self._database) as session:
            path = session.scalar(image.limit(1))
        digest = ""
        if path is not None:
            try:
                digest = accession_digest(self._reader.call(accession_number_in, self._data / "instances" / path), key)
            except MustWait:
                self._tried.add(study)
                return
            except NodeError:  # it has none that could be read, and will not have one
                log.info("accession number not read", extra={"study_instance_uid": study})
        with Session(self._database) as session, session.begin():
            if session.get(StudyRow, study) is None:  # removed meanwhile
                return
            dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
            row = {"study_instance_uid": study, "kind": ACCESSION, "digest": digest}
            session.execute(dialect.insert(StudyKeyRow).values(row).on_conflict_do_nothing())


def without_accession(session: Session) -> bool:
    """Whether there are studies whose accession number has not been read yet."""
    return session.scalar(_without_key().limit(1)) is not None


def _without_key() -> Select[str]:
    known = select(StudyKeyRow.digest).where(
        StudyKeyRow.study_instance_uid == StudyRow.study_instance_uid, StudyKeyRow.kind == ACCESSION
    )
    return select(StudyRow.study_instance_uid).where(~known.exists())


def accession_number_in(path: Path) -> str:
    """The accession number that a stored image states."""
    return str(read_header(path, ("AccessionNumber",)).get("AccessionNumber") or "")
