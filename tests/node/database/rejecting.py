"""A database with a study of a few images, for tests of rejecting them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from node.database.states import RejectionNoteState
from node.database.tables import InstanceRow, KeyObjectRow, SeriesRow, StudyRow
from tests.node.database.withdrawing import NOON

STUDY, SERIES = "1.2.3", "1.2.3.4"
ME, OTHER = "aaaa....", "bbbb...."  # marks of patients


def images(session: Session, number: int = 3, patient: str = ME) -> list[str]:
    """Store a decided study of one series; its SOP Instance UIDs."""
    uids = [f"{SERIES}.{one}" for one in range(1, number + 1)]
    session.add(StudyRow(study_instance_uid=STUDY, first_received=NOON, last_received=NOON))
    session.add(
        SeriesRow(
            study_instance_uid=STUDY,
            series_instance_uid=SERIES,
            instances=number,
            first_received=NOON,
            last_received=NOON,
            routed_instances=number,
            study_routed_instances=number,
        )
    )
    session.add_all(instance(uid, patient) for uid in uids)
    session.flush()
    return uids


def instance(uid: str, patient: str = ME, study: str = STUDY, sop_class_uid: str = "1.2") -> InstanceRow:
    """One image."""
    return InstanceRow(
        sop_instance_uid=uid,
        sop_class_uid=sop_class_uid,
        series_instance_uid=SERIES,
        study_instance_uid=study,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"{uid}.dcm",
        size=8,
        association_id="a",
        received=NOON,
        patient=patient,
    )


def key_object(session: Session, uid: str = "1.9", patient: str = ME) -> KeyObjectRow:
    """A document that nobody has looked into."""
    row = KeyObjectRow(
        sop_instance_uid=uid,
        study_instance_uid=STUDY,
        patient=patient,
        state=RejectionNoteState.WAITING,
        received=NOON,
    )
    session.add(row)
    session.flush()
    return row


def rejected(session: Session, uids: Sequence[str]) -> dict[str, str]:
    """Of each image why it is rejected; empty: it is not."""
    return {uid: session.get_one(InstanceRow, uid, populate_existing=True).rejected for uid in uids}
