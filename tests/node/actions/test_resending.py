from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from node.actions.resending import Resending
from node.database import job_states
from node.database.tables import SENT_AGAIN, OutboxRow
from node.route.by_hand import UnknownName
from tests.node.actions.acting import Acting

LATELY = datetime.now(UTC) - timedelta(hours=1)


def taken(act: Acting, jobs: int) -> list[str]:
    made = [act.job("pacs", "web") for _ in range(jobs)]
    with Session(act.database) as session, session.begin():
        session.execute(update(OutboxRow).values(state="delivered", delivered=datetime.now(UTC)))
        for job in made:
            job_states.settle(session, job)
    return made


def test_all_that_a_destination_took_is_sent_again_and_nothing_to_others(act: Acting) -> None:
    jobs = taken(act, 2)
    resending = Resending(act.configuration, act.database)
    plan = resending.preview("pacs", LATELY)
    assert plan.sentences[0].startswith("pacs is sent 2 objects of 2 jobs again")
    assert act.out.states(jobs[0], "pacs") == ["delivered"]
    assert resending.send_again("pacs", LATELY, "kim").objects == 2
    for job in jobs:
        assert (act.out.states(job, "pacs"), act.out.states(job, "web")) == (["waiting"], ["delivered"])
    ((what, who, detail),) = act.audited()
    assert (what, who, detail["destination"], detail["sent"]) == (SENT_AGAIN, "kim", "pacs", {"objects": 2, "jobs": 2})


def test_what_is_no_longer_stored_is_counted(act: Acting) -> None:
    (job,) = taken(act, 1)
    (line,) = act.out.lines(job, "pacs")
    act.out.path(line.sop_instance_uid).unlink()
    plan = Resending(act.configuration, act.database).preview("pacs", LATELY)
    assert plan.sentences[1].startswith("1 object not among them: no longer stored")
    assert not plan.possible


def test_a_destination_that_is_none_is_told(act: Acting) -> None:
    with pytest.raises(UnknownName, match="there are: pacs, web"):
        Resending(act.configuration, act.database).preview("pags", LATELY)
