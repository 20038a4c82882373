"""The page shows who did what, the latest first, to administrators."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from node.config import Configuration
from node.database import audit
from node.database.connection import Database
from node.database.tables import ERASED, NODE_STARTED
from node.status.app import build_app
from tests.serving import client_of

HTML = {"accept": "text/html"}


def test_lines_are_shown_with_a_way_to_the_study_and_filtered(configuration: Configuration, database: Database) -> None:
    now = datetime.now(UTC)
    with Session(database) as session, session.begin():
        audit.note(session, NODE_STARTED, "", now=now - timedelta(days=3))
        audit.note(session, ERASED, "<b>anna</b>", study_instance_uid="1.2.3", now=now, instances=3)
    with client_of(build_app(configuration, database), **HTML) as client:
        everything = client.get("/audit").text
        of_kind = client.get("/audit", params={"what": ERASED}).text
        of_day = client.get("/audit", params={"to": f"{(now - timedelta(days=2)).astimezone():%Y-%m-%d}"}).text
        wrong = client.get("/audit", params={"from": "yesterday", "before": "x"})
    assert "&lt;b&gt;anna&lt;/b&gt;" in everything
    assert "instances: 3" in everything
    assert 'href="/studies/1.2.3"' in everything
    assert 'data-th="What">node started' in everything
    assert 'data-th="What">node started' not in of_kind
    assert 'data-th="What">study erased' in of_kind
    assert 'data-th="What">study erased' not in of_day
    assert "yesterday is no day" in wrong.text
    assert wrong.status_code == 200


def test_there_is_a_next_page_where_there_are_more_lines(configuration: Configuration, database: Database) -> None:
    with Session(database) as session, session.begin():
        for number in range(101):
            audit.note(session, ERASED, "anna", count=number)
    with client_of(build_app(configuration, database), **HTML) as client:
        first = client.get("/audit", params={"who": "anna"}).text
        assert "/audit?who=anna&amp;before=2" in first
        second = client.get("/audit", params={"who": "anna", "before": "2"}).text
    assert "count: 100" in first
    assert 'class="reason">count: 0' in second
    assert "Older" not in second
