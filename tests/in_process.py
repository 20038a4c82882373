"""A node without network or workers, for thousands of files: store -> records -> decisions -> page, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.types import ASGIApp

from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.stacks import sort_series
from dicom_sr.series import read_studies
from node.config import Configuration
from node.database import job_states
from node.database.connection import open_database
from node.database.jobs import Job
from node.database.states import AssociationOutcome
from node.database.tables import Base, DecisionRow, InstanceRow
from node.reading import HERE
from node.receive.importer import ImportReport, import_file
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.store import Store
from node.route.completion import Completion
from node.route.dispatch import Dispatcher
from node.route.facts import NUMBERS
from node.status.app import build_app
from pipelines.registry import pipeline_type

READING = ("hand_foot_scoring", "joint_classification", "knee_super_resolution")  # pipelines that look at images


class InProcessNode:
    """The real store, receipts, completion, dispatcher and page; jobs are recorded and not run.

    Parameters
    ----------
    folder
        Holds everything.
    keys
        DICOM keywords that its routes ask about, beside all that is known of geometry.
    """

    def __init__(self, folder: Path, keys: tuple[str, ...] = ()) -> None:
        asked = [{key: {"present": True}} for key in keys]
        numbers = {key: {"min": 0} for key in NUMBERS if key.startswith("series.")}
        series = {"pipeline": "knee_super_resolution", "destinations": ["out"]}
        study = {"pipeline": "hand_foot_scoring", "destinations": ["out"], "level": "study"}
        self.configuration = Configuration.model_validate(
            {
                "node": {"data": str(folder / "data")},
                "receive": {"durability": "process", "disk_floor_mb": 0, "series_quiet_s": 1, "study_quiet_s": 1},
                "routes": {
                    "asked": {**series, "when": {"any_of": asked} if asked else {}},
                    "numbers": {**series, "when": numbers},
                    "studies": {**study, "when": {}},
                },
                "destinations": {"out": {"kind": "folder", "path": str(folder / "out")}},
            }
        )
        self.data = self.configuration.node.data
        self.data.mkdir(parents=True)
        self.database = open_database(self.configuration.node.database_url)
        Base.metadata.create_all(self.database)
        self.store = Store(self.data, "process", 0, 2**28)
        self.receipts = ReceiptImport(self.data, self.database)
        later = timedelta(days=1)  # so that everything has been quiet for long
        self.completion = Completion(self.database, self.configuration.receive, lambda: datetime.now(UTC) + later)
        self.dispatcher = Dispatcher(self.configuration, self.database, self._submit, lambda: datetime.now(UTC), HERE)

    def _submit(self, job: Job) -> None:
        with Session(self.database) as session, session.begin():
            job_states.record(session, job)

    def close(self) -> None:
        """Let go of files and database."""
        self.store.close()
        self.database.dispose()

    def take(self, files: list[Path]) -> ImportReport:
        """Import `files` as a folder's are."""
        report = ImportReport()
        arrival = self.store.open("folder", peer_address="import")
        for file in files:
            import_file(file, self.store, lambda: arrival, report)
        arrival.close(AssociationOutcome.RELEASED)
        self.receipts.poll()
        return report

    def decide(self) -> None:
        """Decide about all that is stored."""
        while complete := self.completion.poll():
            for one in complete:
                self.dispatcher.dispatch(one)

    def undecided(self) -> list[InstanceRow]:
        """Instances about whose study nothing was decided."""
        with Session(self.database) as session:
            decided = select(DecisionRow.study_instance_uid)
            return list(session.scalars(select(InstanceRow).where(InstanceRow.study_instance_uid.not_in(decided))))

    def stored(self) -> Iterator[tuple[str, Path]]:
        """Study and file of each stored instance."""
        with Session(self.database) as session:
            for row in session.scalars(select(InstanceRow)).all():
                yield row.study_instance_uid, self.data / "instances" / row.path

    def page(self, client: httpx.Client, path: str) -> list[str]:
        """The names of the elements of a page, in lower case.

        Raises
        ------
        AssertionError
            If it is not there.
        """
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        elements = _Elements()
        elements.feed(answer.text)
        return elements.names

    def app(self) -> ASGIApp:
        """The status page."""
        return build_app(self.configuration, self.database)


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names += [tag, *(name for name, _ in attrs)]


def read_as_pipelines_do(path: Path) -> None:
    """What a job does with the headers of a stored file: read, sort and check them; unsuitable is an answer.

    Raises
    ------
    Exception
        Whatever is no answer.
    """
    try:
        studies = read_studies([path])
    except UnsuitableInput:
        return
    for study in studies:
        for series in study.series:
            try:
                sort_series(series)
            except UnsuitableInput:
                continue
        for name in READING:
            kind = pipeline_type(name)
            pipeline = kind(kind.settings_type())
            try:
                pipeline.check(study)
            except UnsuitableInput:
                continue
