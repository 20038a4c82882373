"""One line of the audit trail, as it is written down and sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.database.tables import AuditRow


@dataclass(frozen=True)
class Line:
    """Who did what, and when."""

    row: int  # in the database
    at: datetime
    what: str
    who: str
    study_instance_uid: str | None
    detail: Mapping[str, Any]
    times: int = 1

    @classmethod
    def of(cls, row: AuditRow) -> Line:
        """The line that a row holds."""
        return cls(row.id, row.at, row.what, row.who, row.study_instance_uid, dict(row.detail), row.times)
