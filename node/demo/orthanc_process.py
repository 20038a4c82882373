"""A real Orthanc on free loopback ports with a throwaway store: the archive of the demo and of the tests."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

# plugins that show a study, the best first, with the address of one: of the study by its UID or by Orthanc's identifier
VIEWERS = {
    "OHIF": ("it in OHIF", "/ohif/viewer?StudyInstanceUIDs={uid}"),
    "StoneWebViewer": ("it in the archive", "/stone-webviewer/index.html?study={uid}"),
    "WebViewer": ("it in the archive", "/app/explorer.html#study?uuid={identifier}"),  # opened there, series by series
}
PLUGINS = Path("/usr/share/orthanc/plugins")  # where Debian puts them
START_TIMEOUT_S = 30.0
FIRST_PORT, OUTGOING_PORTS = 10_240, 32_768  # Linux gives ports from the second number on to outgoing connections
START_ATTEMPTS = 3  # a port that was free a moment ago may be taken


class OrthancMissing(RuntimeError):
    """No Orthanc, or no plugin of that name, is installed on this machine."""


class OrthancFailed(RuntimeError):
    """Orthanc ended, or did not answer, while it was being started; the message ends with its log."""


@dataclass(frozen=True)
class Modality:
    """Somebody whom Orthanc knows by name: it sends there, and lets it query."""

    ae_title: str
    port: int
    host: str = "127.0.0.1"


def program() -> Path | None:
    """Where Orthanc is installed, or None."""
    found = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def plugin(name: str) -> Path | None:
    """The shared library of the plugin `name`, e.g. ``DicomWeb``, or None."""
    path = PLUGINS / f"libOrthanc{name}.so"
    return path if path.exists() else None


def free_port() -> int:
    """A TCP port on which nobody listens at this moment.

    One that the system does not give to outgoing connections: of those any connection could take it before the server
    that it is meant for does.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(OUTGOING_PORTS - FIRST_PORT)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("", port))
            return port


