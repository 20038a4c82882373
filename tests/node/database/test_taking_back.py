from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from node.database import job_states, outbox, taking_back
from node.database.jobs import JobState
from node.database.states import ForbiddenTransition, OutboxState, WithdrawalState
from node.database.tables import EventRow, JobRow, WithdrawalRow
from node.database.taking_back import Held
from tests.node.database.withdrawing import DATA, NOON, job, made, sent

SAFETY = RejectionReason.PATIENT_SAFETY
A, B, C = job("a"), job("b", predecessor="a"), job("c", predecessor="b")


pytestmark = pytest.mark.postgres


def rows(session: Session) -> dict[tuple[str, str], WithdrawalRow]:
    """By the letter of the job, and destination."""
    return {(row.job_id[0], row.destination): row for row in session.scalars(select(WithdrawalRow))}


def uids_there(session: Session, row: WithdrawalRow) -> list[str]:
    return [item.sop_instance_uid for item in taking_back.objects_there(session, row, DATA)]


def test_what_was_begun_and_never_answered_may_be_there_and_what_was_refused_is_not(session: Session) -> None:
    sent(session, A, [made("a", 1), made("a", 2)], answer=None)
    line = outbox.waiting_lines(session, "pacs", A.id, DATA)[0]
    outbox.move(session, line.line, OutboxState.REFUSED, "0xA900")
    assert taking_back.may_have(session, [A.id]) == {(A.id, "pacs"): 1}
    outbox.cancel(session, A.id, "cancelled")
    assert taking_back.take_back(session, A.id, SAFETY, "wrong model", NOON) == ["pacs"]
    assert uids_there(session, rows(session)["a", "pacs"]) == ["1.97.2"]


def test_a_row_is_due_only_once_nothing_of_its_job_is_on_its_way_there(session: Session) -> None:
    sent(session, A, [made("a", 1)], ["pacs"], answer=None)
    taking_back.take_back(session, A.id, SAFETY, "wrong model", NOON)
    assert taking_back.next_due(session, "pacs", NOON) is None
    outbox.cancel(session, A.id, "cancelled")
    assert taking_back.next_due(session, "emr", NOON) is None
    due = taking_back.next_due(session, "pacs", NOON)
    assert due is not None
    assert due.code == "113037"
    taking_back.put_off(session, due.id, NOON + timedelta(seconds=5), "away")
    assert taking_back.next_due(session, "pacs", NOON) is None
    assert taking_back.next_due(session, "pacs", NOON + timedelta(seconds=5)) is not None


def test_the_proof_keeps_what_was_there_first_and_what_is_there_last(session: Session) -> None:
    sent(session, A, [made("a", 1), made("a", 2)])
    taking_back.take_back(session, A.id, SAFETY, "wrong model", NOON)
    row = rows(session)["a", "pacs"]
    taking_back.note_before(session, row.id, Held.of({"1.97.1", "1.97.2"}))
    taking_back.note_before(session, row.id, Held.of(set()))  # told before a crash, and asked again
    taking_back.move(session, row.id, WithdrawalState.TOLD, "0x0000", way="iocm", note_uid="1.9")
    taking_back.note_after(session, row.id, Held.of({"1.97.2"}), NOON)
    taking_back.move(session, row.id, WithdrawalState.DONE, "0x0000")
    session.refresh(row)
    assert (row.held_before, row.held_after, row.still_held) == (2, 1, ["1.97.2"])
    assert (row.state, row.way, row.note_uid) == ("done", "iocm", "1.9")
    with pytest.raises(ForbiddenTransition):
        taking_back.move(session, row.id, WithdrawalState.LEFT, "")


def test_a_destination_that_cannot_be_asked_has_said_nothing(session: Session) -> None:
    assert Held.of(None).number is None
    assert Held.of(set()).number == 0


