"""The node's own reports, stored for longer than their jobs' files, so that a visit a year later finds the last one."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.database.connection import Database
from node.database.jobs import JobState
from node.database.tables import JobRow, ObjectRow
from node.errors import ReadingFailed
from node.files import link_whole, make_folder
from node.prior.report import NOT_READ, Found, NotUsable, SomebodyElse, Wanted, examined, latest, read_report
from node.progress import goes_on
from node.reading import Reader
from pipelines.records.record import Identity

log = logging.getLogger(__name__)

SECONDS_A_DAY = 86400.0


class PatientKeys(Protocol):
    """What a patient is known by on disk, so that no file name tells who it is."""

    def key(self, patient_id: str, issuer: str = "") -> str:
        """A keyed digest of patient ID and issuer."""


class OwnReports:
    """``<data>/priors/<patient>/<digest>.dcm``; a patient is known by a keyed digest of ID and issuer only.

    Parameters
    ----------
    folder
        Where they lie; made with the first one.
    keys
        What patients are known by on disk.
    database
        Tells which reports went out.
    default_issuer
        Of patient IDs that come without one.
    reader
        Reads reports.
    """

    def __init__(
        self, folder: Path, keys: PatientKeys, database: Database, default_issuer: str, reader: Reader
    ) -> None:
        self._folder, self._keys, self._database = folder, keys, database
        self._default_issuer, self._reader = default_issuer, reader

    def keep(self, report: Path, sop_instance_uid: str, who: Identity) -> None:
        """Keep the report in file `report`; a second time changes nothing.

        Parameters
        ----------
        report
            The file; it may go afterwards.
        sop_instance_uid
            Of the report.
        who
            The patient; without a patient ID nothing is stored.
        """
        if not who.patient_id:
            return
        folder = self._of(who)
        make_folder(folder)
        link_whole(report, folder / _name(sop_instance_uid))  # the file of the job may go, this name stays

    def find(
        self, wanted: Wanted, silent: list[str], earlier: Sequence[Identity] = ()
    ) -> tuple[Found | None, list[str]]:
        """The patient's last report by the pipeline, and why others of that patient ID are not it.

        Only what was handed over by a job that has not failed counts: a report that was never sent does not count.

        Parameters
        ----------
        wanted
            Of whom, and what.
        silent
            It is added here, in words, that one cannot be read.
        earlier
            What the patient was known as before a merge or a correction: a report under that is as good.
        """
        found: dict[str, Found] = {}
        mismatches: list[str] = []
        people: dict[Path, list[Identity]] = {}  # by folder, whom it is of now last
        for each in (*earlier, wanted.who):
            people.setdefault(self._of(each), []).append(each)
        for path, known in [(path, known) for folder, known in people.items() for path in sorted(folder.glob("*.dcm"))]:
            try:
                report = self._examined(read_report(path), wanted, known)
            except SomebodyElse as error:
                mismatches.append(str(error))
            except (NotUsable, FileNotFoundError) as error:  # the latter: it is old enough to go
                log.debug("own report passed over", extra={"reason": type(error).__name__})
            except (ReadingFailed, OSError) as error:
                log.warning("own report passed over", extra={"reason": type(error).__name__})
                silent.append(f"own results: {NOT_READ}")
            else:
                found[report.sop_instance_uid] = report
        when = [(report, self._went_out(report, wanted.pipeline)) for report in found.values()]
        # a report carries the time of its images: which was written last only the job says
        sent = (replace(report, written=created.isoformat()) for report, created in when if created is not None)
        return latest(sent), mismatches

    def get(self, sop_instance_uid: str, who: Identity, earlier: Sequence[Identity] = ()) -> bytes | None:
        """The report of that UID, if it is still there."""
        for each in (who, *earlier):
            with suppress(NotUsable, OSError):
                return read_report(self._of(each) / _name(sop_instance_uid))
        return None

    def purge(self, keep_days: int) -> int:
        """Delete what was made more than `keep_days` ago; how many reports."""
        limit, deleted = time.time() - keep_days * SECONDS_A_DAY, 0
        for path in self._folder.glob("*/*.dcm"):
            goes_on()
            if path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
                deleted += 1
        return deleted

    def _of(self, who: Identity) -> Path:
        return self._folder / self._keys.key(who.patient_id, who.issuer)

    def _examined(self, content: bytes, wanted: Wanted, known: Sequence[Identity]) -> Found:
        """The report, if it is of the patient as known in one of these ways; says how it differs from the last."""
        *before, now = known
        for who in before:
            with suppress(SomebodyElse):
                return self._reader.call(examined, content, replace(wanted, who=who), self._default_issuer)
        return self._reader.call(examined, content, replace(wanted, who=now), self._default_issuer)

    def _went_out(self, report: Found, pipeline: str) -> datetime | None:
        """When the job was made that handed the report over; None where none has, or nothing is built on it."""
        with Session(self._database) as session:
            return session.scalar(
                select(JobRow.created)
                .join(ObjectRow, ObjectRow.job_id == JobRow.id)
                .where(
                    ObjectRow.sop_instance_uid == report.sop_instance_uid,
                    JobRow.pipeline == pipeline,
                    JobRow.state.in_((JobState.SENDING, JobState.DONE)),
                    JobRow.withdrawn.is_(None),
                    JobRow.rejected == "",
                )
            )


def erase_reports(folder: Path, sop_instance_uids: Iterable[str]) -> None:
    """Delete these reports, whoever the patient is.

    Parameters
    ----------
    folder
        As of `OwnReports`.
    sop_instance_uids
        Of any objects; those that are no reports are not there.
    """
    for uid in sop_instance_uids:
        for path in folder.glob(f"*/{_name(uid)}"):
            path.unlink(missing_ok=True)


def _name(sop_instance_uid: str) -> str:
    return f"{hashlib.sha256(sop_instance_uid.encode()).hexdigest()[:40]}.dcm"
