"""Lines of the audit trail: who did what, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from node.database.tables import AuditRow


def note(
    session: Session,
    what: str,
    who: str,
    *,
    study_instance_uid: str | None = None,
    now: datetime | None = None,
    **detail: Any,
) -> AuditRow:
    """Add a line.

    Parameters
    ----------
    what
        One of the kinds in `node.database.tables`.
    who
        The account, the token, the AE title.
    study_instance_uid
        Of the study that it is about.
    now
        When, timezone aware; by default now.
    **detail
        The rest; no patient's name, ID or birth date.
    """
    row = AuditRow(
        at=now or datetime.now(UTC), what=what, who=who, study_instance_uid=study_instance_uid, detail=dict(detail)
    )
    session.add(row)
    return row
