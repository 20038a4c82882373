"""Callbacks to a real server: after the end and no sooner, signed, again where that helps, and across restarts."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database import callbacks, fetches
from node.database.connection import Database, open_database
from node.database.fetches import FetchState
from node.database.jobs import BY_HAND
from node.database.migrations import migrate
from node.database.tables import CallbackRow, FetchRow, JobRow
from node.on_demand.callbacks import MOST_ATTEMPTS, Callbacks
from node.on_demand.fetching import Fetching
from node.on_demand.requests import RunRequest, RunRequests
from node.route.by_hand import UnknownName
from tests.node.on_demand.told import Told
from tests.node.send.outgoing import HandClock

STUDY = "1.2.3"


@pytest.fixture
def told() -> Iterator[Told]:
    with Told() as made:
        yield made


class Waiting:
    """A database with somebody who waits to be told, and the loop's rounds by hand."""

    def __init__(self, database: Database, url: str, **receiver: Any) -> None:
        self.database, self.url, self.clock = database, url, HandClock()
        self.configuration = Configuration.model_validate(
            {"run_requests": {"callbacks": {"ris": {"url": url, **receiver}, "away": {"url": "http://127.0.0.1:9"}}}}
        )
        self.restart()

    def restart(self) -> None:
        requests = RunRequests(self.configuration, self.database, cast(Any, None), cast(Any, None))
        self.loop = Callbacks(self.configuration.run_requests, self.database, requests, self.clock)

    def job(self, name: str, state: str = "running") -> str:
        job_id = name * 32
        with Session(self.database) as session, session.begin():
            session.merge(
                JobRow(
                    id=job_id,
                    route=BY_HAND,
                    pipeline="knee",
                    study_instance_uid=STUDY,
                    series_instance_uids=[],
                    sop_instance_uids=[],
                    settings={},
                    destinations=[],
                    state=state,
                    created=self.clock(),
                    updated=self.clock(),
                )
            )
        return job_id

    def ask(self, receiver: str = "ris", **what: Any) -> None:
        url = {"away": "http://127.0.0.1:9/"}.get(receiver, self.url)
        with Session(self.database) as session, session.begin():
            callbacks.ask(session, receiver, url, STUDY, self.clock(), **what)

    def drain(self) -> None:
        """Rounds until nothing is due."""
        while self.loop._work() is not None:
            pass

    def rows(self) -> list[CallbackRow]:
        with Session(self.database) as session:
            return list(session.query(CallbackRow).order_by(CallbackRow.created, CallbackRow.receiver))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


