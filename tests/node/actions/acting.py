"""A node's records with jobs, an engine that runs none, and the actions on them."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.actions.jobs import JobActions
from node.config import Configuration
from node.database import job_states
from node.database.connection import Database, open_database
from node.database.jobs import JobState
from node.database.tables import AuditRow, JobRow
from node.reading import HERE
from node.run.job_engine import JobEngine, set_up
from tests.node.send.outgoing import Outgoing

DESTINATIONS = {
    "pacs": {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": 9, "withdraw": "iocm"},
    "web": {"kind": "dicomweb", "url": "http://127.0.0.1:9/dicom-web"},
}
ROUTES = {
    "knee": {"when": {"Modality": "MR"}, "pipeline": "knee_super_resolution", "destinations": ["pacs"]},
}


@dataclass
class Acting:
    """The parts, made once for each test."""

    configuration: Configuration
    out: Outgoing
    engine: JobEngine

    @property
    def database(self) -> Database:
        return self.out.database

    @property
    def jobs(self) -> JobActions:
        return JobActions(self.configuration, self.database, self.engine)

    def job(self, *destinations: str, state: str | None = None) -> str:
        """A job that is being sent, or in another state."""
        job = self.out.job(*destinations)
        if state is not None:
            with Session(self.database) as session, session.begin():
                job_states.move(session, job, JobState(state), reason="for a test")
        return job

    def state(self, job: str) -> str:
        with Session(self.database) as session:
            return session.get_one(JobRow, job).state

    def audited(self) -> list[tuple[str, str, dict[str, Any]]]:
        """What the audit trail says: what, who and the rest."""
        with Session(self.database) as session:
            return [(row.what, row.who, row.detail) for row in session.scalars(select(AuditRow).order_by(AuditRow.id))]


@cache
def prepared() -> Path:
    """A data folder with an empty database, to be copied: making the tables takes a second."""
    data = Path(tempfile.mkdtemp()) / "data"
    atexit.register(shutil.rmtree, data.parent, ignore_errors=True)
    set_up(Configuration.model_validate({"node": {"data": data}})).dispose()
    return data


@contextmanager
def acting(folder: Path, **sections: Any) -> Iterator[Acting]:
    """On SQLite in a folder."""
    shutil.copytree(prepared(), folder / "data", dirs_exist_ok=True)
    settings = {"node": {"data": folder / "data"}, "destinations": DESTINATIONS, "routes": ROUTES, **sections}
    configuration = Configuration.model_validate(settings)
    database = open_database(configuration.node.database_url)
    engine = JobEngine(configuration, database, HERE)
    yield Acting(configuration, Outgoing(configuration.node.data, database), engine)
    engine.stop()
    database.dispose()
