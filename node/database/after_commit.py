"""What a transaction changed counts once it is committed, and not at all where it is rolled back."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

_KEY = "node.database.after_commit"


def after_commit(session: Session, note: Callable[[], object]) -> None:
    """Have `note` called once, when what the session has under way is committed; never if it is rolled back.

    Parameters
    ----------
    session
        In a transaction.
    note
        Must not use the session, and should not fail: what it is about has happened.
    """
    session.info.setdefault(_KEY, []).append(note)


@event.listens_for(Session, "after_commit")
def _call(session: Session) -> None:
    if not session.in_nested_transaction():  # a savepoint is not the end yet
        for note in session.info.pop(_KEY, ()):
            note()


@event.listens_for(Session, "after_transaction_end")
def _forget(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_KEY, None)
