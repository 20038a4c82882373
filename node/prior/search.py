"""The search for the last report: among the node's own, then in the archives that are configured, in limited time."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from node.config import Configuration, DicomWebDestination, DimseDestination
from node.database import rejections
from node.database.connection import Database
from node.database.tables import InstanceRow, JobRow, ObjectRow
from node.errors import BeingStopped, JobFailed, NodeError, PeerUnavailable, ReadingFailed
from node.network.associations import Associations
from node.network.deadline import Deadline
from node.prior.archive import PriorArchive, ReportReference
from node.prior.dicomweb_archive import DicomWebArchive
from node.prior.dimse_archive import DimseArchive
from node.prior.own_reports import OwnReports, PatientKeys
from node.prior.report import (
    MALFORMED,
    NOT_READ,
    Found,
    NotUsable,
    SomebodyElse,
    Wanted,
    examined,
    latest,
    normalised,
    read_report,
)
from node.reading import Reader
from node.study.current_patients import CurrentPatients, current_header
from node.study.headers import StudyHeader, study_header, study_header_in
from pipelines.base import wants_prior_report
from pipelines.records.record import Identity
from pipelines.registry import pipeline_type

log = logging.getLogger(__name__)

OWN = "own results"
LOOK_S = 0.1
RECEIPT_S = 2.0  # after it, an instance that was stored has its receipt in the records


@dataclass(frozen=True)
class Prior:
    """The result of a search."""

    note: dict[str, Any]  # for the job's record: UIDs, digest, source; a repeat goes by it
    summary: str  # for the operator
    content: bytes | None = field(default=None, repr=False)


class PriorReports:
    """Finds the earlier report for a job, and keeps the node's own.

    Parameters
    ----------
    keys
        What patients are known by on disk.
    reader
        Reads images and reports.
    patients
        Which patients were merged or corrected: own reports are found under what the patient was known as before,
        archives are asked for whom the patient is now.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        keys: PatientKeys,
        reader: Reader,
        patients: CurrentPatients | None = None,
    ) -> None:
        self._configuration, self._database, self._reader = configuration, database, reader
        self._patients = patients
        self._settings, self._default_issuer = configuration.priors, configuration.records.default_issuer
        folder = configuration.node.data.absolute() / "priors"
        self._associations = Associations()
        self._own = OwnReports(folder, keys, database, self._default_issuer, reader)

    def reconfigure(self, configuration: Configuration) -> None:
        """Ask its archives from the next job on."""
        self._configuration, self._settings = configuration, configuration.priors

    def find(self, job: JobRow, paths: Sequence[Path]) -> Prior | None:
        """The patient's last report by the job's pipeline; None where the pipeline wants none.

        What an earlier run of the same job was given, it is given again, and nothing else. An archive that cannot
        be asked takes its time-out and is reported; it never fails the job.

        Raises
        ------
        JobFailed
            If the report of an earlier run cannot be had again as it was.
        """
        if not paths or not wants_prior_report(pipeline_type(job.pipeline)):
            return None
        header = current_header(self._reader.call(study_header, paths[0], self._default_issuer), self._patients)
        if job.prior is not None:
            return self._again(job.prior, header)
        wanted = Wanted.of(job.pipeline, header, datetime.now(UTC))
        if not wanted.who.patient_id:
            return _none("the images name no patient ID", "No earlier report was searched for: no patient ID.")
        silent: list[str] = []  # who may have one and did not say
        found, mismatches = self._own.find(wanted, silent, self._earlier(wanted.who))
        if found is not None:
            return _used(found, OWN, _remark(silent, ()))
        return self._ask_archives(wanted, mismatches, silent)

    def keep(self, job: JobRow, reports: Sequence[tuple[str, Path]]) -> None:
        """Keep the reports (SOP Instance UID and file) of a job, for the patient's next study."""
        if not self._settings.keep_days or job.shadow or not wants_prior_report(pipeline_type(job.pipeline)):
            return
        for sop_instance_uid, path in reports:
            try:
                header = self._reader.call(study_header_in, read_report(path), self._default_issuer)
            except (NodeError, NotUsable, OSError) as error:  # the report goes out all the same
                if isinstance(error, BeingStopped):  # the next node keeps it
                    raise
                log.warning(
                    "report not kept", extra={"job": job.id, "reason": getattr(error, "strerror", None) or str(error)}
                )
                continue
            self._own.keep(path, sop_instance_uid, header.who)

    def _earlier(self, who: Identity) -> Sequence[Identity]:
        return () if self._patients is None else self._patients.earlier(who)

    def stop(self) -> None:
        """End searches under way; they raise `BeingStopped`."""
        self._associations.stop()

    def purge(self) -> int:
        """Delete own reports that are older than the configuration says; how many."""
        return self._own.purge(self._settings.keep_days)

    # ---- archives
    def _ask_archives(self, wanted: Wanted, mismatches: list[str], silent: list[str]) -> Prior:
        for name in self._settings.ask:
            try:
                with closing(self._open(name, mismatches)) as archive:
                    found = self._look(name, archive, wanted, mismatches, silent)
            except PeerUnavailable as error:
                self._associations.require_going_on()
                log.warning("archive not searched", extra={"archive": name, "reason": str(error)})
                silent.append(str(error))
                continue
            except (RuntimeError, *MALFORMED) as error:  # what an archive may answer must not cost the job
                self._associations.require_going_on()
                log.warning("archive not searched", extra={"archive": name, "reason": type(error).__name__})
                silent.append(f"{name}: its answers cannot be read")
                continue
            if found is not None:
                return _used(found, name, _remark(silent, ()))
        searched = silent if self._settings.ask else [*silent, "no archive is configured"]
        summary = "; ".join([*searched, *(f"one left out, as its {what} differs" for what in mismatches)])
        return _none(summary, _remark(silent, mismatches))

    def _look(
        self, name: str, archive: PriorArchive, wanted: Wanted, mismatches: list[str], silent: list[str]
    ) -> Found | None:
        """The last report in an archive: the studies one by one, the latest first."""
        for study in archive.studies(wanted)[: self._settings.studies]:
            reports: list[Found] = []
            for reference in self._to_build_on(archive.reports(study.study_instance_uid)):
                try:
                    reports.append(self._reader.call(examined, archive.fetch(reference), wanted, self._default_issuer))
                except SomebodyElse as error:
                    mismatches.append(str(error))
                except ReadingFailed as error:
                    log.warning("report passed over", extra={"archive": name, "reason": str(error)})
                    silent.append(f"{name}: {NOT_READ}")
                except NotUsable as error:
                    log.debug("report passed over", extra={"reason": str(error)})
            if (found := latest(reports)) is not None:
                return found
        return None

    def _to_build_on(self, references: Iterable[ReportReference]) -> list[ReportReference]:
        """Those whose result was neither taken back here nor rejected; the archive may keep such a report."""
        named = list(references)
        with Session(self._database) as session:
            rejected = rejections.not_to_be_built_on(session, [one.sop_instance_uid for one in named])
        return [one for one in named if one.sop_instance_uid not in rejected]

    def _open(self, name: str, mismatches: list[str]) -> PriorArchive:
        destination = self._configuration.destinations[name]
        deadline = Deadline(name, self._settings.timeout_s)
        if isinstance(destination, DicomWebDestination):
            return DicomWebArchive(name, destination, deadline, mismatches)
        assert isinstance(destination, DimseDestination)  # the configuration allows no other
        ae_title = self._configuration.node.ae_title
        return DimseArchive(
            name,
            destination,
            ae_title,
            self._settings.retrieve,
            deadline,
            self._received,
            mismatches,
            self._associations,
        )

    def _received(self, sop_instance_uid: str, patience_s: float) -> bytes:
        """What a C-MOVE has brought to the node's own port, once its receipt is in the records.

        A report that the node has itself is not stored once more, and leaves no receipt: its own is taken.

        Raises
        ------
        PeerUnavailable
            If it does not come in time.
        NotUsable
            If what is there is no report.
        """
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            with Session(self._database) as session:
                record = session.get(InstanceRow, sop_instance_uid)
                if record is not None:
                    return read_report(self._configuration.node.data / "instances" / record.path, record.sop_class_uid)
                own = session.get(ObjectRow, sop_instance_uid)
            if own is not None and end - time.monotonic() < patience_s - RECEIPT_S:
                with contextlib.suppress(FileNotFoundError):
                    return read_report(self._configuration.node.data.absolute() / own.path, own.sop_class_uid)
            time.sleep(LOOK_S)
        raise PeerUnavailable("the archive says that it has sent the report, and it has not come to the node's port")

    # ---- the same again
    def _again(self, note: dict[str, Any], header: StudyHeader) -> Prior:
        if not note["found"]:
            return Prior(note, "none, as before")
        reference = ReportReference(note["study_instance_uid"], note["series_instance_uid"], note["sop_instance_uid"])
        for content in self._wherever(note["source"], reference, header):
            if content is not None and hashlib.sha256(content).hexdigest() == note["sha256"]:
                return Prior(note, f"{reference.sop_instance_uid} from {note['source']}, as before", content)
        raise JobFailed(
            f"the earlier report that the job was given before, {reference.sop_instance_uid}, cannot be fetched again "
            "unchanged"
        )

    def _wherever(self, source: str, reference: ReportReference, header: StudyHeader) -> Iterator[bytes | None]:
        content = self._own.get(reference.sop_instance_uid, header.who, self._earlier(header.who))
        yield self._normalised(content)
        if source in self._settings.ask:
            try:
                with closing(self._open(source, [])) as archive:
                    yield self._normalised(archive.fetch(reference))
            except (PeerUnavailable, RuntimeError, *MALFORMED) as error:
                self._associations.require_going_on()
                log.warning("archive not searched", extra={"archive": source, "reason": type(error).__name__})

    def _normalised(self, content: bytes | None) -> bytes | None:
        try:
            return None if content is None else self._reader.call(normalised, content)
        except (ReadingFailed, *MALFORMED):
            return None


def _used(found: Found, source: str, remark: str) -> Prior:
    note = {
        "found": True,
        "study_instance_uid": found.study_instance_uid,
        "series_instance_uid": found.series_instance_uid,
        "sop_instance_uid": found.sop_instance_uid,
        "sha256": hashlib.sha256(found.content).hexdigest(),
        "source": source,
        "remark": remark,
    }
    return Prior(note, f"{found.sop_instance_uid} from {source}", found.content)


def _none(summary: str, remark: str) -> Prior:
    return Prior({"found": False, "remark": remark}, f"none found: {summary}" if summary else "none found", None)


def _remark(silent: Sequence[str], mismatches: Sequence[str]) -> str:
    """What the reader of the result must know about the search; empty if nothing."""
    sentences = []
    if silent:
        sentences.append(f"No earlier report could be searched in: {'; '.join(dict.fromkeys(silent))}.")
    if mismatches:
        fields = ", ".join(sorted(set(mismatches)))
        sentences.append(f"An earlier report under this patient ID was not used, its {fields} differs.")
    return " ".join(sentences)
