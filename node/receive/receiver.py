"""The receiver: store, recorder, DICOM port and storage commitment of one process, put together and taken down."""

from __future__ import annotations

import contextlib
import logging
import threading
from types import TracebackType

from sqlalchemy import Engine

from node.config import Configuration
from node.errors import ConfigurationError
from node.network.tls import server_context
from node.receive.dimse.admission import Admission
from node.receive.dimse.commitment_provider import Commitment
from node.receive.dimse.fast_server import FastServer
from node.receive.dimse.plain_server import PlainServer
from node.receive.dimse.services import Services
from node.receive.orthanc_feed import Feed
from node.receive.store.locks import Duty
from node.receive.store.receipt_import import Recorder
from node.receive.store.store import Store
from node.receive.watched_folder import FolderWatch

log = logging.getLogger(__name__)

SWEEP_S = 300.0  # the janitor for partials that nobody writes any more


class Receiver:
    """A context manager: inside it, the port answers."""

    def __init__(self, configuration: Configuration, engine: Engine) -> None:
        receive, node = configuration.receive, configuration.node
        dimse = receive.dimse
        self.store = Store(node.data, receive.durability, receive.disk_floor_mb * 2**20, dimse.maximum_instance_bytes)
        duty = self.duty = Duty(node.data / "receipts" / "duty.lock")
        self.recorder = Recorder(node.data, engine)
        self.commitment = Commitment(engine, self.store, node.ae_title, configuration.peers, duty)
        admission = Admission(dimse, node.ae_title, configuration.peers, node.data / "receipts" / "places")
        services = Services(self.store, admission, self.commitment)
        server = FastServer if dimse.server == "fast" else PlainServer
        tls = server_context(dimse.tls) if dimse.tls else None
        # with a TLS port of its own, the other one stays plain
        self.server = server(dimse, services, None if dimse.tls_port else tls, dimse.port)
        self.servers = [self.server]
        if dimse.tls_port is not None:
            if tls is None:
                raise ConfigurationError("receive.dimse.tls_port: needs receive.dimse.tls beside it")
            self.servers.append(server(dimse, services, tls, dimse.tls_port))
        self.watchers: list[FolderWatch | Feed] = [
            *(FolderWatch(folder, self.store, duty) for folder in receive.watched_folders),
            *(Feed(name, feed, self.store, duty) for name, feed in receive.orthanc_feeds.items()),
        ]
        self._stop = threading.Event()
        self._janitor = threading.Thread(target=self._sweep, name="janitor", daemon=True)

    def __enter__(self) -> Receiver:
        self.recorder.start()
        self.commitment.start()
        self._janitor.start()
        for watcher in self.watchers:
            watcher.start()
        for server in self.servers:
            server.start()
            log.info("receiving", extra={"port": server.port})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for server in self.servers:
            server.stop()
        for watcher in self.watchers:
            watcher.stop()
        self.commitment.stop()
        self._janitor.join()
        self.store.close()
        self.recorder.stop()
        self.duty.close()

    def _sweep(self) -> None:
        while not self._stop.wait(SWEEP_S):
            with contextlib.suppress(OSError):
                self.store.sweep()
