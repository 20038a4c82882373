"""A whole node as a real process, for tests: started, sent to, asked, killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import yaml
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from node.database.connection import open_database
from node.database.jobs import JobState
from node.database.tables import JobRow
from node.demo.orthanc_process import free_port
from tests.waiting import until

ENDED = (JobState.DONE, JobState.UNSUITABLE, JobState.FAILED)
SENDER = "SCANNER"
T = TypeVar("T")


class RunningNode:
    """`condyle serve` in a folder of its own, on free ports; a context manager that leaves nothing running.

    Parameters
    ----------
    folder
        Holds the configuration, the data and the log.
    port
        The DICOM port, where somebody has been told of it already.
    settings
        Sections of config.yaml; ports, data folder and one peer, SCANNER on this machine, are filled in.
    """

    def __init__(self, folder: Path, *, port: int | None = None, **settings: Any) -> None:
        self.folder = folder
        self.port, self.page = port or free_port(), free_port()
        receive = settings.pop("receive", {})
        dimse = {"host": "127.0.0.1", "port": self.port, **receive.pop("dimse", {})}
        configuration = {
            "node": {"data": "data"},
            "peers": {"scanner": {"ae_title": SENDER, "networks": ["127.0.0.0/8"]}, **settings.pop("peers", {})},
            "receive": {"disk_floor_mb": 0, "series_quiet_s": 1, "study_quiet_s": 2, "dimse": dimse, **receive},
            "status": {"port": self.page},
            **settings,
        }
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(configuration), encoding="utf-8")
        database = configuration["node"].get("database")
        self.database = open_database(database or f"sqlite:///{folder / 'data' / 'node.db'}")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RunningNode:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill()
        self.database.dispose()

    # ---- life
    def start(self) -> None:
        """Start it, unless it runs, and wait until it is ready."""
        if self._process is None or self._process.poll() is not None:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "node", "serve", str(self.config), "--log", "json"], stderr=log, stdout=log
                )
        until(self.is_ready, "the node is ready")

    def is_ready(self) -> bool:
        """Does it say that it is ready?"""
        assert self._process is not None
        assert self._process.poll() is None, self.log_text()
        try:
            return bool(self.get("/health/ready")["ready"])
        except OSError:
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20.0) -> int:
        """Ask it to end, as an operator does; its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(seconds)
        self._process = None
        return code

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def descendants(self) -> list[int]:
        """Process ids of everything that it has started."""
        parents: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                after_name = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(after_name[1]), []).append(int(stat.parent.name))
        found = [self.pid]
        for pid in found:
            found += parents.get(pid, [])
        return found[1:]

    # ---- what it says
    @property
    def _log(self) -> Path:
        return self.folder / "node.log"

    def log_text(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def get(self, path: str) -> Any:
        """JSON from the status page's port."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def all(self, query: Select[T]) -> list[T]:
        """Rows of its records."""
        with Session(self.database, expire_on_commit=False) as session:
            return list(session.scalars(query))

    def jobs(self, study: str | None = None) -> list[JobRow]:
        """All jobs, or those of a study; the first taken first."""
        query = select(JobRow).order_by(JobRow.created)
        return self.all(query.where(JobRow.study_instance_uid == study) if study else query)

    def ended_jobs(self, count: int, seconds: float = 60.0, study: str | None = None) -> list[JobRow]:
        """The jobs, or those of a study, once `count` of them have ended."""

        def question() -> list[JobRow]:
            jobs = self.jobs(study)
            return jobs if sum(job.state in ENDED for job in jobs) >= count else []

        try:
            return until(question, f"{count} jobs have ended", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_text()[-4000:]}") from None

    # ---- sending
    def send(self, files: Iterable[Path | Dataset], calling: str = SENDER) -> list[int]:
        """Store the instances over one association, as a scanner does; the status of each."""
        data_sets = [dcmread(file, force=True) if isinstance(file, Path) else file for file in files]
        ae = AE(calling)
        for ds in data_sets:
            ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
        association = ae.associate("127.0.0.1", self.port, ae_title="CONDYLE")
        assert association.is_established, "the node refused the association"
        try:
            return [int(association.send_c_store(ds).Status) for ds in data_sets]
        finally:
            association.release()