def test_it_is_told_once_when_the_last_job_has_ended_and_signed(database: Database, told: Told, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret of the site")
    waiting = Waiting(database, told.url, secret_file=str(tmp_path / "secret"))
    jobs = [waiting.job("a", "done"), waiting.job("b")]
    waiting.ask(jobs=jobs)
    waiting.ask(jobs=jobs[::-1])  # for the same: told once
    waiting.drain()
    assert told.posts == []
    waiting.job("b", "unsuitable")
    waiting.drain()
    assert told.posts == []  # asked again after a second
    waiting.clock.wait(2)
    waiting.drain()
    (post,) = told.posts
    assert (post.content["state"], post.content["study"]) == ("unsuitable", STUDY)
    assert [(job["job"], job["state"]) for job in post.content["jobs"]] == [(jobs[0], "done"), (jobs[1], "unsuitable")]
    signed = f"{post.content['id']}.{post.headers['webhook-timestamp']}.".encode() + post.body
    expected = b64encode(hmac.digest(b"a secret of the site", signed, hashlib.sha256)).decode()
    assert post.headers["webhook-signature"] == f"v1,{expected}"
    assert [(row.state, row.answer, row.attempts) for row in waiting.rows()] == [("told", "HTTP 204 No Content", 0)]
    waiting.ask(jobs=jobs)
    waiting.drain()
    assert len({post.headers["webhook-id"] for post in told.posts}) == 2  # asked anew, told anew


def test_who_asked_for_a_study_that_cannot_be_fetched_is_told_why(database: Database, told: Told) -> None:
    waiting = Waiting(database, told.url)
    with Session(database) as session, session.begin():
        fetches.ask(session, "r", "pacs", STUDY, {}, waiting.clock())
    waiting.ask(request="r")
    waiting.drain()
    assert told.posts == []
    with Session(database) as session, session.begin():
        fetches.move(session, "r", FetchState.FAILED, waiting.clock(), reason="pacs: has no image of this study")
    waiting.clock.wait(2)
    waiting.drain()
    (post,) = told.posts
    assert post.content == {
        "id": waiting.rows()[0].id,
        "request": "r",
        "study": STUDY,
        "state": "failed",
        "reason": "pacs: has no image of this study",
        "jobs": [],
    }


def test_a_request_with_and_without_a_callback_is_the_same_and_keeps_no_address(
    database: Database, told: Told, tmp_path: Path
) -> None:
    configuration = Configuration.model_validate(
        {
            "node": {"data": str(tmp_path)},
            "routes": {"knee": {"when": {}, "pipeline": "knee_super_resolution", "destinations": ["pacs"]}},
            "destinations": {"pacs": {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": 9}},
            "run_requests": {"archives": ["pacs"], "callbacks": {"ris": {"url": told.url}}},
        }
    )
    fetching = Fetching(configuration, database, cast(Any, None))
    requests = RunRequests(configuration, database, cast(Any, None), fetching)
    asked = {"study": STUDY, "from": "pacs", "route": "knee"}
    plain = requests.submit_fetch(RunRequest.model_validate(asked))
    assert requests.submit_fetch(RunRequest.model_validate({**asked, "callback": f"{told.url}/7"})) == plain
    with pytest.raises(UnknownName):
        requests.submit_fetch(RunRequest.model_validate({**asked, "callback": "http://127.0.0.1:9/"}))
    with Session(database) as session:
        assert "callback" not in session.get_one(FetchRow, plain).asked
        (row,) = session.scalars(select(CallbackRow))
        assert (row.request, row.receiver, row.url, row.jobs) == (plain, "ris", f"{told.url}/7", [])


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_server_that_cannot_take_it_now_is_told_again_with_the_same_id_by_the_next_node(
    database: Database, told: Told, status: int
) -> None:
    told.statuses = [status, status]
    waiting = Waiting(database, told.url)
    waiting.ask(jobs=[waiting.job("a", "done")])
    for seconds in (29, 1, 59, 1):
        waiting.drain()
        waiting.restart()
        waiting.clock.wait(seconds)
    waiting.drain()
    assert len({post.headers["webhook-id"] for post in told.posts}) == 1
    assert len(told.posts) == 3  # at once, after 30 s, and a minute later
    assert [row.state for row in waiting.rows()] == ["told"]


@pytest.mark.parametrize("status", [302, 400, 404, 410])
def test_a_refusal_ends_it_and_no_redirect_is_followed(database: Database, told: Told, status: int) -> None:
    told.statuses = [status]
    waiting = Waiting(database, told.url)
    waiting.ask(jobs=[waiting.job("a", "done")])
    waiting.drain()
    waiting.clock.wait(86400)
    waiting.drain()
    assert [post.path for post in told.posts] == ["/hook"]
    (row,) = waiting.rows()
    assert row.state == "failed"
    assert row.answer.startswith(f"ris: HTTP {status}")


def test_a_server_that_is_away_keeps_no_other_waiting_and_is_given_up(database: Database, told: Told) -> None:
    waiting = Waiting(database, told.url)
    jobs = [waiting.job("a", "failed")]
    waiting.ask("away", jobs=jobs)
    waiting.ask(jobs=jobs)
    waiting.drain()
    assert [post.content["state"] for post in told.posts] == ["failed"]
    assert (waiting.rows()[0].state, waiting.rows()[0].answer) == ("waiting", "away: ConnectError")
    with Session(database) as session, session.begin():
        session.execute(update(CallbackRow).values(attempts=MOST_ATTEMPTS - 1))
    waiting.clock.wait(60)
    waiting.drain()
    assert (waiting.rows()[0].state, waiting.rows()[0].answer) == ("failed", "away: ConnectError")


def test_an_address_that_the_configuration_has_no_more_is_not_asked(database: Database, told: Told) -> None:
    waiting = Waiting(database, told.url)
    waiting.ask(jobs=[waiting.job("a", "done")])
    waiting.url = f"{told.url}s"
    waiting.ask(jobs=[waiting.job("b", "done")])
    waiting.drain()
    assert [post.path for post in told.posts] == ["/hook"]
    assert sorted(row.state for row in waiting.rows()) == ["failed", "told"]
    assert {row.answer for row in waiting.rows()} >= {"run_requests.callbacks no longer has the address"}


def test_what_was_erased_meanwhile_ends_it(database: Database, told: Told) -> None:
    waiting = Waiting(database, told.url)
    waiting.ask(jobs=["c" * 32])
    waiting.ask(request="gone")
    waiting.drain()
    assert {(row.state, row.answer) for row in waiting.rows()} == {
        ("failed", "nothing is known any more of what was asked for")
    }
    assert told.posts == []
