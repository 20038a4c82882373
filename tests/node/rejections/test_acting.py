from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr.read.rejection_note import RejectionNote
from dicom_sr.rejection_reasons import RejectionReason
from node.config import RejectionNoteSettings
from node.database import job_states, outbox
from node.database.connection import open_database
from node.database.jobs import Job, JobState
from node.database.migrations import migrate
from node.database.states import ForbiddenTransition, RejectionNoteState
from node.database.tables import EventRow, JobRow, SeriesRow, WithdrawalRow
from node.rejections.acting import Outcome, act, objection
from tests.node.database.rejecting import ME, OTHER, STUDY, images, instance, key_object, rejected
from tests.node.database.withdrawing import DATA, NOON, job, made, sent

MARK, WITHDRAW = RejectionNoteSettings(), RejectionNoteSettings(action="withdraw")
WORKLIST, RETENTION = RejectionReason.WORKLIST_ENTRY, RejectionReason.RETENTION
SAID = "1 of 3 images of the job rejected: Incorrect Modality Worklist Entry"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(database)
    with Session(database) as session:
        yield session
    database.dispose()


def on(letter: str, uids: list[str]) -> Job:
    """A job on these images."""
    return replace(job(letter), study_instance_uid=STUDY, sop_instance_uids=tuple(uids))


def obeyed(
    session: Session,
    uids: list[str],
    reason: RejectionReason = WORKLIST,
    settings: RejectionNoteSettings = MARK,
    patient: str = ME,
) -> Outcome:
    row, note = key_object(session, patient=patient), RejectionNote(reason, STUDY, tuple(uids), 0)
    return objection(session, row, note, "PACS", settings) or act(session, note, "PACS", settings, NOON)


def decided(session: Session) -> bool:
    row = session.scalars(select(SeriesRow).execution_options(populate_existing=True)).one()
    return row.instances == row.routed_instances


def test_a_job_that_waits_ends_and_its_study_is_decided_about_again(session: Session) -> None:
    uids = images(session)
    waits = on("a", uids)
    job_states.record(session, waits, NOON)
    assert obeyed(session, uids[:1]) == Outcome(
        RejectionNoteState.OBEYED, "Incorrect Modality Worklist Entry: 1 image", [waits.id], []
    )
    row = session.get_one(JobRow, waits.id)
    assert (row.state, row.reason, row.rejected) == (JobState.FAILED, SAID, SAID)
    assert not decided(session)
    with pytest.raises(ForbiddenTransition, match=SAID):
        job_states.restart(session, waits.id, "by an operator")


def test_a_job_of_a_decision_that_did_not_know_of_the_note_is_decided_about_again(session: Session) -> None:
    uids = images(session)
    obeyed(session, uids[:1])
    session.execute(update(SeriesRow).values(routed_instances=SeriesRow.instances))  # decided with all images
    late = on("b", uids)
    job_states.record(session, late, NOON)
    assert decided(session)
    note = RejectionNote(WORKLIST, STUDY, tuple(uids[:1]), 0)
    assert act(session, note, "PACS", MARK, NOON).stopped == [late.id]
    assert not decided(session)


def test_what_a_job_has_not_sent_yet_is_not_sent(session: Session) -> None:
    uids = images(session)
    sent(session, on("a", uids), [made("a", 1)], answer=None)
    assert obeyed(session, uids[:1]).stopped == ["a" * 32]
    assert session.get_one(JobRow, "a" * 32).reason == f"{SAID}; 0 of 1 sent to pacs"
    assert outbox.waiting_lines(session, "pacs", "a" * 32, DATA) == []


def test_a_result_that_was_made_before_is_marked_once(session: Session) -> None:
    uids = images(session)
    sent(session, on("a", uids), [made("a", 1)])
    sent(session, on("b", uids[2:]), [made("b", 1)])
    note = RejectionNote(WORKLIST, STUDY, (uids[0],), 0)
    assert act(session, note, "PACS", MARK, NOON).marked == ["a" * 32]
    assert act(session, note, "PACS", MARK, NOON).marked == []
    marked = session.get_one(JobRow, "a" * 32)
    assert (marked.state, marked.rejected) == (JobState.DONE, SAID)
    assert session.scalars(select(EventRow.detail).where(EventRow.what == "rejected")).all() == [SAID]
    assert session.scalars(select(WithdrawalRow)).all() == []
    assert session.get_one(JobRow, "b" * 32).rejected == ""


def test_a_result_that_went_out_is_taken_back_where_the_configuration_says_so(session: Session) -> None:
    uids = images(session)
    sent(session, on("a", uids), [made("a", 1)])
    obeyed(session, uids[:1], settings=WITHDRAW)
    row = session.get_one(JobRow, "a" * 32)
    assert (row.withdrawn, row.withdrawn_by, row.withdrawn_why) == (NOON, "PACS", SAID)
    (told,) = session.scalars(select(WithdrawalRow))
    assert (told.destination, told.code) == ("pacs", "113038")


def test_images_that_are_kept_no_longer_elsewhere_are_right_and_so_are_their_results(session: Session) -> None:
    uids = images(session)
    sent(session, on("a", uids), [made("a", 1)])
    assert obeyed(session, uids, RETENTION, WITHDRAW).state is RejectionNoteState.LEFT
    assert set(rejected(session, uids).values()) == {""}
    assert session.get_one(JobRow, "a" * 32).rejected == ""


def test_a_note_on_another_patients_images_is_refused_whole(session: Session) -> None:
    uids = images(session)
    session.add(instance("1.7", OTHER))
    done = obeyed(session, [*uids, "1.7"])
    assert (done.state, done.why) == (
        RejectionNoteState.REFUSED,
        "it names images of another patient than its own",
    )
    assert set(rejected(session, uids).values()) == {""}


def test_a_note_may_name_its_patient_as_after_a_merge(session: Session) -> None:
    uids = images(session, patient=OTHER)
    row, note = key_object(session, patient=ME), RejectionNote(WORKLIST, STUDY, tuple(uids), 0)
    refused = objection(session, row, note, "PACS", MARK)
    assert refused is not None
    assert refused.why == "it names images of another patient than its own"
    assert objection(session, row, note, "PACS", MARK, known_as=(OTHER,)) is None


def test_a_note_that_claims_images_of_another_study_is_refused_whole(session: Session) -> None:
    uids = images(session)
    session.add(instance("1.7", study="9.9"))
    assert obeyed(session, [*uids, "1.7"]).state is RejectionNoteState.REFUSED
    assert set(rejected(session, uids).values()) == {""}


def test_a_note_by_somebody_who_may_not_reject_is_refused(session: Session) -> None:
    uids = images(session)
    done = obeyed(session, uids, settings=RejectionNoteSettings(senders=("ARCHIVE",)))
    assert (done.state, done.why) == (
        RejectionNoteState.REFUSED,
        "PACS is not in receive.rejection_notes.senders",
    )
    assert set(rejected(session, uids).values()) == {""}


def test_whoever_rejects_the_nodes_own_result_has_it_marked_and_no_image_rejected(session: Session) -> None:
    uids = images(session)
    sent(session, on("a", uids), [made("a", 1)])
    done = obeyed(session, [made("a", 1).sop_instance_uid], RejectionReason.QUALITY, WITHDRAW)
    assert (done.marked, done.why) == (["a" * 32], "Rejected for Quality Reasons: 0 images, 1 object of results")
    assert session.get_one(JobRow, "a" * 32).rejected == (
        "its report was rejected by PACS: Rejected for Quality Reasons"
    )
    assert set(rejected(session, uids).values()) == {""}
    assert decided(session)
