"""Verdicts out of what comes in: each report and segmentation is looked into once, some time after its reception.

The rows of instances say what is still to be looked into, so that a restart forgets nothing; the look itself is the
reader processes' work, and neither reception nor routes wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from pydicom.sr.coding import Code
from sqlalchemy.orm import Session

from dicom_sr.assessment import Answer, AssessmentDocument
from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.assessments import Vocabulary, assessments_in
from dicom_sr.read.edited_reports import NotAnEdit
from node.background import Loop
from node.config import Configuration, VerdictSettings
from node.database import audit, verdicts
from node.database.connection import Database
from node.database.tables import VERDICT_NOT_READ, AssociationRow, InstanceRow, ObjectRow
from node.database.verdicts import SEGMENTATION
from node.errors import MustWait, ReadingFailed
from node.reading import Reader
from node.study.identity_in_text import without
from node.verdicts import storing
from node.verdicts.matching import Matched, Results
from node.verdicts.reading import document_at
from node.verdicts.verdict import Verdict, VerdictKind, observer_digest, observer_key

log = logging.getLogger(__name__)

EVERY_S = 2.0
RETRY_S = 10.0  # after what cannot be read now
MOST_REASONS = 5  # of one object, in the audit


class Intake:
    """Looks into what came in, one object after the other.

    Parameters
    ----------
    reader
        Reads what others sent.
    clock
        The time, with its zone.
    """

    def __init__(
        self, configuration: Configuration, database: Database, reader: Reader, clock: Callable[[], datetime]
    ) -> None:
        self._settings, self._database, self._reader, self._clock = configuration.verdicts, database, reader, clock
        self._data = configuration.node.data.absolute()
        self._vocabulary = vocabulary(configuration.verdicts)
        self.loop = Loop("reading of verdicts", self._work, every_s=EVERY_S, retry_s=RETRY_S)

    def reconfigure(self, configuration: Configuration) -> None:
        """Look into what comes as it says from now on, or into nothing."""
        self._vocabulary, self._settings = vocabulary(configuration.verdicts), configuration.verdicts

    def _work(self) -> float | None:
        if not self._settings.read:
            return None
        return 0.0 if self.look_into_next() else None

    def look_into_next(self) -> bool:
        """Look into what has waited longest; whether there was anything.

        Raises
        ------
        MustWait
            If it cannot be read now.
        """
        with Session(self._database, expire_on_commit=False) as session, session.begin():
            waiting = verdicts.next_to_look_into(session)
        if waiting is None:
            return False
        row, left = waiting
        try:
            found, reasons = self._look(row)
        except FileNotFoundError:  # it has been removed
            found, reasons = [], []
        except MustWait:
            with Session(self._database) as session, session.begin():
                verdicts.set_looks(session, row, left + 1)
            raise
        except ReadingFailed as error:
            if left > 0:
                log.warning("verdict not read yet", extra={"sop_instance_uid": row.sop_instance_uid})
                return True
            found, reasons = [], [str(error)]
        self._keep(row, found, reasons)
        return True

    def _look(self, row: InstanceRow) -> tuple[list[Verdict], list[str]]:
        """The verdicts in an object, and why others are left alone."""
        with Session(self._database) as session:
            if session.get(ObjectRow, row.sop_instance_uid) is not None:  # the node's own
                return [], []
            sender = session.get(AssociationRow, row.association_id)
            who = (sender.calling_ae_title or sender.way) if sender is not None else ""
        try:
            return self._segments(row, who) if row.sop_class_uid == SEGMENTATION else self._report(row, who)
        except UnsuitableInput as error:
            return [], [str(error)]
        except NotAnEdit as error:
            return [], [f"it is no edited copy that counts: {error}"]

    def _segments(self, row: InstanceRow, sender: str) -> tuple[list[Verdict], list[str]]:
        results = self._results(row)
        if (edited := results.edited_segments(self._path(row))) is None:
            return [], []
        kind = VerdictKind.EDITED_SEGMENTATION
        return [self._verdict(row, sender, kind, one, edited) for one in results.of_segments(edited)], []

    def _report(self, row: InstanceRow, sender: str) -> tuple[list[Verdict], list[str]]:
        document = self._reader.call(document_at, self._path(row), self._vocabulary.concepts)
        kind, results, stated = VerdictKind.ASSESSMENT, self._results(row), assessments_in(document, self._vocabulary)
        if not stated.assessments and not stated.not_understood:
            if (edited := results.edits(document)) is None:
                return [], []
            kind, stated = VerdictKind.EDITED_REPORT, edited
        elif not results:
            what = "the patient that it names" if results.of_another_patient else "its study"
            return [], [f"there is no result of {what}"]
        said, reasons = results.matched(stated)
        return [self._verdict(row, sender, kind, one, stated, document.identity) for one in said], reasons

    def _results(self, row: InstanceRow) -> Results:
        return Results(self._database, self._data, self._reader, row)

    def _path(self, row: InstanceRow) -> Path:
        return self._data / "instances" / row.path

    def _verdict(
        self,
        row: InstanceRow,
        sender: str,
        kind: VerdictKind,
        one: Matched,
        document: AssessmentDocument,
        identity: tuple[str, ...] = (),
    ) -> Verdict:
        comment = without(one.said.comment, (*identity, document.person)) if self._settings.comments else ""
        return Verdict(
            kind,
            row.sop_instance_uid,
            one.job_id,
            row.study_instance_uid,
            one.object_uid,
            one.said.tracking_uid,
            one.said.tracking_id,
            one.said.finding,
            one.said.site,
            one.said.answer,
            one.said.reason,
            comment,
            one.said.changes,
            observer_digest(document.person, observer_key(self._data)),
            document.device,
            sender,
            document.observed or row.received,
            row.received,
        )

    def _keep(self, row: InstanceRow, found: Iterable[Verdict], reasons: list[str]) -> None:
        found = list(found)
        with Session(self._database) as session, session.begin():
            new = storing.store(session, found)
            verdicts.set_looks(session, row, 0)
            if reasons:
                detail = {
                    "sop_instance_uid": row.sop_instance_uid,
                    "reasons": reasons[:MOST_REASONS],
                    "count": len(reasons),
                }
                study = row.study_instance_uid
                audit.note(session, VERDICT_NOT_READ, "", study_instance_uid=study, now=self._clock(), **detail)
        if found:
            answers = {answer.value: sum(one.answer is answer for one in found) for answer in Answer}
            log.info("verdicts read", extra={"sop_instance_uid": row.sop_instance_uid, "new": new, **answers})
        if reasons:
            log.warning("verdict not read", extra=detail)


def vocabulary(settings: VerdictSettings) -> Vocabulary:
    """The codes by which a verdict is known here."""
    answers = ((Answer.ACCEPT, settings.accept), (Answer.MODIFY, settings.modify), (Answer.REJECT, settings.reject))
    return Vocabulary().more(
        tuple(_code(text) for text in settings.concepts),
        tuple(_code(text) for text in settings.reasons),
        tuple((_code(text), answer) for answer, texts in answers for text in texts),
    )


def _code(text: str) -> Code:
    scheme, _, value = text.partition(":")
    return Code(value, scheme, "")
