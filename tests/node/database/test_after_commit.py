"""What is to happen once a transaction is committed."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from node.database.after_commit import after_commit
from node.database.connection import Database


def test_it_happens_once_and_only_after_the_commit(database: Database) -> None:
    done: list[int] = []
    with Session(database) as session:
        session.execute(text("SELECT 1"))
        after_commit(session, lambda: done.append(1))
        session.flush()
        assert done == []
        session.commit()
        assert done == [1]
        session.execute(text("SELECT 1"))
        session.commit()
    assert done == [1]


def test_what_is_rolled_back_never_happened(database: Database) -> None:
    done: list[int] = []
    with Session(database) as session:
        after_commit(session, lambda: done.append(1))
        session.execute(text("SELECT 1"))
        session.rollback()
        session.execute(text("SELECT 1"))
        session.commit()
    with Session(database) as session:  # closed without a word
        session.execute(text("SELECT 1"))
        after_commit(session, lambda: done.append(2))
    with Session(database) as session:
        session.execute(text("SELECT 1"))
        session.commit()
    assert done == []


def test_a_savepoint_is_not_the_end_yet(database: Database) -> None:
    done: list[int] = []
    with Session(database) as session, session.begin():
        with session.begin_nested():
            after_commit(session, lambda: done.append(1))
        assert done == []
    assert done == [1]
