"""The node: all parts together, in the order of a study's way through them.

receiver processes -> recorder -> completion -> dispatch -> engine -> outbox sender -> destinations
                          the database and the data folder lie between all of them
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import uvicorn
from sqlalchemy import Engine as Database
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from node.config import Configuration, Tls, checks
from node.config.route_settings import read_with_settings
from node.database.tables import open_database
from node.errors import ConfigurationError, PeerUnavailable
from node.network.tls import server_context
from node.patient_records.look_up import open_patient_records
from node.patient_records.post_back import PostBack
from node.patient_records.service import RecordService
from node.prior.search import Priors
from node.processes import Supervisor, receivers
from node.receive import stow
from node.receive.store.receipt_import import Recorder
from node.receive.store.retention import Retention
from node.receive.store.store import Store
from node.route import checks as route_checks
from node.route.completion import Completion
from node.route.dispatch import Dispatcher
from node.run.job_engine import JobEngine, set_up
from node.send.outbox import Sender
from node.status.page import build_app

log = logging.getLogger(__name__)

POLL_S = 0.05  # how often completion is asked for series, whose count may be known
STUDIES_EVERY = 10  # polls, until it is asked for studies too, which always wait for their quiet time
WATCH_S = 0.1  # how often the processes are looked after
DATABASE_PAUSE_S = 1.0  # after the database could not be reached
RETRY_S = 60.0  # until a series that could not be decided about is tried again
WEB_PATIENCE_S = 2  # for requests under way at the end


def now() -> datetime:
    return datetime.now(UTC)


class Deciding(threading.Thread):
    """Asks what is complete, and dispatches it, until stopped."""

    def __init__(self, completion: Completion, dispatcher: Dispatcher) -> None:
        super().__init__(name="deciding", daemon=True)
        self._completion, self._dispatcher = completion, dispatcher
        self._stopping = threading.Event()
        self._put_off: dict[tuple[str, str | None], float] = {}  # what failed, and until when it is left alone

    def run(self) -> None:
        polls = 0
        while not self._stopping.wait(POLL_S):
            polls += 1
            try:
                self.once(studies=polls % STUDIES_EVERY == 0)
            except SQLAlchemyError as error:
                log.error("decisions wait for the database", extra={"error": type(error).__name__})
                self._stopping.wait(DATABASE_PAUSE_S)

    def once(self, *, studies: bool = True) -> None:
        """Dispatch everything that is complete now; what fails costs nobody else anything."""
        for complete in self._completion.poll(studies=studies):
            what = (complete.study_instance_uid, complete.series_instance_uid)
            if self._stopping.is_set() or self._put_off.get(what, 0.0) > time.monotonic():
                continue
            try:
                self._dispatcher.dispatch(complete)
                self._put_off.pop(what, None)
            except SQLAlchemyError:
                raise
            except Exception as error:  # the loop that must go on: whatever one study holds, the next is decided about
                log.exception("cannot decide", extra={"study_instance_uid": what[0], "series_instance_uid": what[1]})
                self._dispatcher.give_up(complete, error)
                self._put_off[what] = time.monotonic() + RETRY_S

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def problem(self) -> str | None:
        """Why decisions are not made, or None."""
        return None if self.is_alive() else "nothing is decided about"


class WebServer(threading.Thread):
    """Serves the status page on a socket that is open already, so that a busy port is told before anything starts."""

    def __init__(self, app: object, listening: socket.socket, tls: Tls | None = None) -> None:
        super().__init__(name="status", daemon=True)
        context = server_context(tls) if tls else None
        self._socket = listening
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=WEB_PATIENCE_S,
                ssl_context_factory=(lambda *_: context) if context else None,
            )
        )

    def run(self) -> None:
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        self._server.should_exit = True
        self.join()
        self._socket.close()


class Node:
    """A whole node on its own folder.

    Parameters
    ----------
    path
        The configuration; child processes read it too.

    Raises
    ------
    ConfigurationError
        If it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._configuration = read_with_settings(path)
        require_fit(self._configuration, path)
        self._stopping = threading.Event()
        self._asked_to_stop = 0.0

    def run(self) -> None:
        """Serve until `stop`, SIGTERM or Ctrl-C. For the main thread.

        Raises
        ------
        ConfigurationError
            If another node works on the same data folder.
        PeerUnavailable
            If a port is taken or the database cannot be reached.
        """
        began = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        configuration = self._configuration
        with ExitStack() as stack:
            listening = stack.enter_context(open_ports(configuration))
            children = self._start(configuration, listening, stack)
            told = False
            while not self._stopping.wait(WATCH_S):
                children.keep_alive()
                if not told and children.problem() is None:
                    told = True
                    log.info("ready", extra={**places(configuration), "seconds": round(time.monotonic() - began, 2)})
            log.info("stopping")
        log.info("stopped", extra={"seconds": round(time.monotonic() - self._asked_to_stop, 2)})

    def stop(self) -> None:
        """End `run`, from any thread or a signal handler."""
        self._asked_to_stop = time.monotonic()
        self._stopping.set()

    def _start(self, configuration: Configuration, listening: socket.socket, stack: ExitStack) -> Supervisor:
        """Start every part, the last in the flow first; `stack` ends them in the opposite order."""
        database = open_records(configuration)
        stack.callback(database.dispose)
        records = RecordService(configuration)
        stack.callback(records.stop)
        engine = JobEngine(
            configuration,
            database,
            contexts=lambda job, paths: records.context_for(job.pipeline, paths),
            priors=Priors(configuration, database, open_patient_records(configuration)),
        )
        engine.start()
        stack.callback(engine.stop)
        sender = Sender(configuration, database)
        sender.start()
        stack.callback(sender.stop)
        post_back = PostBack(configuration, database)
        if post_back.wanted:
            post_back.start()
            stack.callback(post_back.stop)
        receipts = open_database(configuration.node.database_url, power=configuration.receive.durability == "power")
        stack.callback(receipts.dispose)
        recorder = Recorder(configuration.node.data, receipts)
        recorder.start()
        stack.callback(recorder.stop)
        deciding = Deciding(
            Completion(database, configuration.receive, now), Dispatcher(configuration, database, engine.submit, now)
        )
        deciding.start()
        stack.callback(deciding.stop)
        if configuration.receive.keep_days is not None:
            retention = Retention(database, configuration.node.data, configuration.receive.keep_days, now)
            retention.start()
            stack.callback(retention.stop)
        children = receivers(self._path, configuration.receive.dimse.processes)
        children.keep_alive()
        stack.callback(children.stop)
        well = {"receiver": children.problem, "decisions": deciding.problem}
        receive, data = configuration.receive, configuration.node.data
        store = Store(data, receive.durability, receive.disk_floor_mb * 2**20, receive.dimse.maximum_instance_bytes)
        stack.callback(store.close)
        more = [*stow.routes(store, receive.dicomweb), *records.routes()]
        page = WebServer(
            build_app(configuration, database, checks=well, more=more), listening, configuration.status.tls
        )
        page.start()
        stack.callback(page.stop)
        try:
            records.start()
        except OSError as error:
            raise PeerUnavailable(f"records.mllp.port: cannot be opened: {error.strerror}") from error
        return children


