"""Lines are found by kind, by who, by study and by time, page by page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import inspect

from node.audit.listing import Filter, as_json, in_words, kinds, lines
from node.database.connection import Database
from node.database.tables import ERASED, NODE_STARTED, WITHDRAWN
from tests.node.audit.conftest import NOW, note


@pytest.fixture
def filled(database: Database) -> Database:
    note(database, NODE_STARTED, "", now=NOW)
    note(database, ERASED, "anna", study_instance_uid="1.2.3", now=NOW + timedelta(hours=1), instances=3)
    note(database, ERASED, "bert", study_instance_uid="1.2.4", now=NOW + timedelta(hours=2))
    note(database, WITHDRAWN, "anna", study_instance_uid="1.2.4", now=NOW + timedelta(hours=3))
    return database


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [4, 3, 2, 1]),
        (Filter(what=ERASED), [3, 2]),
        (Filter(who="anna"), [4, 2]),
        (Filter(study_instance_uid="1.2.4"), [4, 3]),
        (Filter(since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=3)), [3, 2]),
        (Filter(before=3), [2, 1]),
        (Filter(what=ERASED, who="nobody"), []),
    ],
)
def test_lines_are_found_by_what_is_asked_for(filled: Database, wanted: Filter, found: list[int]) -> None:
    assert [row.id for row in lines(filled, wanted, 10)] == found
    assert [row.id for row in lines(filled, wanted, 1)] == found[:1]


def test_what_somebody_did_is_found_by_an_index(filled: Database) -> None:
    with filled.connect() as connection:
        found = {index["name"]: index["column_names"] for index in inspect(connection).get_indexes("audit")}
        assert found["audit_by_who"] == ["who", "id"]
        if connection.dialect.name == "sqlite":
            asked = "EXPLAIN QUERY PLAN SELECT * FROM audit WHERE who = 'anna' ORDER BY id DESC LIMIT 101"
            plan = str(connection.exec_driver_sql(asked).all())
            assert "audit_by_who" in plan
            assert "TEMP B-TREE" not in plan


def test_the_kinds_are_those_that_are_there(filled: Database) -> None:
    assert kinds(filled) == [NODE_STARTED, WITHDRAWN, ERASED]


def test_a_line_in_words_and_as_json_says_the_same(filled: Database) -> None:
    (row,) = lines(filled, Filter(who="anna", what=ERASED), 1)
    assert in_words(row.detail) == "instances: 3"
    assert as_json(row)["detail"] == {"instances": 3}
    assert in_words({"still_held": ["1.2", "1.3"], "why": "", "of": {"a": 1}}) == 'still held: 1.2, 1.3; of: {"a": 1}'
