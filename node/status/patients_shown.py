"""What names a patient on the pages: read when it is shown, by a reader, kept nowhere, and written down as viewed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.report_text import ReportText, report_text_in
from node.access.identity import Identity
from node.data_folder import resolved
from node.database import audit
from node.database.connection import Database
from node.database.tables import KEY_OBJECTS, PATIENT_VIEWED, AuditRow, InstanceRow, ObjectRow
from node.errors import NodeError
from node.reading import Reader
from node.study.shown_patient import ShownPatient, shown_patient_in

log = logging.getLogger(__name__)

EVERY = timedelta(hours=1)  # a line of the audit trail for one who looks at one study
PATIENTS_SHOWN = 4  # of a study whose images are of several
LARGEST_REPORT = 16 * 2**20  # bytes; ours are well under one
REPORTS = ("report", "assessment")  # kinds of objects


class CannotBeShown(Exception):
    """Why, in a sentence without its end."""


@dataclass(frozen=True)
class ShownReport:
    """A report of a job, as text."""

    row: ObjectRow
    text: ReportText


class PatientsShown:
    """Reads who the patients of studies are, for those who may see it.

    Parameters
    ----------
    data
        The node's data folder.
    database
        The node's records; a view is written down there before it is shown.
    reader
        Reads images and reports.
    """

    def __init__(self, data: Path, database: Database, reader: Reader) -> None:
        self._data, self._database, self._reader = data.absolute(), database, reader

    def patients(self, study_instance_uid: str, viewer: Identity) -> list[ShownPatient]:
        """Whom the images of a study are of; one for each patient, and none where no image is stored any more.

        Raises
        ------
        CannotBeShown
            If no image can be read now.
        """
        path = func.min(InstanceRow.path)
        images = (
            select(path)
            .where(
                InstanceRow.study_instance_uid == study_instance_uid,
                ~InstanceRow.made_by_us,
                InstanceRow.sop_class_uid != KEY_OBJECTS,
                InstanceRow.given_up == "",
            )
            .group_by(InstanceRow.patient)
            .order_by(path)
            .limit(PATIENTS_SHOWN)
        )
        with Session(self._database) as session:
            paths = session.scalars(images).all()
        found = []
        for one in paths:
            try:
                found.append(self._reader.call(shown_patient_in, self._data / "instances" / one))
            except NodeError as error:
                problem = type(error).__name__  # its words are a library's
                log.info("patient not shown", extra={"study_instance_uid": study_instance_uid, "error": problem})
        if paths and not found:
            raise CannotBeShown("the images cannot be read now")
        if found:
            self._note(study_instance_uid, viewer)
        return found

    def report(self, sop_instance_uid: str, viewer: Identity) -> ShownReport | None:
        """A report that a job made; None where there is none of that UID.

        Raises
        ------
        CannotBeShown
            If it is not kept any more, or cannot be read.
        """
        with Session(self._database, expire_on_commit=False) as session:
            row = session.get(ObjectRow, sop_instance_uid)
        if row is None or row.kind not in REPORTS:
            return None
        path = resolved(row.path, self._data).resolve()
        if not path.is_relative_to(self._data.resolve()):
            return None
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST_REPORT)
        except OSError:
            raise CannotBeShown("the node does not keep this report any more; the destinations have it") from None
        try:
            text = self._reader.call(report_text_in, content)
        except (NodeError, UnsuitableInput):
            raise CannotBeShown("it cannot be read") from None
        self._note(row.study_instance_uid, viewer)
        return ShownReport(row, text)

    def _note(self, study_instance_uid: str, viewer: Identity) -> None:
        """Write down that somebody looks at it, unless that is known of the last hour."""
        now = datetime.now(UTC)
        known = select(AuditRow.id).where(
            AuditRow.study_instance_uid == study_instance_uid,
            AuditRow.what == PATIENT_VIEWED,
            AuditRow.who == viewer.name,
            AuditRow.at > now - EVERY,
        )
        with Session(self._database) as session, session.begin():
            if session.scalar(known.limit(1)) is None:
                audit.note(session, PATIENT_VIEWED, viewer.name, study_instance_uid=study_instance_uid, now=now)
