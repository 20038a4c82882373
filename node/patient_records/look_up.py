"""The record that belongs to a study: looked up, its identity held against the study's headers, never guessed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from dicom_sr.errors import UnsuitableInput
from node.config import Configuration
from node.errors import PeerRefused, PeerUnavailable, ReaderDied, ReadingFailed
from node.network.fhir_client import FhirClient, FhirPage, RecordTooLarge, read_page
from node.patient_records.intake import Intake
from node.patient_records.patient_changes import PatientChanges
from node.patient_records.store import PatientRecords
from node.reading import Reader
from node.study.current_patients import as_current
from node.study.headers import study_header
from pipelines.context import ClinicalContext
from pipelines.records.record import Identity, IdentityMismatch, Record
from pipelines.registry import pipeline_type

log = logging.getLogger(__name__)


def open_patient_records(configuration: Configuration) -> PatientRecords:
    """The node's records.

    Raises
    ------
    ConfigurationError
        If the key file is no good.
    """
    return PatientRecords(configuration.node.data.absolute() / "records", configuration.records.key_file)


class RecordLookUp:
    """Finds the record that belongs to a study, or to a patient who is asked about.

    Parameters
    ----------
    configuration
        Which issuer counts where none is named, and which FHIR server is asked.
    records
        The node's own records; what the server gives is put there.
    reader
        Reads what the study says of its patient, and what the server gives.
    pauses_s
        Before a job asks a FHIR server again that was away or busy; after the last one the job fails and can be
        restarted, so that an outage holds up nothing else.
    changes
        Which patients were merged or corrected: the record is that of whom the study's patient is now.
    """

    def __init__(
        self,
        configuration: Configuration,
        records: PatientRecords,
        reader: Reader,
        pauses_s: Sequence[float] = (1.0, 4.0),
        changes: PatientChanges | None = None,
    ) -> None:
        self._settings, self._records, self._reader = configuration.records, records, reader
        self._changes = changes
        self._pauses_s = pauses_s
        self._handing_over = threading.Lock()  # what a reader makes of a record is there several times meanwhile

    def reconfigure(self, configuration: Configuration) -> None:
        """Ask its FHIR server from now on."""
        self._settings = configuration.records

    def for_study(self, pipeline: str, paths: Sequence[Path]) -> ClinicalContext | None:
        """The context for a pipeline on a study, up to the day of the study: what a job's first step asks for.

        Parameters
        ----------
        pipeline
            By its name.
        paths
            The study's files; the first one says whose it is.

        Returns
        -------
        ClinicalContext or None
            None where the pipeline wants none or there is none.

        Raises
        ------
        UnsuitableInput
            If the record is of somebody else than the study; the reason names the field, never its value.
        PeerUnavailable
            If the FHIR server is away.
        """
        if not pipeline_type(pipeline).needs_context or not paths:
            return None
        header = self._reader.call(study_header, paths[0], self._settings.default_issuer)
        who = as_current(header.who, self._changes)
        record = self._find_patiently(who)
        if record is None:
            return None
        if what := record.identity.mismatch(who):
            raise UnsuitableInput(f"the record and the images are not of one person, or that cannot be decided: {what}")
        return record.context(header.day or date.today())

    def for_request(self, patient_id: str, issuer: str | None) -> Record:
        """The record for a request without a study.

        Parameters
        ----------
        patient_id
            As the record has it.
        issuer
            None: the one that counts where none is named.

        Raises
        ------
        UnsuitableInput
            If there is no record.
        PeerUnavailable
            If the FHIR server is away.
        """
        asked = (patient_id, self._settings.default_issuer if issuer is None else issuer)
        record = self.find(Identity(*(self._changes.current_id(*asked) if self._changes else asked)))
        if record is None:
            raise UnsuitableInput("there is no record under that patient ID and issuer")
        return record

    def _find_patiently(self, who: Identity) -> Record | None:
        for pause in self._pauses_s:
            try:
                return self.find(who)
            except PeerUnavailable as error:
                log.warning("record waits for the FHIR server", extra={"reason": str(error), "retry_s": pause})
                time.sleep(pause)
        return self.find(who)

    def find(self, who: Identity) -> Record | None:
        """The record by patient ID and issuer, from the store or, where it has none, from the FHIR server.

        Raises
        ------
        PeerUnavailable
            If the server cannot be reached.
        UnsuitableInput
            If what it gives is too large, cannot be read, or is not of one person.
        ReaderDied
            If what it gives ends what reads it.
        """
        known = self._records.get(who.patient_id, who.issuer)
        if known is not None or self._settings.fhir is None or not who.patient_id:
            return known
        try:
            with FhirClient(self._settings.fhir) as client:
                record = client.record(who.patient_id, self._page)
            if record is None:
                return None
            with self._handing_over:
                Intake(self._records, self._settings, self._reader, self._changes).server_record(record)
        except RecordTooLarge as error:
            raise UnsuitableInput(str(error)) from error
        except PeerRefused as error:
            log.warning("record not given", extra={"reason": str(error)})
            return None
        except ReaderDied:  # not the record's fault, perhaps
            raise
        except ReadingFailed as error:
            raise UnsuitableInput(f"the FHIR server's record cannot be read: {error}") from error
        except IdentityMismatch as error:
            raise UnsuitableInput(f"the FHIR server's record is not of one person: {error}") from error
        return self._records.get(who.patient_id, who.issuer)

    def _page(self, body: bytes) -> FhirPage:
        with self._handing_over:
            return self._reader.call(read_page, body)
