"""What operators do with one job: said beforehand, done, and written down with who did it."""

from __future__ import annotations

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from dicom_sr.rejection_reasons import RejectionReason
from node.actions.withdrawing import Chosen
from node.database.states import ForbiddenTransition
from node.database.tables import JOB_CANCELLED, JOB_RESTARTED, JOB_SENT, WITHDRAWN, JobRow
from node.errors import JobFailed, JobNotFound
from node.route.by_hand import UnknownName
from tests.node.actions.acting import Acting


def test_a_failed_job_is_restarted_and_the_audit_trail_says_by_whom(act: Acting) -> None:
    job = act.job("pacs", state="failed")
    plan = act.jobs.preview_restart(job[:30])
    assert plan.possible
    assert plan.sentences[-1] == "Its result goes to pacs."
    assert act.state(job) == "failed", "a preview changes nothing"
    assert act.jobs.restart(job, "kim") == job
    assert act.state(job) == "queued"
    assert act.audited() == [(JOB_RESTARTED, "kim", {"job": job})]


def test_why_a_job_cannot_be_restarted_is_said_beforehand_and_leaves_no_line(act: Acting) -> None:
    job = act.job("pacs")
    plan = act.jobs.preview_restart(job)
    assert (plan.possible, plan.sentences) == (False, ())
    assert plan.refusal == f"Job {job} is sending; only a failed or unsuitable job is restarted."
    with pytest.raises(ForbiddenTransition):
        act.jobs.restart(job, "kim")
    assert act.audited() == []


def test_a_job_is_cancelled_with_what_waits(act: Acting) -> None:
    job = act.job("pacs", "web")
    plan = act.jobs.preview_cancel(job)
    assert plan.sentences[1] == "2 objects that wait to be sent are not sent."
    assert act.out.states(job) == ["waiting", "waiting"]
    act.jobs.cancel(job, "kim")
    assert act.state(job) == "failed"
    assert act.out.states(job) == ["cancelled", "cancelled"]
    assert act.audited() == [(JOB_CANCELLED, "kim", {"job": job})]


def test_a_job_that_is_unknown_is_said_to_be(act: Acting) -> None:
    for ask in (act.jobs.preview_restart, act.jobs.preview_cancel, act.jobs.study):
        with pytest.raises(JobNotFound):
            ask("nope")


def test_a_job_is_sent_where_it_has_not_been(act: Acting) -> None:
    job = act.job("pacs", state="failed")
    assert act.jobs.destinations(job) == ["web"]
    assert "goes to web too" in act.jobs.preview_send(job, ["web"]).sentences[0]
    act.jobs.send(job, ["web"], "kim")
    assert act.state(job) == "queued"
    assert act.audited() == [(JOB_SENT, "kim", {"job": job, "destinations": ["web"]})]


def test_a_destination_that_is_none_is_named_with_those_that_are(act: Acting) -> None:
    job = act.job("pacs")
    with pytest.raises(UnknownName, match=r"'pags': no such destination; there are: pacs, web"):
        act.jobs.send(job, ["pags"], "kim")


def test_what_cannot_be_sent_leaves_no_line_in_the_audit_trail(act: Acting) -> None:
    job = act.job("pacs", state="done")
    with pytest.raises(JobFailed, match="no longer stored"):
        act.jobs.send(job, ["web"], "kim")
    assert act.audited() == []


def test_a_shadow_job_can_be_sent_to_its_own_destinations(act: Acting) -> None:
    job = act.job("pacs", state="failed")
    with Session(act.database) as session, session.begin():
        session.execute(update(JobRow).values(shadow=True))
    assert act.jobs.destinations(job) == ["pacs", "web"]
    assert "It was run in shadow: it goes to these only." in act.jobs.preview_send(job, ["pacs"]).sentences


def test_a_result_is_taken_back_by_somebody(act: Acting) -> None:
    job = act.job("pacs")
    act.jobs.withdraw([job], RejectionReason.QUALITY, "wrong side", "kim")
    assert act.state(job) == "failed"
    ((what, who, detail),) = act.audited()
    assert (what, who, detail["why"]) == (WITHDRAWN, "kim", "wrong side")
    refused = act.jobs.preview_restart(job)
    assert "was withdrawn by kim (wrong side)" in refused.refusal


def test_a_preview_of_a_withdrawal_says_what_is_where(act: Acting) -> None:
    job = act.job("pacs", "web")
    plan = act.jobs.preview_withdraw([job], Chosen(job))
    assert plan.title == "Take back the results of 1 job?"
    assert plan.sentences[0].startswith(f"1 job: {job[:12]}.")
