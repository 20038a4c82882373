"""Lines of an audit trail, and the node that they are of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from node.audit.line import Line
from node.audit.message import Source
from node.database import audit
from node.database.connection import Database

NOW = datetime(2026, 3, 4, 12, 30, 15, 250000, tzinfo=UTC)
SOURCE = Source("CONDYLE", "Test hospital", "node.example.org")


def line(what: str, who: str = "anna", study: str | None = None, times: int = 1, **detail: Any) -> Line:
    return Line(7, NOW, what, who, study, detail, times)


def note(database: Database, what: str, who: str = "anna", **more: Any) -> None:
    with Session(database) as session, session.begin():
        audit.note(session, what, who, **more)
