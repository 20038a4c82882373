"""What every part's tests share: the test data, a real archive, DCMTK's programs."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

import node.network.requestor  # noqa: F401  mends pynetdicom, for the peers of the tests too
from node import log
from tests.browser import open_browser
from tests.command_line import Condyle, Ended
from tests.dicom_sr.example_digests import written_in
from tests.needs import missing
from tests.orthanc import Archive, OrthancMissing
from tests.postgres import Postgres

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]

# Two cores are shared by the tests, the peers and the worker processes that a test starts; and DCMTK's library, in its
# programs and in Orthanc, otherwise waits 40 ms a message for a delayed ACK.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ["TCP_NODELAY"] = "1"


@pytest.fixture
def logging_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undoes what `node.log.configure` does to this process."""
    for variable in (log.FORMAT_VARIABLE, log.LEVEL_VARIABLE):
        monkeypatch.setenv(variable, "")
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in log.QUIET_LIBRARIES}
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    for name, least in levels.items():
        logging.getLogger(name).setLevel(least)
    structlog.reset_defaults()


@pytest.fixture
def condyle(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Condyle:
    """Calls the command's entry point in this process, where what it imports is there already."""
    from node.__main__ import main

    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["condyle", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(int(ended.value.code or 0), *capfd.readouterr())

    return call


@pytest.fixture
def trial_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The trial pipelines are among the installed ones, here and in processes that this one starts."""
    from pipelines import registry
    from tests.node.run.trial import install_trial

    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "site"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of openly licensed test data beside the repository."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "MANIFEST.csv").exists():
        missing("the shared test data is not at ../shared/data")
    return folder


@pytest.fixture(scope="session")
def dcmtk() -> Callable[[str], Path]:
    """Finds a program of DCMTK by name.

    pynetdicom installs scripts of the same names (storescu, echoscu, ...) into the virtual environment, which shadow
    DCMTK's on the path; DCMTK's are ELF programs.
    """

    def find(name: str) -> Path:
        candidates = (
            Path(path).absolute()
            for folder in [*os.environ["PATH"].split(os.pathsep), "/usr/bin", "/usr/local/bin"]
            if (path := shutil.which(name, path=folder)) and Path(path).read_bytes()[:4] == b"\x7fELF"
        )
        return next(candidates, None) or missing(f"DCMTK's {name} is not installed")

    return find


@pytest.fixture(scope="session")
def _orthanc_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    try:
        archive = Archive(tmp_path_factory.mktemp("orthanc"))
    except OrthancMissing as error:
        missing(str(error))
    with archive:
        yield archive


@pytest.fixture
def orthanc(_orthanc_of_the_session: Archive) -> Archive:
    """A running, empty Orthanc with DICOMweb (AE title ARCHIVE); one process for the session, emptied for each test.

    A test may stop and restart it: the next test finds it running. It knows no modality; a test that needs other
    settings (modalities, Lua, plugins) starts an `Archive` of its own.
    """
    _orthanc_of_the_session.start()
    _orthanc_of_the_session.empty()
    return _orthanc_of_the_session


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium; for the module only, because its driver keeps an event loop in the thread meanwhile."""
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def examples_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all examples, sources and objects, for `written_in`: made once for all workers, and only read."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "all-examples"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        written_in(folder)
    return folder


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running PostgreSQL for the session; each test asks it for a database of its own."""
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
