"""Searches for studies: each filter finds what it names, pages join, and nothing is looked through without end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from node.database.connection import Database, open_database
from node.database.tables import Base, StudyKeyRow, StudyRow
from node.status import study_search
from node.status.study_search import STATES, Mistake, Page, Place, Search, StudySearch
from tests.node.status.conftest import Morning
from tests.postgres import Postgres

pytestmark = pytest.mark.postgres
DONE, NO_ROUTE, UNSUITABLE, SENDING = "1.2.1", "1.2.2", "1.2.3", "1.2.4"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def records(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[Database]:
    """The records of a morning; besides, one study that cannot be decided about and one that is being received."""
    folder = tmp_path_factory.mktemp("search")
    database = open_database(f"sqlite:///{folder}/node.db" if request.param == "sqlite" else postgres.database())
    Base.metadata.create_all(database)
    morning = Morning(database, folder)
    morning.fill()
    with Session(database) as session, session.begin():
        for number, trouble in ((5, "an image cannot be read"), (6, "")):
            morning.received(session, f"1.2.{number}", "US", 2, 500 + number)
            session.flush()
            session.get_one(StudyRow, f"1.2.{number}").trouble = trouble
        session.add(StudyKeyRow(study_instance_uid=DONE, kind="accession", digest="a" * 16))
        for uid in (DONE, SENDING):
            session.add(StudyKeyRow(study_instance_uid=uid, kind="patient", digest="b" * 12))
    yield database
    database.dispose()


def found(database: Database, **asked: str) -> list[str]:
    return uids(StudySearch(database).page(Search.of(asked)))


def uids(page: Page) -> list[str]:
    return [line.row.study_instance_uid for line in page.lines]


def test_without_a_filter_the_latest_come_first(records: Database) -> None:
    assert found(records) == ["1.2.6", "1.2.5", SENDING, UNSUITABLE, NO_ROUTE, DONE]


@pytest.mark.parametrize("state", STATES)
def test_a_state_finds_the_studies_that_are_shown_with_it(records: Database, state: str) -> None:
    every = StudySearch(records).page(Search()).lines
    assert found(records, state=state) == [line.row.study_instance_uid for line in every if line.state == state]


def test_every_state_of_a_morning_is_told(records: Database) -> None:
    shown = [line.state for line in StudySearch(records).page(Search()).lines]
    assert shown == ["receiving", "undecided", "sending", "unsuitable", "no route", "done"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"modality": "us"}, ["1.2.6", "1.2.5"]),
        ({"modality": "MR", "state": "done"}, [DONE]),
        ({"route": "knee"}, [SENDING, UNSUITABLE, DONE]),
        ({"route": "hand"}, []),
        ({"uid": "1.2.3"}, [UNSUITABLE]),
        ({"uid": ".2.3"}, [UNSUITABLE]),
        ({"reason": "NEEDS at least"}, [UNSUITABLE]),
        ({"reason": "cannot be read"}, ["1.2.5"]),
        ({"reason": "50%"}, []),
        ({"accession": "a" * 16}, [DONE]),
        ({"accession": "c" * 16}, []),
        ({"patient": "b" * 12}, [SENDING, DONE]),
        ({"patient": "b" * 12, "accession": "a" * 16}, [DONE]),
        ({"since": "2100-01-01"}, []),
        ({"until": "2000-01-01"}, []),
    ],
    ids=str,
)
def test_a_filter_finds_what_it_names(records: Database, asked: dict[str, str], expected: list[str]) -> None:
    assert found(records, **asked) == expected


def test_a_day_has_all_that_came_in_it_where_the_node_stands(records: Database) -> None:
    latest = StudySearch(records).page(Search()).lines[0].row.last_received
    day = latest.astimezone().date()
    assert "1.2.6" in uids(StudySearch(records).page(Search(since=day, until=day)))
    assert "1.2.6" not in uids(StudySearch(records).page(Search(since=day + timedelta(days=1))))


def test_pages_join_in_both_directions(records: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_search, "SHOWN", 2)
    search, pages = StudySearch(records), list[Page]()
    place: Place | None = None
    while not pages or pages[-1].older:
        pages.append(search.page(Search(), before=place))
        place = pages[-1].older
    assert [uids(page) for page in pages] == [["1.2.6", "1.2.5"], [SENDING, UNSUITABLE], [NO_ROUTE, DONE]]
    assert pages[0].newer is None
    back = search.page(Search(), after=pages[2].newer)
    assert uids(back) == uids(pages[1])
    assert uids(search.page(Search(), after=back.newer)) == uids(pages[0])
    assert search.page(Search(), after=back.newer).newer is None


def test_a_search_that_looked_through_enough_says_where_to_go_on(
    records: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_search, "LOOKED_THROUGH", 3)
    asked, search = Search(state="done"), StudySearch(records)
    first = search.page(asked)
    assert (uids(first), first.looked_back_to is not None) == ([], True)
    second = search.page(asked, before=first.older)
    assert uids(second) == [DONE]
    assert (second.older, second.looked_back_to) == (None, None)
    assert second.newer is not None


def test_that_accession_numbers_are_still_being_read_is_told_where_nothing_is_found(records: Database) -> None:
    search = StudySearch(records)
    assert search.page(Search(accession="c" * 16)).unread
    assert not search.page(Search(accession="a" * 16)).unread


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"state": "well"}, "State: is one of failed"),
        ({"uid": "1.2"}, "4 of them at least"),
        ({"uid": "1.2.3 OR 1"}, "digits and dots"),
        ({"since": "yesterday"}, "Received from: a day"),
    ],
)
def test_what_cannot_be_asked_for_is_told_so(asked: dict[str, str], why: str) -> None:
    with pytest.raises(Mistake, match=why):
        Search.of(asked)


def test_an_address_says_what_is_asked_for_and_can_leave_out_one_thing() -> None:
    search = Search.of({"state": "failed", "since": "2026-05-01", "other": "x"})
    assert search.path() == "/studies?since=2026-05-01&state=failed"
    assert search.without("since") == "/studies?state=failed"
    assert Search.of({"since": "2026-05-01"}).since == date(2026, 5, 1)
    place = Place(datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC), "1.2.3")
    assert Place.of_text(str(place)) == place
    assert [Place.of_text(text) for text in ("", "x_1.2", "9" * 30 + "_1", "²_1")] == [None] * 4
