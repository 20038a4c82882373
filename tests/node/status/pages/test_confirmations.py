"""An action asks first, then acts, and takes only the form that it gave out."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr

from node.config import StatusSettings
from node.status.app import build_app
from tests.node.actions.acting import Acting
from tests.node.status.pages.acting_page import act_on, hidden
from tests.serving import client_of

Page = tuple[Acting, httpx.Client]


def test_a_confirmation_says_what_will_happen_and_changes_nothing(page: Page) -> None:
    act, client = page
    job = act.job("pacs", state="failed")
    answer = client.get(f"/jobs/{job}/restart")
    assert answer.status_code == 200
    assert f"Restart job {job[:12]}?" in answer.text
    assert "Its result goes to pacs." in answer.text
    assert '<meta name="referrer" content="same-origin">' in answer.text
    assert act.state(job) == "failed"


def test_what_was_confirmed_is_done_and_leads_to_what_it_was_done_to(page: Page) -> None:
    act, client = page
    job = act.job("pacs", state="failed")
    done = act_on(client, f"/jobs/{job}/restart")
    assert done.status_code == 303
    assert done.headers["location"] == f"/studies/{act.jobs.study(job)}?done=restarted#job-{job}"
    assert act.state(job) == "queued"
    (line,) = act.audited()
    assert line[:2] == ("job restarted", "this machine")


def test_what_cannot_be_done_is_a_sentence_with_no_button(page: Page) -> None:
    act, client = page
    job = act.job("pacs")
    asked = client.get(f"/jobs/{job}/restart").text
    assert "only a failed or unsuitable job is restarted." in asked
    assert "<button>" not in asked


def test_what_has_become_impossible_between_asking_and_acting_is_told(page: Page) -> None:
    act, client = page
    job = act.job("pacs", state="failed")
    form = hidden(client.get(f"/jobs/{job}/restart").text)
    act.jobs.restart(job, "somebody else")
    answer = client.post(f"/jobs/{job}/restart", data=form)
    assert answer.status_code == 409
    assert "is queued; only a failed or unsuitable job is restarted." in answer.text


@pytest.mark.parametrize("token", ["", "of another page", "0" * 64])
def test_a_form_that_the_node_did_not_give_out_does_nothing(page: Page, token: str) -> None:
    act, client = page
    job = act.job("pacs", state="failed")
    other = hidden(client.get("/reload").text)["token"]
    answer = client.post(f"/jobs/{job}/restart", data={"token": other if token == "of another page" else token})
    assert answer.status_code == 403
    assert act.state(job) == "failed"


def test_something_that_is_no_form_is_refused(page: Page) -> None:
    act, client = page
    job = act.job("pacs", state="failed")
    assert client.post(f"/jobs/{job}/restart", json={}).status_code == 415


def test_a_job_that_there_is_none_of_is_not_found(page: Page) -> None:
    _, client = page
    answer = client.get("/jobs/nope/restart")
    assert answer.status_code == 404
    assert "No job has an id that begins with" in answer.text


def test_what_is_missing_in_the_form_is_asked_for_with_what_was_typed(page: Page) -> None:
    act, client = page
    answer = act_on(client, "/routes/knee/pause", why="  ")
    assert answer.status_code == 422
    assert "Missing: Why." in answer.text
    assert act.audited() == []


def test_a_notice_is_one_of_ours_and_nothing_that_an_address_says(page: Page) -> None:
    _, client = page
    assert "Paused. It stays so over a restart" in client.get("/?done=paused").text
    assert '<p class="acted"' not in client.get("/?done=%3Cb%3Ehello").text


def test_without_a_token_nobody_acts_where_one_is_asked_for(page: Page) -> None:
    act, _ = page
    status = StatusSettings(token=SecretStr("a-token-of-enough-characters-here"))
    guarded = act.configuration.model_copy(update={"status": status})
    with client_of(build_app(guarded, act.database)) as client:
        assert client.get("/jobs/1/restart").status_code == 404, "without actions there are no such pages"
