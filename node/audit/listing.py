"""Lines of the audit trail, for people: by kind, by who, by study, page by page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.tables import AuditRow


@dataclass(frozen=True)
class Filter:
    """Which lines are wanted; what is empty does not matter."""

    what: str = ""
    who: str = ""
    study_instance_uid: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None  # older than this row: the next page


def lines(database: Database, wanted: Filter, limit: int) -> Sequence[AuditRow]:
    """The lines that are wanted, the latest first."""
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    for column, value in (
        (AuditRow.what, wanted.what),
        (AuditRow.who, wanted.who),
        (AuditRow.study_instance_uid, wanted.study_instance_uid),
    ):
        if value:
            query = query.where(column == value)
    if wanted.since is not None:
        query = query.where(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRow.at < wanted.until)
    if wanted.before is not None:
        query = query.where(AuditRow.id < wanted.before)
    with Session(database, expire_on_commit=False) as session:
        return session.scalars(query).all()


def kinds(database: Database) -> list[str]:
    """The kinds that lines are of, each found by a step in the index."""
    found: list[str] = []
    with Session(database) as session:
        query = select(AuditRow.what).order_by(AuditRow.what).limit(1)
        while (what := session.scalar(query.where(AuditRow.what > found[-1]) if found else query)) is not None:
            found.append(what)
    return found


def in_words(detail: Mapping[str, Any]) -> str:
    """The rest of a line in one line of text."""
    told = ((name.replace("_", " "), value) for name, value in detail.items() if value not in ("", None, [], {}))
    return "; ".join(f"{name}: {_text(value)}" for name, value in told)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return json.dumps(value, default=str, ensure_ascii=False)


def as_json(row: AuditRow) -> dict[str, Any]:
    """A line for programs."""
    return {
        "id": row.id,
        "number": row.number,
        "at": row.at.isoformat(),
        "what": row.what,
        "who": row.who,
        "study_instance_uid": row.study_instance_uid,
        "times": row.times,
        "detail": dict(row.detail),
    }
