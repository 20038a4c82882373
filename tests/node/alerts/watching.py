"""A database that alerts look at, with the rounds made by hand and a clock in the hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from node.alerts.engine import Alerts
from node.alerts.machine import Parts
from node.config import Configuration
from node.database.connection import Database
from node.database.tables import AlertNoticeRow, AlertRow, JobRow, ObjectRow, OutboxRow
from tests.node.send.outgoing import HandClock

MAIL = {
    "kind": "email",
    "host": "127.0.0.1",
    "security": "none",
    "sender": "condyle@example.org",
    "recipients": ["a@b"],
}
PACS = {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}


def configuration(data: Path, **alerts: Any) -> Configuration:
    """A configuration with a destination `pacs` and these alerts."""
    return Configuration.model_validate(
        {
            "node": {"data": str(data), "ae_title": "KNEES"},
            "receive": {"disk_floor_mb": 0},
            "destinations": {"pacs": PACS},
            "alerts": alerts,
        }
    )


def mail(port: int, **more: Any) -> dict[str, Any]:
    """A channel by a mail server on this port."""
    return {**MAIL, "port": port, **more}


class Watching:
    """Alerts of a node, looked at and told when a test says so."""

    def __init__(
        self,
        database: Database,
        settings: Configuration,
        clock: HandClock | None = None,
        parts: Parts | None = None,
    ) -> None:
        self.database, self.settings, self.clock = database, settings, clock or HandClock()
        self.parts = parts or Parts()
        self.restart()

    def restart(self) -> None:
        """As after a restart of the node."""
        self.alerts = Alerts(self.settings, self.database, self.parts, self.clock)

    def round(self, seconds: float = 0.0) -> None:
        """Let time pass, look, and tell all that is due."""
        self.clock.wait(seconds)
        self.alerts.look()
        for channel in self.alerts.channels.values():
            while channel.tell() is not None:
                pass

    # ---- what is in the database
    def job(self, name: str, state: str = "done", **more: Any) -> str:
        """A job whose id is `name` again and again."""
        job_id = (name * 32)[:32]
        row: dict[str, Any] = {
            "id": job_id,
            "route": "knee",
            "pipeline": "trial",
            "study_instance_uid": f"1.2.840.99.1.{len(name)}.{ord(name[0])}",
            "series_instance_uids": [],
            "sop_instance_uids": [],
            "settings": {},
            "destinations": ["pacs"],
            "state": state,
            "created": self.clock(),
            "updated": self.clock(),
            **more,
        }
        with Session(self.database) as session, session.begin():
            session.merge(JobRow(**row))
        return job_id

    def fail_to_send(self, destination: str = "pacs", since: datetime | None = None) -> None:
        """An object waits for a destination, which did not take it."""
        job_id = self.job(destination, "sending")
        uid = f"2.25.{len(destination)}{ord(destination[0])}"
        with Session(self.database) as session, session.begin():
            session.merge(
                ObjectRow(
                    sop_instance_uid=uid,
                    sop_class_uid="1.2",
                    series_instance_uid="1.3",
                    study_instance_uid="1.4",
                    job_id=job_id,
                    kind="report",
                    path="p",
                    sha256="",
                    size=1,
                )
            )
            session.flush()
            session.add(
                OutboxRow(
                    sop_instance_uid=uid,
                    job_id=job_id,
                    destination=destination,
                    state="waiting",
                    not_before=self.clock(),
                    answer="connection refused by 10.1.2.3 for 1.2.840.10008.5.1.4.1.1.4",
                    failing_since=since or self.clock(),
                )
            )

    def send_at_last(self) -> None:
        """Every destination takes what waits."""
        with Session(self.database) as session, session.begin():
            session.execute(update(OutboxRow).values(state="delivered", failing_since=None, delivered=self.clock()))

    def forget_objects(self) -> None:
        with Session(self.database) as session, session.begin():
            session.execute(delete(OutboxRow))

    def rows(self) -> list[AlertRow]:
        with Session(self.database) as session:
            return list(session.scalars(select(AlertRow).order_by(AlertRow.id)))

    def notices(self) -> list[AlertNoticeRow]:
        with Session(self.database) as session:
            return list(session.scalars(select(AlertNoticeRow).order_by(AlertNoticeRow.id)))


MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
SOON = timedelta(seconds=1)
NEW_YEAR = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)  # when a `HandClock` begins: a Friday
