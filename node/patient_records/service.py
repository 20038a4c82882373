"""Everything about records that runs with the node: the HL7 port, the HTTP routes, retention."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.routing import BaseRoute

from node.background import Loop
from node.config import Configuration
from node.config.checks import boxed
from node.database.connection import Database
from node.network.room import Room
from node.patient_records.after_changes import AfterChanges
from node.patient_records.intake import Intake
from node.patient_records.look_up import RecordLookUp
from node.patient_records.mllp import MllpServer
from node.patient_records.patient_changes import PatientChanges
from node.patient_records.refused import TELL_EVERY_S, RefusedRecords
from node.patient_records.requests import RecordRequests
from node.patient_records.store import PatientRecords
from node.patient_records.web import RecordsWeb
from node.reading import Readers
from node.run.job_engine import JobEngine

log = logging.getLogger(__name__)

PURGE_EVERY_S = 3600.0
RETRY_S = 60.0  # after the disk did not answer
DAY_S = 86400.0
READERS = 2  # of their own, so that senders of records never keep images waiting


class RecordService:
    """Starts and stops with the node.

    Parameters
    ----------
    configuration
        Ports, tokens, and how long records are kept.
    database
        The node's.
    records
        The node's records.
    look_up
        Finds a patient's record.
    engine
        Takes requests as jobs.
    changes
        Keeps which patients were merged or corrected; None: nobody is to know.

    Raises
    ------
    ConfigurationError
        If a token file cannot be read, or holds no token.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        records: PatientRecords,
        look_up: RecordLookUp,
        engine: JobEngine,
        changes: PatientChanges | None = None,
    ) -> None:
        self._settings, self._records, self._changes = configuration.records, records, changes
        self._keep_changes_days = max(configuration.records.keep_days, configuration.priors.keep_days)
        instances = configuration.node.data / "instances" if boxed(configuration) else None
        self._readers = Readers(READERS, instances=instances)
        after = AfterChanges(database, configuration.node.data.absolute(), configuration.records.default_issuer)
        self._intake = Intake(records, configuration.records, self._readers, changes, after)
        self._requests: Callable[[Configuration], RecordRequests] = lambda configuration: RecordRequests(
            configuration, database, records, look_up, engine
        )
        self._refused = RefusedRecords(database)
        self._room = Room()  # one for both ways
        self._web = self._web_of(configuration)
        self._mllp: MllpServer | None = None
        self._retention = Loop("record retention", self._purge, every_s=PURGE_EVERY_S, retry_s=RETRY_S)
        self._telling = Loop("count of refused records", self._refused.tell, every_s=TELL_EVERY_S)

    def _web_of(self, configuration: Configuration) -> RecordsWeb:
        requests, proxies = self._requests(configuration), configuration.status.trusted_proxies
        return RecordsWeb(configuration.records, self._intake, requests, self._refused, proxies, self._room)

    def reconfigure(self, configuration: Configuration) -> None:
        """Take records by it from now on; its `routes` are others then.

        Raises
        ------
        ConfigurationError
            If a token file cannot be read, or holds no token; nothing changes then.
        """
        self._web = self._web_of(configuration)
        self._settings = configuration.records
        self._keep_changes_days = max(configuration.records.keep_days, configuration.priors.keep_days)
        self._intake.reconfigure(configuration.records)

    def routes(self) -> list[BaseRoute]:
        """POST /fhir and /risk, GET /risk/{job}."""
        return self._web.routes()

    def start(self) -> None:
        """Open the HL7 port, where one is configured, and begin to delete what is too old.

        Raises
        ------
        OSError
            If the port is taken.
        """
        if (mllp := self._settings.mllp) is not None:
            self._mllp = MllpServer(mllp.host, mllp.port, self._intake, mllp.networks, self._refused, self._room)
            self._mllp.start()
        self._retention.start()
        self._telling.start()

    def stop(self) -> None:
        """Close the HL7 port, end retention and what reads."""
        if self._mllp is not None:
            self._mllp.stop()
        self._retention.stop()
        self._telling.stop()
        self._readers.close()
        self._refused.tell()

    def remark(self) -> str | None:
        """Why records are not taken by HL7, or not deleted when they are old; None if they are."""
        if self._mllp is not None and (problem := self._mllp.problem()):
            return problem
        return self._retention.problem()

    def _purge(self) -> None:
        deleted = self._records.purge(self._settings.keep_days * DAY_S)
        if deleted:
            log.info("records deleted", extra={"records": deleted, "days": self._settings.keep_days})
        if self._changes is not None and (forgotten := self._changes.purge(self._keep_changes_days * DAY_S)):
            log.info("changes of patients forgotten", extra={"patients": forgotten, "days": self._keep_changes_days})