def test_a_later_result_supersedes_the_dicom_objects_of_the_one_before_where_it_has_arrived(session: Session) -> None:
    same, resource = made("a", 3, "derived_series"), made("a", 4, "diagnostic_report", dicom=False)
    sent(session, A, [made("a", 1), same, resource], ["pacs", "emr"])
    job_states.record(session, B, NOON)
    job_states.move(session, B.id, JobState.RUNNING)
    assert rows(session) == {}
    outbox.keep_objects(session, B.id, [made("b", 1)], DATA)
    outbox.queue(session, B.id, "pacs", [made("b", 1)], confirm=False, now=NOON)
    job_states.move(session, B.id, JobState.SENDING)
    (line,) = outbox.waiting_lines(session, "pacs", B.id, DATA)
    outbox.move(session, line.line, OutboxState.DELIVERED, "0x0000", delivered=NOON)
    job_states.settle(session, B.id, NOON)
    assert session.get_one(JobRow, B.id).state == JobState.DONE
    found = rows(session)
    assert set(found) == {("a", "pacs")}
    assert (found["a", "pacs"].successor, found["a", "pacs"].why) == (B.id, taking_back.SUPERSEDED)
    assert uids_there(session, found["a", "pacs"]) == ["1.97.1", "1.97.3"]


def test_what_failed_in_between_keeps_no_earlier_result_from_being_superseded(session: Session) -> None:
    sent(session, A, [made("a", 1)])
    sent(session, B, [made("b", 1)], answer=OutboxState.REFUSED)
    sent(session, C, [made("c", 1)])
    (row,) = rows(session).values()
    assert (row.job_id, row.successor) == (A.id, C.id)
    assert taking_back.is_replaced(session, row)
    session.execute(update(JobRow).where(JobRow.id == C.id).values(withdrawn=NOON))
    assert not taking_back.is_replaced(session, row)


def test_an_earlier_result_is_superseded_only_where_all_of_the_new_one_has_arrived(session: Session) -> None:
    sent(session, A, [made("a", 1)], ["pacs", "emr", "vna"])
    job_states.record(session, B, NOON)
    job_states.move(session, B.id, JobState.RUNNING)
    outbox.keep_objects(session, B.id, [made("b", 1)], DATA)
    for name in ("pacs", "emr"):
        outbox.queue(session, B.id, name, [made("b", 1)], confirm=False, now=NOON)
    job_states.move(session, B.id, JobState.SENDING)
    (taken,), (refused,) = (outbox.waiting_lines(session, name, B.id, DATA) for name in ("pacs", "emr"))
    outbox.move(session, taken.line, OutboxState.DELIVERED, "0x0000", delivered=NOON)
    outbox.move(session, refused.line, OutboxState.REFUSED, "0xA900")
    job_states.settle(session, B.id, NOON)
    assert session.get_one(JobRow, B.id).state == JobState.FAILED
    assert set(rows(session)) == {("a", "pacs")}
    stays = session.scalars(select(EventRow.detail).where(EventRow.what == "earlier result stays")).all()
    assert stays == ["vna keeps the earlier result: this one does not go there"]


def test_what_a_reader_said_about_an_earlier_result_stays(session: Session) -> None:
    sent(session, A, [made("a", 1), made("a", 2, "assessment")])
    sent(session, B, [made("b", 1)])
    assert uids_there(session, rows(session)["a", "pacs"]) == ["1.97.1"]
    taking_back.take_back(session, A.id, SAFETY, "wrong model", NOON)  # the whole of it is wrong
    session.expire_all()
    assert uids_there(session, rows(session)["a", "pacs"]) == ["1.97.1", "1.97.2"]


def test_a_job_is_not_cleaned_up_while_its_objects_are_being_taken_back(session: Session) -> None:
    sent(session, A, [made("a", 1)])
    assert job_states.free_to_clean(session, [A.id]) == [A.id]
    taking_back.take_back(session, A.id, SAFETY, "wrong model", NOON)
    assert job_states.free_to_clean(session, [A.id]) == []
    taking_back.move(session, rows(session)["a", "pacs"].id, WithdrawalState.LEFT, "nothing is told")
    assert job_states.free_to_clean(session, [A.id]) == [A.id]
