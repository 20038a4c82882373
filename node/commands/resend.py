"""`condyle resend`: give an archive again what it took, after it was restored from an older copy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.terminal import console
from node.database import job_states, outbox
from node.database.queries import in_chunks

JOBS_AT_ONCE = 200  # in one transaction: SQLite lets nobody else write meanwhile


def resend(to: str, since: datetime, config: Path, *, dry_run: bool) -> int:
    """Have the outbox send again all that a destination took since then: the same bytes under the same UIDs.

    Parameters
    ----------
    to
        Name of the destination.
    since
        When it took what it may have lost, at the earliest.
    config
        The configuration file.
    dry_run
        Only say how much it would be.
    """
    out, complaints = console(), console(error=True)
    configuration, database = opened(config)
    if to not in configuration.destinations:
        known = ", ".join(configuration.destinations) or "none"
        complaints.print(f"--to: {to!r}: {config} has no such destination; it has: {known}", markup=False)
        return USAGE
    with Session(database) as session:
        taken = outbox.taken_since(session, to, since, configuration.node.data.absolute())
    jobs: dict[str, list[int]] = {}  # lines of the outbox, by job
    for line, item, job_id in taken:
        if item.path.exists():
            jobs.setdefault(job_id, []).append(line)
    there = sum(map(len, jobs.values()))
    if not dry_run:
        now, confirms = datetime.now(UTC), configuration.destinations[to].confirms
        for some in in_chunks(jobs, JOBS_AT_ONCE):
            lines = [line for job_id in some for line in jobs[job_id]]
            with Session(database) as session, session.begin():
                for job_id in some:
                    job_states.send_again(session, job_id, f"to {to} again, by an operator")
                outbox.send_again(session, to, lines, confirm=confirms, now=now)
    sent = "would be" if dry_run else "is" if there == 1 else "are"
    out.print(f"{counted(there, 'object')} of {counted(len(jobs), 'job')} {sent} sent to {to} again")
    if gone := len(taken) - there:
        what = f"{counted(gone, 'object')} {'is' if gone == 1 else 'are'} no longer stored (run.keep_jobs_days)"
        complaints.print(f"{what}; condyle reroute runs the pipeline again")
    return NOT_RIGHT if gone else OK
