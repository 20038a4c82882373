"""The node: all parts together, in the order of a study's way through them.

receiver processes -> receipt import -> completion -> dispatch -> job engine -> outbox sender -> destinations
                               the database and the data folder lie between all of them
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path

import pydicom
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from node.access.attempts import Attempts
from node.access.callers import Callers
from node.access.refused import RefusedSignIns
from node.actions.configuration import read_fit
from node.actions.desk import Actions
from node.actions.importing import forget_uploads
from node.actions.reloader import Reloader
from node.alerts.engine import Alerts
from node.alerts.machine import Parts as MachineParts
from node.api.application import mounted
from node.api.parts import Parts
from node.audit.trail import AuditTrail
from node.background import Loop
from node.config import Configuration, checks
from node.database import audit
from node.database.connection import Database, open_database, opening_errors
from node.database.history import History
from node.database.pauses import Pauses
from node.database.tables import NODE_STARTED, NODE_STOPPED
from node.errors import PeerUnavailable
from node.files import make_folder
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
from node.receive.store.study_keys import StudyKeys
from node.rejections.notes import RejectionNotes
from node.route.completion import Completion
from node.route.deciding import Deciding
from node.route.dispatch import Dispatcher
from node.route.reroute import Reroute
from node.run.job_engine import JobEngine, set_up
from node.send.outbox import Sender
from node.status.app import Replaceable, WebApp, build_app
from node.status.connections import Connections
from node.status.health import Health
from node.status.overview import Overview
from node.status.web_server import WebServer
from node.telemetry.traces import Traces, why_no_traces
from node.verdicts.intake import Intake

log = logging.getLogger(__name__)

WATCH_S = 0.1  # how often the processes are looked after
BY_SIGNAL = "SIGHUP"  # who has the configuration read anew then


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
        self._fit = read_fit(path)
        self._configuration = self._fit.configuration
        self._stopping, self._reload_asked = threading.Event(), threading.Event()
        self._terminal = has_terminal()
        self._asked_to_stop = 0.0
        self._open_files = 0  # how many may be

    def run(self) -> None:
        """Serve until `stop`, SIGTERM or Ctrl-C; SIGHUP has the configuration read anew. For the main thread.

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
        signal.signal(signal.SIGHUP, lambda *_: self._hung_up())
        configuration = self._configuration
        with ExitStack() as stack:
            listening = stack.enter_context(open_ports(configuration))
            children, reloader = self._start(configuration, listening, stack)
            announced = False
            while not self._stopping.wait(WATCH_S):
                children.keep_alive()
                if self._reload_asked.is_set():
                    self._reload_asked.clear()
                    reloader.reload(BY_SIGNAL)
                reloader.look()
                if not announced and children.all_ready:
                    announced = True
                    log.info("ready", extra={**addresses(configuration), "seconds": round(time.monotonic() - began, 2)})
            log.info("stopping")
        log.info("stopped", extra={"seconds": round(time.monotonic() - self._asked_to_stop, 2)})

    def stop(self) -> None:
        """End `run`, from any thread or a signal handler."""
        self._asked_to_stop = time.monotonic()
        self._stopping.set()

    def _hung_up(self) -> None:
        """SIGHUP: a reload is asked for, or the terminal that the node was started in is gone."""
        if self._terminal and not has_terminal():
            self.stop()
        else:
            self._reload_asked.set()

    def _start(
        self, configuration: Configuration, listening: socket.socket, stack: ExitStack
    ) -> tuple[Supervisor, Reloader]:
        """Start every part, the last in the flow first; `stack` ends them in the opposite order."""
        database = prepared_database(configuration)
        stack.callback(database.dispose)
        pauses = Pauses(database)
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
            paused=pauses.route,
        )
        job_engine.start()
        stack.callback(job_engine.stop)
        trail = AuditTrail(configuration, database)  # not before: now no other node works on this folder
        trail.start()
        stack.callback(trail.stop)
        note_life(database, NODE_STARTED)
        stack.callback(note_life, database, NODE_STOPPED)
        records = RecordService(configuration, database, patient_records, look_up, job_engine, changes)
        stack.callback(records.stop)
        sender = Sender(configuration, database, paused=pauses.destination)
        sender.start()
        stack.callback(sender.stop)
        receipts = open_database(configuration.node.database_url, power=configuration.receive.durability == "power")
        stack.callback(receipts.dispose)
        receipt_import = ReceiptImport(configuration.node.data, receipts)
        receipt_import.start()
        stack.callback(receipt_import.stop)
        completion = Completion(database, configuration.receive, now)
        dispatcher = Dispatcher(configuration, database, job_engine.submit, now, readers)
        deciding = Deciding(completion, dispatcher, correct=corrections)
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
        remarks["audit"] = trail.problem
        remarks["pauses"] = pauses.remark
        retention = Retention(database, configuration.node.data, configuration.receive.keep_days, now)
        retention.loop.start()
        stack.callback(retention.loop.stop)
        remarks["retention"] = retention.loop.problem
        study_keys = StudyKeys(configuration.node.data, database, readers)
        study_keys.loop.start()
        stack.callback(study_keys.loop.stop)
        remarks["study keys"] = study_keys.loop.problem
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
        verdicts = Intake(configuration, database, readers, now)
        verdicts.loop.start()
        stack.callback(verdicts.loop.stop)
        remarks["verdicts"] = verdicts.loop.problem
        if (no_traces := why_no_traces(configuration)) is not None:
            remarks["traces"] = lambda: no_traces
        elif configuration.telemetry.otlp_endpoint is not None:
            traces = Traces(configuration, database, now)
            traces.loop.start()
            stack.callback(traces.stop)
            remarks["traces"] = traces.loop.problem
        children = receivers(self._path, configuration.receive.dimse.processes)
        children.keep_alive()
        stack.callback(children.stop)
        problems["receiver"], remarks["receiver"] = children.problem, children.remark
        forget_uploads(configuration)
        store = Store.of(configuration, database)
        stack.callback(store.close)
        refusals = Loop("count of refusals", store.write_refusals, every_s=WRITE_S)
        refusals.start()
        stack.callback(refusals.stop)
        remarks["refusals"] = refusals.problem
        rerouting = Reroute(configuration, database, job_engine, now, readers)
        fetching = Fetching(configuration, database, store)
        run_requests = RunRequests(configuration, database, rerouting, fetching)
        fetch_requests = FetchRequests(database, fetching, run_requests, now)
        fetch_requests.loop.start()
        stack.callback(fetch_requests.stop)
        remarks["fetching"] = fetch_requests.loop.problem
        told = Callbacks(configuration.run_requests, database, run_requests, now)
        told.loop.start()
        stack.callback(told.stop)
        remarks["callbacks"] = told.loop.problem
        alerts = Alerts(configuration, database, MachineParts(dict(problems), dict(remarks)), now)
        alerts.start()
        stack.callback(alerts.stop)
        remarks["alerts"] = alerts.remark
        # many who look at the page at a time wait for each other, and never keep jobs or sending from the database
        for_page = open_database(configuration.node.database_url)
        stack.callback(for_page.dispose)
        connections = Connections(configuration.status.trusted_proxies, self._open_files)

        attempts, refused = Attempts(), RefusedSignIns(for_page)  # a reload forgets none
        stack.callback(refused.close)

        def pages(configuration: Configuration) -> WebApp:
            proxies = configuration.status.trusted_proxies
            runs = RunWeb(configuration.run_requests, run_requests, proxies)
            actions = Actions.of(self._path, configuration, for_page, job_engine, rerouting, store)
            callers = Callers(configuration, for_page, attempts=attempts, refused=refused)
            health = Health(configuration, for_page, Overview(for_page, configuration.run.workers), problems, remarks)
            api = Parts(configuration, self._path, for_page, callers, health, actions, readers, job_engine.workers)
            return build_app(
                configuration,
                for_page,
                checks=problems,
                remarks=remarks,
                more=[
                    *stow.routes(store, configuration.receive.dicomweb, proxies),
                    *records.routes(),
                    *runs.routes(),
                    mounted(api),
                ],
                connections=connections,
                callers=callers,
                actions=actions,
                config_file=self._path,
                apply_routes=actions.apply_routes,
                restart_job=actions.jobs.restart,
                paused_routes=pauses.routes,
                workers=job_engine.workers,
                reader=readers,
            )

        app = Replaceable(pages(configuration))
        stack.callback(app.stop)
        page = WebServer(app, listening, configuration.status.tls, connections)
        page.start()
        stack.callback(page.stop)
        try:
            records.start()
        except OSError as error:
            raise PeerUnavailable(f"records.mllp.port: cannot be opened: {error.strerror}") from error
        parts = (
            *(
                look_up,
                priors,
                job_engine,
                records,
                sender,
                completion,
                dispatcher,
                retention,
                rejection_notes,
                history,
            ),
            *(verdicts, rerouting, fetching, run_requests, told, trail, alerts),
        )
        reloader = Reloader(self._path, self._fit, database, parts, lambda new: app.put(pages(new)), children)
        return children, reloader


def has_terminal() -> bool:
    """Whether the process has a terminal that it is controlled by."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def addresses(configuration: Configuration) -> dict[str, str]:
    """Where to send to and where to look, for the log."""
    dimse, status = configuration.receive.dimse, configuration.status
    return {
        "dicom": f"{configuration.node.ae_title} at {dimse.host}:{dimse.port}",
        "page": f"{'https' if status.tls else 'http'}://{status.host}:{status.port}/",
    }


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


def note_life(database: Database, what: str) -> None:
    """Note in the audit trail that the node was started, or stopped; a database that is away keeps neither back."""
    with suppress(SQLAlchemyError), Session(database) as session, session.begin():
        audit.note(session, what, "", version=version_of("condyle"))


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
