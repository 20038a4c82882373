"""`condyle erase`: delete a study and everything that was made of it, and keep a record that it was deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer
from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console
from node.config import Configuration
from node.data_folder import job_folder
from node.database import erasure
from node.database.connection import Database
from node.database.erasure import Traces
from node.files import remove_folder
from node.prior.own_reports import erase_reports
from node.reading import HERE
from node.receive.store.retention import delete_file
from node.run import shadow_folder


def erase(study: str, config: Path, *, yes: bool, arriving: bool = False) -> int:
    """Erase one study from this node.

    Parameters
    ----------
    study
        Study Instance UID.
    config
        The configuration file.
    yes
        Do not ask.
    arriving
        Also where the study is not complete yet.
    """
    from node.run.job_engine import JobEngine

    out, complaints = console(), console(error=True)
    configuration, database = opened(config)
    with Session(database) as session:
        found = erasure.traces(session, study)
    if found.under_way:
        cancel = ", ".join(f"condyle jobs cancel {job[:12]}" for job in found.under_way)
        under_way = counted(len(found.under_way), "job")
        complaints.print(f"{study}: {under_way} still under way; cancel first: {cancel}")
        return NOT_RIGHT
    if found.arriving and not arriving:
        complaints.print(f"{study}: is not complete yet; wait until the node has decided about it, or say --arriving")
        return NOT_RIGHT
    images, jobs = counted(len(found.instances), "image"), counted(len(found.jobs), "job")
    what = f"{images}, {jobs} and {counted(len(found.objects), 'object')}"
    if not yes:
        if not complaints.is_terminal:
            complaints.print(f"study {study}: {what}; say --yes to erase them")
            return USAGE
        typer.confirm(f"Erase study {study} from this node: {what}?", abort=True)
    try:
        found = _erase(configuration, database, study)
    except OSError as error:  # nothing is forgotten of which a file is left
        complaints.print(f"{study}: a file of it cannot be deleted: {error.strerror}; nothing is written down")
        return NOT_RIGHT
    job_engine = JobEngine(configuration, database, HERE)
    try:
        job_engine.forget(found.jobs)
    finally:
        job_engine.stop()
    out.print(f"study {study}: {what} are erased; the audit trail says so", markup=False)
    for destination, number in found.delivered.items():
        left, them = counted(number, "object"), "it" if number == 1 else "them"
        out.print(f"{destination} has {left} of it: delete {them} there", style="yellow", markup=False)
    return OK


def _erase(configuration: Configuration, database: Database, study: str) -> Traces:
    data, who = configuration.node.data.absolute(), operator()
    with Session(database) as session, session.begin():
        found = erasure.locked(session, study)
        for job_id in found.jobs:
            shadow_folder.remove(configuration, job_id)
            if (folder := job_folder(data, job_id)).exists():
                remove_folder(folder)
        erase_reports(data / "priors", found.objects)
        for path, received in found.instances:  # one that is newer than its receipt is just coming again, and stays
            delete_file(data / "instances" / path, received + timedelta(seconds=1))
        erasure.erase(session, found, who, datetime.now(UTC))
    return found
