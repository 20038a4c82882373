"""Everything about records that runs with the node: the HL7 port, the HTTP routes, the look-up for jobs, retention."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from starlette.routing import BaseRoute

from node.config import Configuration
from node.patient_records.answer import Assessor, route_settings
from node.patient_records.intake import Intake
from node.patient_records.look_up import Contexts, open_patient_records
from node.patient_records.mllp import Server
from node.patient_records.web import RecordsWeb
from pipelines.context import ClinicalContext

log = logging.getLogger(__name__)

PURGE_EVERY_S = 3600.0
DAY_S = 86400.0


class RecordService:
    """Starts and stops with the node.

    Raises
    ------
    ConfigurationError
        If a key or token file is no good.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._settings = configuration.records
        self._records = open_patient_records(configuration)
        self._contexts = Contexts(configuration, self._records)
        self._intake = Intake(self._records, configuration.records)
        self._assessor = Assessor(route_settings(configuration.routes))
        self._web = RecordsWeb(configuration.records, self._intake, self._contexts, self._assessor)
        self._mllp: Server | None = None
        self._stopping = threading.Event()
        self._purging = threading.Thread(target=self._purge, name="record retention", daemon=True)

    def context_for(self, pipeline: str, paths: list[Path]) -> ClinicalContext | None:
        """The record for a job of that pipeline on these files; see `Contexts`."""
        return self._contexts(pipeline, paths)

    def routes(self) -> list[BaseRoute]:
        """POST /fhir and POST /risk."""
        return self._web.routes()

    @property
    def mllp_port(self) -> int | None:
        """Where HL7 messages are taken, while it runs."""
        return self._mllp.port if self._mllp else None

    def start(self) -> None:
        """Open the HL7 port, where one is configured, and begin to delete what is too old.

        Raises
        ------
        OSError
            If the port is taken.
        """
        if (mllp := self._settings.mllp) is not None:
            self._mllp = Server(mllp.host, mllp.port, self._intake, mllp.networks)
            self._mllp.start()
        self._purging.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._mllp is not None:
            self._mllp.stop()
        self._assessor.close()
        if self._purging.is_alive():
            self._purging.join()

    def _purge(self) -> None:
        while True:
            try:
                deleted = self._records.purge(self._settings.keep_days * DAY_S)
                if deleted:
                    log.info("records deleted", extra={"records": deleted, "days": self._settings.keep_days})
            except OSError as error:
                log.warning("records cannot be deleted", extra={"reason": error.strerror})
            if self._stopping.wait(PURGE_EVERY_S):
                return
