"""Verdicts -> readings: what each reader says of each result, with the values that the result had."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr import codes
from dicom_sr.assessment import Answer, Change
from dicom_sr.errors import UNREADABLE
from dicom_sr.words import unit_in_words
from node.config import Configuration
from node.data_folder import job_folder, resolved
from node.database.connection import Database
from node.database.tables import InstanceRow, JobRow, ObjectRow, VerdictRow
from node.errors import NodeError
from node.run.job_folder import SUMMARY
from node.run.result_summary import code_text
from node.study.headers import read_header
from node.verdicts.agreement import Reading, Value, whole
from node.verdicts.storing import verdict
from node.verdicts.verdict import Verdict, VerdictKind

Summary = Mapping[str, Any]
_FEW_GRADES = 10
_UNKNOWN_DEVICE = "not known"


def readings(
    database: Database, configuration: Configuration, pipeline: str = "", since: datetime | None = None
) -> list[Reading]:
    """What readers say of results, one reading for each result and reader; the latest word of each counts.

    Parameters
    ----------
    database
        The node's records.
    configuration
        Says where the jobs' folders lie.
    pipeline
        Only of results of this one; empty: of all.
    since
        Only what was received then or later.
    """
    with Session(database, expire_on_commit=False) as session:
        found = judged(session, pipeline, since)
        devices = {one.job.id: _device(session, one.job, configuration) for one in found}
    summaries = {job: summary_of(configuration, job) for job in devices}
    return [_reading(one, devices[one.job.id], summaries[one.job.id]) for one in found]


@dataclass(frozen=True)
class Judged:
    """A job, and what one reader says of its result; the words that stand, the latest last."""

    job: JobRow
    reader: str
    said: tuple[Verdict, ...]

    @property
    def of_all(self) -> Answer | None:
        """The answer to the result as a whole."""
        return next((one.answer for one in reversed(self.said) if not one.tracking_uid), None)

    @property
    def findings(self) -> dict[str, Verdict]:
        """What is said of single findings, by tracking identifier; of values and of an outline together."""
        found: dict[str, Verdict] = {}
        for one in sorted(self.said, key=lambda said: said.kind is VerdictKind.EDITED_SEGMENTATION):
            if one.tracking_uid:
                of_values = found.get(one.tracking_id) if one.kind is VerdictKind.EDITED_SEGMENTATION else None
                found[one.tracking_id] = one if of_values is None else _together(of_values, one)
        return found

    def taken_over(self, stated: Iterable[str]) -> dict[str, tuple[Change, ...]]:
        """The findings that the reader took over, with what was changed in them.

        Parameters
        ----------
        stated
            Tracking identifiers of all findings of the result. Those that the reader did not judge count where the
            whole was accepted, as it is or with changes that the reader made.
        """
        findings = self.findings
        with_changes = self.of_all is Answer.MODIFY and any(one.answer is Answer.MODIFY for one in findings.values())
        others = stated if self.of_all is Answer.ACCEPT or with_changes else ()
        taken = {name: one.changes for name, one in findings.items() if one.answer is not Answer.REJECT}
        return {**{name: () for name in others if name not in findings}, **taken}


def _together(of_values: Verdict, of_outline: Verdict) -> Verdict:
    """The graver answer of the two, and all that was changed."""
    grave = [Answer.ACCEPT, Answer.MODIFY, Answer.REJECT]
    answer = max(of_values.answer, of_outline.answer, key=grave.index)
    return replace(of_values, answer=answer, changes=(*of_values.changes, *of_outline.changes))


def judged(session: Session, pipeline: str = "", since: datetime | None = None) -> list[Judged]:
    """What each reader says of each result, as `readings`."""
    query = select(VerdictRow, JobRow).join(JobRow, JobRow.id == VerdictRow.job_id).where(~VerdictRow.superseded)
    if pipeline:
        query = query.where(JobRow.pipeline == pipeline)
    if since is not None:
        query = query.where(VerdictRow.received >= since)
    said: dict[tuple[str, str], list[Verdict]] = {}
    jobs: dict[str, JobRow] = {}
    for row, job in session.execute(query.order_by(VerdictRow.observed, VerdictRow.id)):
        said.setdefault((job.id, row.observer or row.device), []).append(verdict(row))
        jobs[job.id] = job
    return [Judged(jobs[job], reader, tuple(of)) for (job, reader), of in said.items()]


def summary_of(configuration: Configuration, job: str) -> Summary:
    """What the result states in numbers; nothing where it is no longer kept."""
    try:
        path = job_folder(configuration.node.data.absolute(), job) / SUMMARY
        found: Summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _device(session: Session, job: JobRow, configuration: Configuration) -> str:
    """Manufacturer and model of what took the images, from a report of the job, else from its first image."""
    data = configuration.node.data.absolute()
    report = select(ObjectRow.path).where(ObjectRow.job_id == job.id, ObjectRow.kind == "report").limit(1)
    if (path := session.scalar(report)) is not None and (found := _scanner(resolved(path, data))):
        return found
    if not job.sop_instance_uids:
        return _UNKNOWN_DEVICE
    image = select(InstanceRow.path).where(InstanceRow.sop_instance_uid == job.sop_instance_uids[0])
    if (path := session.scalar(image)) is None:
        return _UNKNOWN_DEVICE
    return _named(_header(data / "instances" / path, _NAMES)) or _UNKNOWN_DEVICE


_NAMES = ("Manufacturer", "ManufacturerModelName")


def _scanner(path: Path) -> str:
    header = _header(path, ("ContributingEquipmentSequence",))
    for item in header.get("ContributingEquipmentSequence") or ():
        purpose = item.get("PurposeOfReferenceCodeSequence")
        if purpose and purpose[0].get("CodeValue") == standard.DCM.AcquisitionEquipment.value:
            return _named(item)
    return ""


def _header(path: Path, keywords: Sequence[str]) -> Dataset:
    try:
        return read_header(path, keywords)
    except (NodeError, *UNREADABLE):
        return Dataset()


def _named(header: Dataset) -> str:
    return " ".join(str(header.get(name)) for name in _NAMES if header.get(name))


def _reading(one: Judged, device: str, summary: Summary) -> Reading:
    answers = [said.answer for said in one.findings.values()]
    return Reading(
        one.job.id,
        one.job.study_instance_uid,
        one.reader,
        one.job.pipeline,
        one.job.pipeline_version,
        device,
        one.said[-1].observed.astimezone().strftime("%Y-%m"),
        whole(answers, one.of_all),
        Counter(answers),
        tuple(_values(one, summary)),
    )


def _values(one: Judged, summary: Summary) -> Iterator[Value]:
    stated, names = summary.get("findings", {}), summary.get("names", {})
    for tracking_id, changes in one.taken_over(stated).items():
        finding, changed = stated.get(tracking_id, {}), {code_text(change.name) for change in changes}
        yield from _changed(changes)
        for code, number in finding.get("measurements", {}).items():
            if code not in changed:
                value = float(number["value"])
                yield _number(names.get(code, code), number["unit"], value, value)
        for code, value in finding.get("evaluations", {}).items():
            if code not in changed:
                yield Value(names.get(code, code), "", value, value)


def _changed(changes: Iterable[Change]) -> Iterator[Value]:
    for change in changes:
        name, unit = str(change.name.meaning), str(change.unit.value) if change.unit else "1"
        if isinstance(change.before, Code) and isinstance(change.after, Code):
            yield Value(name, "", code_text(change.before), code_text(change.after))
        elif isinstance(change.before, float | int) and isinstance(change.after, float | int):
            yield _number(name, unit, float(change.before), float(change.after))


def _number(name: str, unit: str, ours: float, readers: float) -> Value:
    most = codes.highest_score(unit) or 0
    points = most > 1 or unit == codes.POINTS.value
    return Value(name, unit_in_words(unit), ours, readers, points, 1 < most <= _FEW_GRADES)
