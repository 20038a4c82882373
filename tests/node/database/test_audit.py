"""A line of the audit trail says who did what, when and to which study."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.database import audit
from node.database.tables import ERASED, AuditRow

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def test_a_line_has_what_it_was_given(session: Session) -> None:
    audit.note(session, ERASED, "anna", study_instance_uid="1.2.3", now=NOW, jobs=2)
    session.flush()
    row = session.scalars(select(AuditRow)).one()
    assert (row.what, row.who, row.study_instance_uid, row.at) == (ERASED, "anna", "1.2.3", NOW)
    assert (row.detail, row.times) == ({"jobs": 2}, 1)
