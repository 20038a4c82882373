"""A destination is given again what it took, after it was restored from an older copy."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.actions.preview import Preview
from node.config import Configuration
from node.database import audit, job_states, outbox
from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.tables import SENT_AGAIN
from node.route.by_hand import UnknownName

JOBS_AT_ONCE = 200  # in one transaction: SQLite lets nobody else write meanwhile


@dataclass(frozen=True)
class Taken:
    """What a destination took since a time."""

    jobs: dict[str, list[int]] = field(default_factory=dict)  # lines of the outbox whose files are there, by job
    gone: int = 0  # objects whose files are no longer stored

    @property
    def objects(self) -> int:
        """How many can be sent again."""
        return sum(map(len, self.jobs.values()))


class Resending:
    """Has the outbox send again: the same bytes under the same UIDs."""

    def __init__(self, configuration: Configuration, database: Database) -> None:
        self._configuration, self._database = configuration, database

    def taken(self, to: str, since: datetime) -> Taken:
        """What the destination took since then.

        Raises
        ------
        UnknownName
            If there is no such destination.
        """
        if to not in self._configuration.destinations:
            known = ", ".join(self._configuration.destinations) or "none"
            raise UnknownName(f"destination: {to!r}: no such destination; there are: {known}")
        with Session(self._database) as session:
            found = outbox.taken_since(session, to, since, self._configuration.node.data.absolute())
        jobs: dict[str, list[int]] = {}
        for line, item, job_id in found:
            if item.path.exists():
                jobs.setdefault(job_id, []).append(line)
        return Taken(jobs, len(found) - sum(map(len, jobs.values())))

    def preview(self, to: str, since: datetime) -> Preview:
        """What `send_again` would do.

        Raises
        ------
        UnknownName
            If there is no such destination.
        """
        taken = self.taken(to, since)
        sentences = [
            f"{to} is sent {counted(taken.objects, 'object')} of {counted(len(taken.jobs), 'job')} again, which it "
            f"took since {since:%Y-%m-%d %H:%M} UTC: the same bytes under the same UIDs."
        ]
        if taken.gone:
            sentences.append(f"{counted(taken.gone, 'object')} not among them: no longer stored (run.keep_jobs_days).")
        refusal = "" if taken.objects else f"{to} has taken nothing since then that is still stored"
        return Preview(f"Send to {to} again?", tuple(sentences), refusal)

    def send_again(self, to: str, since: datetime, by: str) -> Taken:
        """Send again all that the destination took since then and that is still stored.

        Raises
        ------
        UnknownName
            If there is no such destination.
        """
        taken = self.taken(to, since)
        now, confirms = datetime.now(UTC), self._configuration.destinations[to].confirms
        with Session(self._database) as session, session.begin():
            numbers = {"objects": taken.objects, "jobs": len(taken.jobs)}
            audit.note(session, SENT_AGAIN, by, destination=to, taken_since=since.isoformat(), sent=numbers)
        for some in in_chunks(taken.jobs, JOBS_AT_ONCE):
            lines = [line for job_id in some for line in taken.jobs[job_id]]
            with Session(self._database) as session, session.begin():
                for job_id in some:
                    job_states.send_again(session, job_id, f"to {to} again, by an operator")
                outbox.send_again(session, to, lines, confirm=confirms, now=now)
        return taken
