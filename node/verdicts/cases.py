"""Results that readers have judged -> cases for the training of a pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.sr.coding import Code
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.assessment import Change
from node.config import Configuration
from node.data_folder import resolved
from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.tables import InstanceRow, JobRow, ObjectRow
from node.run.result_summary import code_text
from node.verdicts.readings import Judged, Summary, judged, summary_of

if TYPE_CHECKING:
    from pipelines.lab.corrected import CorrectedCase, CorrectedFinding

_DIGITS = 12  # of a patient's code, hexadecimal


def cases(
    database: Database, configuration: Configuration, pipeline: str = "", since: datetime | None = None
) -> dict[str, list[CorrectedCase]]:
    """By pipeline: the results that readers took over, with the values that they left; those last read last.

    The parameters are those of `node.verdicts.readings.readings`. Where several readers judged a finding, the word of
    the last one counts. Left out are results that were withdrawn or rejected, and those of which the report or the
    numbers are no longer kept.
    """
    found: dict[str, list[CorrectedCase]] = {}
    with Session(database, expire_on_commit=False) as session:
        of_job: dict[str, list[Judged]] = {}
        for one in judged(session, pipeline, since):
            if one.job.withdrawn is not None or one.job.rejected:  # of a wrong patient, perhaps
                continue
            of_job.setdefault(one.job.id, []).append(one)
        for readings in of_job.values():
            if (case := _case(session, configuration, readings)) is not None:
                found.setdefault(readings[0].job.pipeline, []).append(case)
    return found


def _case(session: Session, configuration: Configuration, readings: Sequence[Judged]) -> CorrectedCase | None:
    from pipelines.lab.corrected import CorrectedCase  # a second to import

    job, data = readings[0].job, configuration.node.data.absolute()
    summary, report = summary_of(configuration, job.id), _report(session, job.id, data)
    if not summary or report is None:
        return None
    images = _images(session, job)
    marks = sorted({row.patient for row in images if row.patient})
    patient = hashlib.sha256("|".join(marks or [job.study_instance_uid]).encode()).hexdigest()[:_DIGITS]
    paths = {row.sop_instance_uid: data / "instances" / row.path for row in images}
    return CorrectedCase(
        job.id[:_DIGITS],
        patient,
        {uid: path for uid, path in paths.items() if path.is_file()},
        report,
        tuple(_findings(readings, summary)),
    )


def _images(session: Session, job: JobRow) -> list[InstanceRow]:
    chunks = in_chunks(job.sop_instance_uids)
    queries = (select(InstanceRow).where(InstanceRow.sop_instance_uid.in_(chunk)) for chunk in chunks)
    return [row for query in queries for row in session.scalars(query)]


def _report(session: Session, job_id: str, data: Path) -> Path | None:
    of_job = (ObjectRow.job_id == job_id, ObjectRow.kind == "report")
    paths = session.scalars(select(ObjectRow.path).where(*of_job).order_by(ObjectRow.sop_instance_uid))
    return next((path for path in (resolved(stored, data) for stored in paths) if path.is_file()), None)


def _findings(readings: Sequence[Judged], summary: Summary) -> Iterable[CorrectedFinding]:
    stated = summary.get("findings", {})
    last: dict[str, tuple[Change, ...] | None] = {}  # None: rejected
    for one in readings:
        last |= dict.fromkeys(one.findings, None)
        last |= one.taken_over(stated)
    return [_finding(name, changes, stated.get(name, {})) for name, changes in last.items() if changes is not None]


def _finding(
    tracking_id: str, changes: Sequence[Change], stated: Mapping[str, Mapping[str, object]]
) -> CorrectedFinding:
    from pipelines.lab.corrected import CorrectedFinding

    values: dict[str, float | str] = {}
    for code, number in stated.get("measurements", {}).items():
        values[code] = float(number["value"])  # type: ignore[index]
    for code, value in stated.get("evaluations", {}).items():
        values[code] = str(value)
    changed = {code_text(change.name): change.after for change in changes}
    for code, after in changed.items():
        values.pop(code, None)
        if after is not None:
            values[code] = code_text(after) if isinstance(after, Code) else float(after)
    return CorrectedFinding(tracking_id, values, frozenset(changed))
