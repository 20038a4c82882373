"""Each action at its address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from node.actions.pauses import PauseActions
from node.database.tables import OutboxRow
from tests.node.actions.acting import Acting
from tests.node.status.pages.acting_page import act_on

Page = tuple[Acting, httpx.Client]


def test_a_job_is_cancelled(page: Page) -> None:
    act, client = page
    job = act.job("pacs")
    assert act_on(client, f"/jobs/{job}/cancel").status_code == 303
    assert act.state(job) == "failed"


def test_a_job_is_sent_to_the_destinations_that_are_ticked(page: Page) -> None:
    act, client = page
    job = act.job("pacs", state="failed")
    asked = client.get(f"/jobs/{job}/send").text
    assert 'name="to.web"' in asked
    assert 'name="to.pacs"' not in asked, "it goes there already"
    done = act_on(client, f"/jobs/{job}/send", **{"to.web": "on"})
    assert done.status_code == 303
    assert act.audited()[-1][2]["destinations"] == ["web"]


def test_where_no_destination_is_ticked_that_is_said(page: Page) -> None:
    act, client = page
    job = act.job("pacs", state="failed")
    answer = act_on(client, f"/jobs/{job}/send")
    assert answer.status_code == 404
    assert "none is chosen" in answer.text


def test_a_result_is_withdrawn_with_a_reason_in_words(page: Page) -> None:
    act, client = page
    job = act.job("pacs")
    done = act_on(client, f"/jobs/{job}/withdraw", reason="quality", why="wrong side")
    assert done.status_code == 303
    ((what, who, detail),) = act.audited()
    assert (what, who, detail["why"]) == ("result withdrawn", "this machine", "wrong side")


def test_a_reason_that_is_none_withdraws_nothing(page: Page) -> None:
    act, client = page
    job = act.job("pacs")
    assert act_on(client, f"/jobs/{job}/withdraw", reason="mood", why="wrong side").status_code == 404
    assert act.audited() == []


@pytest.mark.parametrize(("kind", "name", "back"), [("routes", "knee", "/routes"), ("destinations", "pacs", "/")])
def test_a_route_and_a_destination_are_paused_and_resumed(page: Page, kind: str, name: str, back: str) -> None:
    act, client = page
    paused = act_on(client, f"/{kind}/{name}/pause", why="a new coil")
    assert paused.headers["location"] == f"{back}?done=paused"
    (row,) = PauseActions(act.configuration, act.database).every()
    assert (row.name, row.who, row.why) == (name, "this machine", "a new coil")
    assert "is paused by this machine since" in client.get(f"/{kind}/{name}/pause").text
    assert act_on(client, f"/{kind}/{name}/resume").headers["location"] == f"{back}?done=resumed"
    assert PauseActions(act.configuration, act.database).every() == []


def test_what_is_not_configured_cannot_be_paused(page: Page) -> None:
    _, client = page
    assert client.get("/routes/nothing/pause").status_code == 404


def test_what_a_destination_took_is_sent_again_once_a_time_is_chosen(page: Page) -> None:
    act, client = page
    job = act.job("pacs")
    with Session(act.database) as session, session.begin():
        session.execute(update(OutboxRow).values(state="delivered", delivered=datetime.now(UTC)))
    path = "/destinations/pacs/resend"
    asked = client.get(path).text
    assert 'method="get"' in asked
    assert 'name="since"' in asked
    since = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M}"
    assert "pacs is sent 1 object of 1 job again" in client.get(path, params={"since": since}).text
    assert act_on(client, f"{path}?since={since}").headers["location"] == "/?done=resent"
    assert act.out.states(job) == ["waiting"]


def test_a_time_that_is_none_is_told(page: Page) -> None:
    _, client = page
    assert client.get("/destinations/pacs/resend?since=yesterday").status_code == 404


def test_a_study_that_is_not_stored_has_nothing_run_on_it(page: Page) -> None:
    _, client = page
    assert "knee_super_resolution, as in route knee" in client.get("/studies/1.2.3/run").text
    answer = client.get("/studies/1.2.3/run?route=knee")
    assert "<button>" not in answer.text
    assert "1.2.3" in answer.text
    assert "<button>" not in client.get("/studies/1.2.3/reroute").text
