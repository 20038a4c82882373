"""`condyle erase`: delete a study and everything that was made of it, and keep a record that it was deleted."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer
from sqlalchemy.orm import Session

from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.terminal import console
from node.config import Configuration
from node.database import erasure
from node.database.connection import Database
from node.database.erasure import Traces
from node.prior.own_reports import erase_reports
from node.receive.store.retention import delete_file


def erase(study: str, config: Path, *, yes: bool) -> int:
    """Erase one study from this node.

    Parameters
    ----------
    study
        Study Instance UID.
    config
        The configuration file.
    yes
        Do not ask.
    """
    from node.run.job_engine import JobEngine

    out, complaints = console(), console(error=True)
    configuration, database = opened(config)
    with Session(database) as session:
        found = erasure.traces(session, study)
    if found.under_way:
        cancel = ", ".join(f"condyle jobs cancel {job[:12]}" for job in found.under_way)
        complaints.print(f"{study}: {len(found.under_way)} of its jobs have not ended; end them first: {cancel}")
        return NOT_RIGHT
    what = f"{len(found.instances)} images, {len(found.jobs)} jobs and {len(found.objects)} objects"
    if not yes:
        if not complaints.is_terminal:
            complaints.print(f"study {study}: {what}; say --yes to erase them")
            return USAGE
        typer.confirm(f"Erase study {study} from this node: {what}?", abort=True)
    job_engine = JobEngine(configuration, database)
    try:
        job_engine.erase(found.jobs)
    finally:
        job_engine.stop()
    found = _erase(configuration, database, study)
    out.print(f"study {study}: {what} are erased; the audit trail says so", markup=False)
    for destination, number in found.delivered.items():
        out.print(f"{destination} has {number} objects of it: delete them there", style="yellow", markup=False)
    return OK


def _erase(configuration: Configuration, database: Database, study: str) -> Traces:
    data = configuration.node.data.absolute()
    with Session(database) as session, session.begin():
        found = erasure.locked(session, study)
        erase_reports(data / "priors", found.objects)
        if found.last_received is not None:
            for path in found.instances:  # one that is newer than its receipt is just coming again, and stays
                delete_file(data / "instances" / path, found.last_received + timedelta(seconds=1))
        erasure.erase(session, found, getpass.getuser(), datetime.now(UTC))
    return found
