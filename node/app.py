"""The node: all parts together, in the order of a study's way through them.

receiver processes -> receipt import -> completion -> dispatch -> job engine -> outbox sender -> destinations
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

from node.access.checks import ways_to_sign_in
from node.background import Loop
from node.config import Configuration, checks
from node.config.bundle_checks import bundles
from node.config.route_settings import read_with_settings
from node.config.yaml_file import YamlFile
from node.database.connection import Database, open_database, opening_errors
from node.database.history import History
from node.errors import ConfigurationError, PeerUnavailable
from node.files import make_folder
from node.models import checks as model_checks
from node.on_demand.callbacks import Callbacks
from node.on_demand.fetch_requests import FetchRequests
from node.on_demand.fetching import Fetching
from node.on_demand.requests import RunRequests
from node.on_demand.web import RunWeb
from node.patient_records.look_up import RecordLookUp, open_patient_records
from node.patient_records.patient_changes import open_patient_changes
from node.patient_records.service import RecordService
from node.prior.search import PriorReports
from node.processes import Supervisor, raise_open_files, receivers
from node.reading import Readers
from node.receive import stow
from node.receive.store.corrections import Corrections
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.refusals import WRITE_S
from node.receive.store.retention import Retention
from node.receive.store.store import Store
from node.rejections.notes import RejectionNotes
from node.route import checks as route_checks
from node.route.completion import Completion
from node.route.deciding import Deciding
from node.route.dispatch import Dispatcher
from node.route.reroute import Reroute
from node.run.job_engine import JobEngine, set_up
from node.send.outbox import Sender
from node.status.app import build_app
from node.status.connections import Connections
from node.status.web_server import WebServer
from node.verdicts.intake import Intake

log = logging.getLogger(__name__)

WATCH_S = 0.1  # how often the processes are looked after


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


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
        self._open_files = 0  # how many may be

    def run(self) -> None:
        """Serve until `stop`, SIGTERM or Ctrl-C. For the main thread.

        Raises
        ------
        ConfigurationError
            If another node works on the same data folder.
        PeerUnavailable
            If a port is taken or the database cannot be reached.
        NodeError
            If a receiver cannot start.
        """
        began = time.monotonic()
        self._open_files = raise_open_files()  # of the children too, as they inherit it
        for result in checks.open_files(self._configuration):
            log.warning("few files may be open", extra={"reason": result.sentence})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        configuration = self._configuration
        with ExitStack() as stack:
            listening = stack.enter_context(open_ports(configuration))
            children = self._start(configuration, listening, stack)
            announced = False
            while not self._stopping.wait(WATCH_S):
                children.keep_alive()
                if not announced and children.all_ready:
                    announced = True
                    log.info("ready", extra={**addresses(configuration), "seconds": round(time.monotonic() - began, 2)})
            log.info("stopping")
        log.info("stopped", extra={"seconds": round(time.monotonic() - self._asked_to_stop, 2)})

    def stop(self) -> None:
        """End `run`, from any thread or a signal handler."""
        self._asked_to_stop = time.monotonic()
        self._stopping.set()

    def _start(self, configuration: Configuration, listening: socket.socket, stack: ExitStack) -> Supervisor:
        """Start every part, the last in the flow first; `stack` ends them in the opposite order."""
        database = prepared_database(configuration)
        stack.callback(database.dispose)
        patient_records = open_patient_records(configuration)
        instances = configuration.node.data / "instances"
        make_folder(instances)
        readers = Readers(instances=instances if checks.boxed(configuration) else None)
        stack.callback(readers.close)  # also where the start fails before there is anything to stop
        changes = open_patient_changes(configuration, patient_records)
        look_up = RecordLookUp(configuration, patient_records, readers, changes=changes)
        priors = PriorReports(configuration, database, patient_records, readers, changes)
        corrections = Corrections(configuration.node.data, database, readers)
        job_engine = JobEngine(
            configuration,
            database,
            readers,
            contexts=lambda job, paths: look_up.for_study(job.pipeline, paths),
            priors=priors,
            correct=corrections,
            patients=changes,
        )
        job_engine.start()
        stack.callback(job_engine.stop)
        records = RecordService(configuration, database, patient_records, look_up, job_engine, changes)
        stack.callback(records.stop)
        sender = Sender(configuration, database)
        sender.start()
        stack.callback(sender.stop)
        receipts = open_database(configuration.node.database_url, power=configuration.receive.durability == "power")
        stack.callback(receipts.dispose)
        receipt_import = ReceiptImport(configuration.node.data, receipts)
        receipt_import.start()
        stack.callback(receipt_import.stop)
        deciding = Deciding(
            Completion(database, configuration.receive, now),
            Dispatcher(configuration, database, job_engine.submit, now, readers),
            correct=corrections,
        )
        deciding.start()
        stack.callback(deciding.stop)
        stack.callback(readers.close)  # first, so that nothing waits for what is being read or asked for
        stack.callback(priors.stop)
        problems = {
            "receipts": receipt_import.problem,
            "decisions": deciding.problem,
            "jobs": job_engine.problem,
            "sending": sender.problem,
        }
        remarks = {"receipts": receipt_import.remark, "jobs": job_engine.remark, "records": records.remark}
        if configuration.receive.keep_days is not None:
            retention = Retention(database, configuration.node.data, configuration.receive.keep_days, now)
            retention.loop.start()
            stack.callback(retention.loop.stop)
            remarks["retention"] = retention.loop.problem
        rejection_notes = RejectionNotes(
            database, instances, configuration.receive.rejection_notes, readers, job_engine.stop_work, now, changes
        )
        rejection_notes.loop.start()
        stack.callback(rejection_notes.loop.stop)
        remarks["rejection notes"] = rejection_notes.loop.problem
        history = History(database, configuration.history, now)
        history.loop.start()
        stack.callback(history.loop.stop)
        remarks["history"] = history.loop.problem
        remarks["decisions"] = deciding.remark
        if configuration.verdicts.read:
            verdicts = Intake(configuration, database, readers, now)
            verdicts.loop.start()
            stack.callback(verdicts.loop.stop)
            remarks["verdicts"] = verdicts.loop.problem
        children = receivers(self._path, configuration.receive.dimse.processes)
        children.keep_alive()
        stack.callback(children.stop)
        problems["receiver"], remarks["receiver"] = children.problem, children.remark
        store = Store.of(configuration, database)
        stack.callback(store.close)
        refusals = Loop("count of refusals", store.write_refusals, every_s=WRITE_S)
        refusals.start()
        stack.callback(refusals.stop)
        remarks["refusals"] = refusals.problem
        proxies = configuration.status.trusted_proxies
        rerouting = Reroute(configuration, database, job_engine, now, readers)
        fetching = Fetching(configuration, database, store)
        run_requests = RunRequests(configuration, database, rerouting, fetching)
        if configuration.run_requests.archives:
            fetch_requests = FetchRequests(database, fetching, run_requests, now)
            fetch_requests.loop.start()
            stack.callback(fetch_requests.stop)
            remarks["fetching"] = fetch_requests.loop.problem
        if configuration.run_requests.callbacks:
            told = Callbacks(configuration.run_requests, database, run_requests, now)
            told.loop.start()
            stack.callback(told.stop)
            remarks["callbacks"] = told.loop.problem
        runs = RunWeb(configuration.run_requests, run_requests, proxies)
        more = [*stow.routes(store, configuration.receive.dicomweb, proxies), *records.routes(), *runs.routes()]
        # many who look at the page at a time wait for each other, and never keep jobs or sending from the database
        for_page = open_database(configuration.node.database_url)
        stack.callback(for_page.dispose)
        connections = Connections(proxies, self._open_files)
        app = build_app(configuration, for_page, checks=problems, remarks=remarks, more=more, connections=connections)
        page = WebServer(app, listening, configuration.status.tls, connections)
        page.start()
        stack.callback(page.stop)
        try:
            records.start()
        except OSError as error:
            raise PeerUnavailable(f"records.mllp.port: cannot be opened: {error.strerror}") from error
        return children


def addresses(configuration: Configuration) -> dict[str, str]:
    """Where to send to and where to look, for the log."""
    dimse, status = configuration.receive.dimse, configuration.status
    return {
        "dicom": f"{configuration.node.ae_title} at {dimse.host}:{dimse.port}",
        "page": f"{'https' if status.tls else 'http'}://{status.host}:{status.port}/",
    }


def require_fit(configuration: Configuration, path: Path) -> None:
    """Raise `ConfigurationError` with all that would keep the node from its work, each with its line."""
    found = [
        result
        for look in (route_checks.routes, model_checks.versions, bundles, ways_to_sign_in, *checks.AT_START)
        for result in look(configuration)
    ]
    if wrong := [result for result in found if result.state == "bad"]:
        raise ConfigurationError("\n".join(YamlFile(path).listed(wrong)))


def prepared_database(configuration: Configuration) -> Database:
    """The node's database, with its tables up to date.

    Raises
    ------
    ConfigurationError
        If the data folder cannot be written.
    PeerUnavailable
        If the database cannot be reached.
    """
    with opening_errors(configuration):
        return set_up(configuration)


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
        raise PeerUnavailable(f"{key}: {host}:{port}: cannot be opened: {checks.why_not_opened(error)}") from error


def serve(path: Path) -> None:
    """Run the node with the configuration in `path` until `Node.stop`, SIGTERM or Ctrl-C."""
    # what stands in a header is the sender's business; we take it as it is and never warn with its values
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    Node(path).run()
