from __future__ import annotations

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from node.database import erasure, job_states, rejections
from node.database.states import RejectionNoteState
from node.database.tables import KeyObjectRow, RejectionRow, SeriesRow
from tests.node.database.rejecting import SERIES, STUDY, images, key_object, rejected
from tests.node.database.withdrawing import NOON, job, made, sent

QUALITY = RejectionReason.QUALITY


pytestmark = pytest.mark.postgres


def test_20_000_images_are_remembered_once_however_often_the_note_is_read(session: Session) -> None:
    key_object(session)
    uids = [f"1.5.{number}" for number in range(20_000)]
    for _ in range(2):
        rejections.remember(session, "1.9", QUALITY, uids)
    assert session.scalar(select(func.count()).select_from(RejectionRow)) == len(uids)


def test_a_series_is_decided_about_again_once_for_images_that_were_not_rejected_before(session: Session) -> None:
    first, second, third = images(session)
    assert rejections.reject(session, STUDY, QUALITY, [first, second]) == {SERIES}
    assert rejections.reject(session, STUDY, QUALITY, [first]) == set()
    assert rejected(session, [first, second, third]) == {first: "113001", second: "113001", third: ""}
    assert rejections.rejected_images(session, STUDY) == {first, second}
    for _ in range(2):
        rejections.decide_again(session, STUDY, {SERIES})
    row = session.get_one(SeriesRow, (STUDY, SERIES), populate_existing=True)
    assert (row.instances, row.routed_instances, row.study_routed_instances) == (3, 2, 2)


def test_a_document_that_is_no_rejection_note_is_forgotten_with_all_that_it_rejected_before(session: Session) -> None:
    key_object(session)
    rejections.remember(session, "1.9", QUALITY, ["1.5"])
    rejections.forget(session, "1.9")
    assert session.scalars(select(RejectionRow)).all() == []
    assert session.scalars(select(KeyObjectRow)).all() == []


def test_a_study_is_erased_with_its_notes_and_all_that_they_reject(session: Session) -> None:
    uids = images(session)
    key_object(session)
    rejections.remember(session, "1.9", QUALITY, uids)
    erasure.erase(session, erasure.locked(session, STUDY), "mary", NOON)
    for kind in (KeyObjectRow, RejectionRow):
        assert session.scalars(select(kind)).all() == []


def test_a_note_waits_until_it_is_closed(session: Session) -> None:
    key_object(session)
    assert [row.sop_instance_uid for row in rejections.waiting(session, 5)] == ["1.9"]
    rejections.close(session, "1.9", RejectionNoteState.LEFT)
    assert rejections.waiting(session, 5) == []


def test_nothing_is_built_on_a_result_that_was_rejected(session: Session) -> None:
    for letter in "ab":
        sent(session, job(letter), [made(letter, 1)])
    good, bad = made("a", 1).sop_instance_uid, made("b", 1).sop_instance_uid
    job_states.note_rejected(session, "b" * 32, "its report was rejected", NOON)
    assert rejections.not_to_be_built_on(session, [good, bad]) == {bad}