class Orthanc:
    """One Orthanc process with its own folder; a context manager.

    Parameters
    ----------
    folder
        For its store, configuration and log; made where it is missing, never removed here.
    ae_title
        Its own AE title.
    modalities
        By the names that Orthanc uses for them.
    plugins
        Loaded by name and never by folder: the GDCM plugin ends Orthanc when a colour capture is fetched.
    settings
        More keys of Orthanc's configuration; they win.

    Raises
    ------
    OrthancMissing
        If the program or a plugin is not installed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "ARCHIVE",
        modalities: Mapping[str, Modality] | None = None,
        plugins: Sequence[str] = ("DicomWeb",),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        found = program()
        if found is None:
            raise OrthancMissing("Orthanc is not installed")
        paths = {name: plugin(name) for name in plugins}
        if lacking := [name for name, path in paths.items() if path is None]:
            raise OrthancMissing(f"Orthanc is missing the plugin {', '.join(lacking)} in {PLUGINS}")
        self.folder = folder
        self.ae_title = ae_title
        self.modalities = dict(modalities or {})
        self.http_port = free_port()
        self.dicom_port = free_port()
        self._program = found
        self._plugins = [str(path) for path in paths.values()]
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(timeout=httpx.Timeout(60, connect=2))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._http.close()

    # ---- where it is
    @property
    def url(self) -> str:
        """Of its REST API and its own page."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def dicom_web_url(self) -> str:
        """Root of its DICOMweb services."""
        return f"{self.url}/dicom-web"

    @property
    def pid(self) -> int | None:
        """Of the running process, or None."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    # ---- life
    def start(self) -> Self:
        """Start it and wait until it answers; on the same ports and store where it ran before.

        Raises
        ------
        OrthancFailed
            If it ends at once, or does not answer in time.
        """
        if self.running:
            return self
        ran_before = (self.folder / "orthanc.json").exists()
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                return self._start()
            except OrthancFailed:
                if ran_before or attempt == START_ATTEMPTS:  # others know its ports: do not move
                    raise
                self.http_port, self.dicom_port = free_port(), free_port()
        raise AssertionError("not reached")

    def stop(self, *, gently: bool = False) -> None:
        """End it; `gently` lets it say goodbye to its peers, which takes seconds. Its store stays."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM if gently else signal.SIGKILL)
        self._process.wait(timeout=60)
        self._process = None

    def restart(self) -> Orthanc:
        """Stop and start it on the same ports and store."""
        self.stop()
        return self.start()

    def _start(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(self.configuration(), indent=2), encoding="utf-8")
        with (self.folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), str(configuration)],
                cwd=self.folder,
                # Orthanc speaks DICOM by DCMTK's library, which otherwise waits 40 ms a message for a delayed ACK
                env={**os.environ, "TCP_NODELAY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever started it, who then ends it in order
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.running and time.monotonic() < deadline:
            try:
                if self._http.get(f"{self.url}/system", timeout=2).status_code in (200, 401) and self.running:
                    return self
            except httpx.TransportError:
                time.sleep(0.02)
        self.stop()
        raise OrthancFailed(f"Orthanc did not start:\n{self.log()[-2000:]}")

    def configuration(self) -> dict[str, Any]:
        """Its configuration, as written to its folder at every start."""
        return {
            "Name": self.ae_title,
            "StorageDirectory": str(self.folder / "store"),
            "IndexDirectory": str(self.folder / "store"),
            "TemporaryDirectory": str(self.folder),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": self.ae_title,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": self._plugins,
            "DicomModalities": {
                name: {"AET": modality.ae_title, "Host": modality.host, "Port": modality.port}
                for name, modality in self.modalities.items()
            },
            "UnknownSopClassAccepted": True,  # label map segmentations, which Debian 12's version does not know
            "OverwriteInstances": False,
            "StableAge": 1,
            "SyncStorageArea": False,
            "SaveJobs": False,
            "MaximumPduLength": 131072,
            **self._settings,
        }

    def log(self) -> str:
        """What it has written so far."""
        path = self.folder / "orthanc.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    # ---- what is in it
    def get(self, path: str, **parameters: str) -> Any:
        """The JSON answer of a GET of its REST API."""
        return self._answer(self._http.get(f"{self.url}{path}", params=parameters))

    def post(self, path: str, body: Any) -> Any:
        """The JSON answer of a POST of its REST API; `body` is sent as JSON, bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._answer(self._http.post(f"{self.url}{path}", content=content))

    def find_tags(self, level: str, **query: str) -> list[dict[str, Any]]:
        """What ``/tools/find`` tells of the resources of `level` (Study, Series, Instance) that match `query`.

        Each has at least ``ID`` and ``MainDicomTags``.
        """
        found: list[dict[str, Any]] = self.post("/tools/find", {"Level": level, "Query": query, "Expand": True})
        return found

    def sop_instance_uids(self, study_instance_uid: str | None = None) -> frozenset[str]:
        """The SOP Instance UIDs in the archive, or in one study of it."""
        query = {} if study_instance_uid is None else {"StudyInstanceUID": study_instance_uid}
        return frozenset(one["MainDicomTags"]["SOPInstanceUID"] for one in self.find_tags("Instance", **query))

    def page_of(self, study_instance_uid: str) -> tuple[str, str]:
        """What shows a study, in words, and its address: the best viewer that is loaded, else Orthanc's own page."""
        loaded = [VIEWERS[name] for name in VIEWERS if str(plugin(name)) in self._plugins]
        words, address = loaded[0] if loaded else ("it in the archive", "/app/explorer.html#study?uuid={identifier}")
        found = self.find_tags("Study", StudyInstanceUID=study_instance_uid)
        identifier = found[0]["ID"] if found else ""
        return words, self.url + address.format(uid=study_instance_uid, identifier=identifier)

    def file(self, sop_instance_uid: str) -> bytes:
        """One instance, as Orthanc keeps it.

        Raises
        ------
        LookupError
            If it has none of that UID.
        """
        found = self.find_tags("Instance", SOPInstanceUID=sop_instance_uid)
        if not found:
            raise LookupError(f"the archive has no instance {sop_instance_uid}")
        return self._http.get(f"{self.url}/instances/{found[0]['ID']}/file").raise_for_status().content

    def empty(self) -> None:
        """Remove every patient from the store."""
        for patient in self.get("/patients"):
            self._http.delete(f"{self.url}/patients/{patient}").raise_for_status()

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        response.raise_for_status()
        return response.json() if response.content else None
