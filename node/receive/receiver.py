"""The receiver: one process's store, receipt import, DICOM port and storage commitment, started and stopped."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from node.background import Loop
from node.config import Configuration
from node.database.connection import Database
from node.errors import ConfigurationError
from node.network.tls import server_context
from node.receive.dimse.admission import Admission
from node.receive.dimse.commitment_provider import CommitmentProvider
from node.receive.dimse.fast_server import FastServer
from node.receive.dimse.plain_server import PlainServer
from node.receive.dimse.services import Services
from node.receive.store.locks import LeaderLock
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.refusals import WRITE_S
from node.receive.store.store import Store
from node.receive.watched_folder import FolderWatcher

if TYPE_CHECKING:
    from node.receive.orthanc_feed import FeedFollower

log = logging.getLogger(__name__)

SWEEP_S = 300.0  # partial files that nobody writes any more are removed this often


class Receiver:
    """A context manager: inside it, the port answers."""

    def __init__(self, configuration: Configuration, database: Database) -> None:
        receive, node = configuration.receive, configuration.node
        dimse = receive.dimse
        self.store = Store.of(configuration, database)
        leader_lock = self.leader_lock = LeaderLock(node.data / "receipts" / "leader_lock.lock")
        self.receipt_import = ReceiptImport(node.data, database)
        self.commitment = CommitmentProvider(database, self.store, node.ae_title, configuration.peers, leader_lock)
        self._admission = admission = Admission(
            dimse, node.ae_title, configuration.peers, node.data / "receipts" / "slots"
        )
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
        self.watchers: list[FolderWatcher | FeedFollower] = [
            FolderWatcher(f"receive.watched_folders.{index}.path", folder, self.store, leader_lock)
            for index, folder in enumerate(receive.watched_folders)
        ]
        if receive.orthanc_feeds:
            from node.receive.orthanc_feed import FeedFollower  # its HTTP client costs each receiver memory

            self.watchers += [
                FeedFollower(name, feed, self.store, leader_lock) for name, feed in receive.orthanc_feeds.items()
            ]
        self._refusals = Loop("count of refusals", self.store.write_refusals, every_s=WRITE_S)
        self._sweeper = Loop("removal of partial files", self._sweep, every_s=SWEEP_S, first_s=SWEEP_S)

    def __enter__(self) -> Receiver:
        self.receipt_import.start()
        self._refusals.start()
        self.commitment.start()
        self._sweeper.start()
        for watcher in self.watchers:
            watcher.start()
        for server in self.servers:
            server.start()
            log.info("receiving", extra={"port": server.port})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            server.stop()
        for watcher in self.watchers:
            watcher.stop()
        self.commitment.stop()
        self._sweeper.stop()
        self._refusals.stop()
        self.store.close()
        self.receipt_import.stop()
        self.leader_lock.close()

    def reconfigure(self, configuration: Configuration) -> None:
        """Let in whom it names from the next association on; those that are open go on."""
        self._admission.reconfigure(configuration.receive.dimse, configuration.peers)
        self.commitment.reconfigure(configuration.peers)

    def problem(self) -> str | None:
        """Why no images come by DICOM at the moment, or what has come is not recorded; None if all is well."""
        return _told(*self.servers, self.receipt_import)

    def remark(self) -> str | None:
        """What else of it does not do its work, and why: one way in that is away, and what can wait."""
        return _told(*self.watchers, self.commitment, self._sweeper, self._refusals)

    def _sweep(self) -> None:
        self.store.sweep()


class _Part(Protocol):
    def problem(self) -> str | None: ...


def _told(*parts: _Part) -> str | None:
    return "; ".join(filter(None, (part.problem() for part in parts))) or None