def places(configuration: Configuration) -> dict[str, str]:
    """Where to send to and where to look, in words."""
    dimse, status = configuration.receive.dimse, configuration.status
    return {
        "dicom": f"{configuration.node.ae_title} at {dimse.host}:{dimse.port}",
        "page": f"{'https' if status.tls else 'http'}://{status.host}:{status.port}/",
    }


def require_fit(configuration: Configuration, path: Path) -> None:
    """Raise `ConfigurationError` with everything that is wrong with the routes and the files that are named.

    Parameters
    ----------
    path
        Where the configuration stands, for the message.
    """
    found = (verdict for look in (route_checks.routes, checks.files) for verdict in look(configuration))
    if wrong := [verdict for verdict in found if verdict.state == "bad"]:
        raise ConfigurationError("\n".join(f"{path}: {verdict.sentence}" for verdict in wrong))


def open_records(configuration: Configuration) -> Database:
    """The node's database, with its tables up to date.

    Raises
    ------
    ConfigurationError
        If the data folder cannot be written.
    PeerUnavailable
        If the database cannot be reached.
    """
    try:
        return set_up(configuration)
    except OSError as error:
        raise ConfigurationError(
            f"node.data: {configuration.node.data}: cannot be written: {error.strerror}; should be a folder that the "
            "account of the node may write"
        ) from error
    except SQLAlchemyError as error:
        shown = make_url(configuration.node.database_url).render_as_string(hide_password=True)
        raise PeerUnavailable(f"node.database: {shown} cannot be used: {type(error).__name__}") from error


@contextmanager
def open_ports(configuration: Configuration) -> Iterator[socket.socket]:
    """The status page's listening socket, once the other ports are known to be free too.

    Raises
    ------
    PeerUnavailable
        If one of the ports is taken.
    """
    with ExitStack() as stack:
        sockets = {
            key: stack.enter_context(_listening(key, host, port))
            for key, host, port in checks.used_ports(configuration)
        }
        listening = sockets.pop("status.port")
        for other in sockets.values():
            other.close()
        yield listening


def _listening(key: str, host: str, port: int) -> socket.socket:
    try:
        return checks.listening_socket(host, port)
    except OSError as error:
        raise PeerUnavailable(f"{key}: {host}:{port}: cannot be opened: {error.strerror}") from error


def serve(path: Path) -> None:
    """Run the node with the configuration in `path` until it is told to stop."""
    # what stands in a header is the sender's business; we take it as it is and never warn with its values
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    Node(path).run()
