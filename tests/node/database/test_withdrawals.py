from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from node.database import job_states, outbox, taking_back, withdrawals
from node.database.jobs import JobState
from node.database.states import ForbiddenTransition, OutboxState
from node.database.tables import AuditRow, JobRow, OutboxRow, WithdrawalRow
from tests.node.database.withdrawing import DATA, NOON, job, made, sent

A, B, C = job("a"), job("b"), job("c")


pytestmark = pytest.mark.postgres


def withdraw(session: Session, job_id: str, why: str = "wrong model") -> list[str]:
    return withdrawals.withdraw(session, job_id, reason=RejectionReason.QUALITY, why=why, by="mary", now=NOON)


def test_what_was_withdrawn_is_neither_run_nor_sent_again(session: Session) -> None:
    sent(session, A, [made("a", 1)])
    assert withdraw(session, A.id) == ["pacs"]
    told = f"job {A.id} was withdrawn by mary \\(wrong model\\)"
    with pytest.raises(ForbiddenTransition, match=told):
        job_states.send_to(session, A.id, ["vna"], "to vna too")
    assert outbox.taken_since(session, "pacs", NOON - timedelta(days=1), DATA) == []
    session.execute(update(JobRow).values(state=JobState.FAILED))
    with pytest.raises(ForbiddenTransition, match=told):
        job_states.restart(session, A.id, "restarted")


def test_a_job_that_is_being_sent_ends_and_what_waits_is_not_sent(session: Session) -> None:
    sent(session, A, [made("a", 1), made("a", 2)], answer=None)
    first, _ = outbox.waiting_lines(session, "pacs", A.id, DATA)
    outbox.move(session, first.line, OutboxState.DELIVERED, "0x0000", delivered=NOON)
    withdraw(session, A.id)
    row = session.get_one(JobRow, A.id)
    assert (row.state, row.withdrawn, row.withdrawn_by) == (JobState.FAILED, NOON, "mary")
    assert outbox.waiting_lines(session, "pacs", A.id, DATA) == []


def test_what_waits_of_a_job_that_has_ended_is_not_sent_either(session: Session) -> None:
    sent(session, A, [made("a", 1)])
    outbox.keep_objects(session, A.id, [made("a", 2, "assessment")], DATA)
    outbox.queue(session, A.id, "pacs", [made("a", 2, "assessment")], confirm=False, now=NOON)
    withdraw(session, A.id)
    assert outbox.waiting_lines(session, "pacs", A.id, DATA) == []
    assert taking_back.next_due(session, "pacs", NOON) is not None


def test_what_was_rejected_is_neither_run_nor_sent_again(session: Session) -> None:
    sent(session, A, [made("a", 1)])
    job_states.note_rejected(session, A.id, "2 of 8 images of the job rejected", NOON)
    with pytest.raises(ForbiddenTransition, match="neither run nor sent again: 2 of 8 images"):
        job_states.send_to(session, A.id, ["vna"], "to vna too")
    with pytest.raises(ForbiddenTransition, match="neither run nor sent again"):
        job_states.restart(session, A.id, "restarted")
    assert outbox.taken_since(session, "pacs", NOON - timedelta(days=1), DATA) == []


def test_an_assessment_that_is_refused_does_not_fail_the_result(session: Session) -> None:
    sent(session, A, [made("a", 1), made("a", 2, "assessment")], answer=None)
    result, said = outbox.waiting_lines(session, "pacs", A.id, DATA)
    outbox.move(session, result.line, OutboxState.DELIVERED, "0x0000", delivered=NOON)
    outbox.move(session, said.line, OutboxState.REFUSED, "0x0122")
    job_states.settle(session, A.id, NOON)
    assert session.get_one(JobRow, A.id).state == JobState.DONE
    assert job_states.free_to_clean(session, [A.id]) == [A.id]


def test_jobs_whose_version_is_not_known_yet_are_counted(session: Session) -> None:
    job_states.record(session, A, NOON)
    assert withdrawals.without_version(session, "trial") == 1
    job_states.note_version(session, A.id, "1.0")
    assert withdrawals.without_version(session, "trial") == 0


def test_a_destination_that_was_to_confirm_is_not_sent_again_what_it_gave_up(session: Session) -> None:
    sent(session, A, [made("a", 1)])
    session.execute(update(OutboxRow).values(confirm=True))
    withdraw(session, A.id)
    assert not outbox.has_unasked(session, "pacs")


def test_the_audit_trail_says_who_withdrew_what_and_why(session: Session) -> None:
    sent(session, A, [made("a", 1)])
    withdraw(session, A.id)
    (audit,) = session.scalars(select(AuditRow))
    assert (audit.what, audit.who, audit.study_instance_uid) == ("result withdrawn", "mary", "1.2.3")
    assert audit.detail == {"job": A.id, "reason": "113001", "why": "wrong model", "destinations": ["pacs"]}


def test_to_withdraw_once_more_tells_every_destination_again(session: Session) -> None:
    sent(session, A, [made("a", 1)], ["pacs", "emr"])
    withdraw(session, A.id)
    session.execute(update(WithdrawalRow).values(state="done"))
    assert withdraw(session, A.id, "wrong patient") == ["emr", "pacs"]
    assert {(row.state, row.why) for row in session.scalars(select(WithdrawalRow))} == {("waiting", "wrong patient")}


def test_results_are_found_by_pipeline_version_weights_and_day(session: Session) -> None:
    for one, version in ((A, "1.0"), (B, "1.1")):
        sent(session, one, [made(one.id[0], 1)])
        job_states.note_version(session, one.id, version)
    job_states.record(session, C, NOON)  # it has made nothing yet, and is under way
    job_states.note_weights(session, B.id, "deadbeef" * 8)
    found = withdrawals.made_by
    assert found(session, "trial", None, None) == [A.id, B.id, C.id]
    assert found(session, "trial", "1.0", None) == [A.id]
    assert found(session, "trial", "deadbeef", None) == [B.id]
    assert found(session, "trial", "dead", None) == []
    assert found(session, "trial", None, NOON + timedelta(seconds=1)) == []
    assert found(session, "other", None, None) == []
    withdraw(session, A.id)
    assert found(session, "trial", "1.0", None) == []


def test_results_that_compare_with_what_was_withdrawn_are_named(session: Session) -> None:
    sent(session, A, [made("a", 1)])
    sent(session, B, [made("b", 1)])
    job_states.note_prior(session, B.id, {"found": True, "sop_instance_uid": "1.97.1"})
    assert withdrawals.compared_with(session, [A.id]) == [B.id]
    assert withdrawals.compared_with(session, [B.id]) == []
    assert withdrawals.withdrawn_objects(session, ["1.97.1", "1.98.1"]) == set()
    withdraw(session, A.id)
    assert withdrawals.withdrawn_objects(session, ["1.97.1", "1.98.1"]) == {"1.97.1"}
