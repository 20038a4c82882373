from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from node.actions.withdrawing import Chosen, what_is_where
from node.database.tables import OutboxRow
from tests.node.actions.acting import Acting


def delivered(act: Acting) -> None:
    with Session(act.database) as session, session.begin():
        session.execute(update(OutboxRow).values(state="delivered", sha256="0" * 64, delivered=datetime.now(UTC)))


def test_how_each_destination_would_be_told_is_said(act: Acting) -> None:
    job = act.job("pacs", "web", "gone")
    delivered(act)
    plan = what_is_where(act.configuration, act.database, [job], Chosen(job))
    assert plan.sentences[1:] == (
        "gone may have 1 object: no longer in the configuration: it cannot be told.",
        "pacs may have 1 object: told by a rejection note.",
        "web may have 1 object: not told (withdraw: none); asked what it has.",
    )


def test_a_pipeline_without_results_has_nothing_to_withdraw(act: Acting) -> None:
    chosen = Chosen(pipeline="trial", since=datetime.now(UTC) + timedelta(days=1))
    assert chosen.find(act.database) == []
    plan = what_is_where(act.configuration, act.database, [], chosen)
    assert plan.refusal == "No result of trial is to be withdrawn."


def test_the_results_of_a_pipeline_are_chosen_by_its_name(act: Acting) -> None:
    jobs = [act.job("pacs"), act.job("pacs")]
    delivered(act)
    assert Chosen(pipeline="trial").find(act.database) == jobs
    assert Chosen(pipeline="another").find(act.database) == []
    assert Chosen(job=jobs[1]).find(act.database) == [jobs[1]]
