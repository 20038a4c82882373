"""Which job's result a verdict is about: by the objects that it names, else by the tracking UID within its study."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydicom.sr.coding import Code
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.assessment import Assessment, AssessmentDocument
from dicom_sr.errors import UnsuitableInput
from dicom_sr.read.assessments import with_values_before
from dicom_sr.read.edited_reports import NotAnEdit, edits
from dicom_sr.read.statements import Document, document_in
from node.data_folder import resolved
from node.database.connection import Database
from node.database.queries import in_chunks
from node.database.tables import InstanceRow, JobPatientRow, JobRow, ObjectRow
from node.database.verdicts import SEGMENTATION
from node.reading import Reader
from node.study.patients import Person
from node.verdicts.reading import LARGEST_REPORT, LARGEST_SEGMENTATION, content_of, segments_at

MOST_JOBS = 12  # of a study, that a tracking UID is looked for in; the latest
MOST_SEGMENTATIONS = 8  # of a study, that an edited one is held against; the latest
REPORT = "report"  # kind of an object: the measurement report, and its twin
_NO_ANSWERS: tuple[Code, ...] = ()  # nothing is asked in a report of ours


@dataclass(frozen=True)
class Matched:
    """A verdict, and what of the node's it is about."""

    said: Assessment
    job_id: str
    object_uid: str


class Results:
    """The results of one study, as far as a verdict in that study may be about them.

    Parameters
    ----------
    data
        The node's data folder.
    reader
        Reads the node's own reports too.
    source
        What came in.
    """

    def __init__(self, database: Database, data: Path, reader: Reader, source: InstanceRow) -> None:
        self._data, self._reader = data.absolute(), reader
        study = source.study_instance_uid
        with Session(database, expire_on_commit=False) as session:
            of_study = (JobRow.study_instance_uid == study, JobRow.shadow.is_(False))
            jobs = session.scalars(select(JobRow).where(*of_study).order_by(JobRow.created.desc(), JobRow.id)).all()
            self._jobs = [job for job in jobs if not _of_another(session, source, job)]
            self.of_another_patient = len(self._jobs) < len(jobs)
            objects = [
                one
                for chunk in in_chunks([job.id for job in self._jobs])
                for one in session.scalars(select(ObjectRow).where(ObjectRow.job_id.in_(chunk)))
            ]
        self._objects = {one.sop_instance_uid: one for one in objects}
        self._reports: dict[str, Document | None] = {}

    def __bool__(self) -> bool:
        return bool(self._objects)

    def matched(self, document: AssessmentDocument) -> tuple[list[Matched], list[str]]:
        """Each verdict with its job, and why others have none."""
        found, unmatched = list[Matched](), list(document.not_understood)
        for said in document.assessments:
            one = self._match(said)
            if isinstance(one, str):
                unmatched.append(one)
            else:
                found.append(one)
        return found, unmatched

    def of_segments(self, document: AssessmentDocument) -> list[Matched]:
        """Each verdict of an edited segmentation, which names the object that it was held against."""
        named = ((said, said.object_uids[0]) for said in document.assessments)
        return [Matched(said, self._objects[uid].job_id, uid) for said, uid in named]

    def edits(self, theirs: Document) -> AssessmentDocument | None:
        """What an edited copy of one of the reports says; None where it is of none.

        Raises
        ------
        NotAnEdit
            If it says nothing, or our report is not here any more.
        """
        named = self._of_objects(theirs.predecessors)
        for job in named or self._jobs[:MOST_JOBS]:
            ours = self._report(job.id)
            if ours is not None and (named or theirs.findings.keys() & ours.findings.keys()):
                return edits(ours, theirs, succeeds=bool(named))
        if named:
            raise NotAnEdit("the report that it was made of is not here any more to be compared with")
        return None

    def edited_segments(self, path: Path) -> AssessmentDocument | None:
        """What an edited copy of one of the segmentations says; None where it is of none.

        Parameters
        ----------
        path
            Of what came in.

        Raises
        ------
        NotAnEdit
            If it says nothing.
        UnsuitableInput
            If it cannot be read.
        """
        latest = {job.id: number for number, job in enumerate(self._jobs)}
        made = [one for one in self._objects.values() if one.sop_class_uid == SEGMENTATION]
        made.sort(key=lambda one: (latest[one.job_id], one.order, one.sop_instance_uid))
        for one in made[:MOST_SEGMENTATIONS]:
            try:
                ours = content_of(resolved(one.path, self._data), LARGEST_SEGMENTATION)
            except (OSError, UnsuitableInput):  # it is not here any more
                continue
            if (found := self._reader.call(segments_at, path, ours)) is not None:
                return found
        return None

    def _match(self, said: Assessment) -> Matched | str:
        named = self._of_objects(said.object_uids)
        for job in named or self._jobs[:MOST_JOBS]:
            about = next((uid for uid in said.object_uids if self._is_of(uid, job)), "")
            if not said.tracking_uid and about:
                return Matched(said, job.id, about)
            ours = self._report(job.id)
            group = None if ours is None else ours.findings.get(said.tracking_uid)
            if ours is not None and group is not None:
                return Matched(with_values_before(said, group), job.id, about or ours.sop_instance_uid)
            if ours is None and len(named) == 1:  # our report is gone: what was said stands without the values before
                return Matched(said, job.id, about)
        what = f"tracking UID {said.tracking_uid}" if said.tracking_uid else "what it names"
        return f"{what} is of no result of this study"

    def _of_objects(self, uids: Collection[str]) -> list[JobRow]:
        """The jobs that made any of these objects, the latest first."""
        ids = {self._objects[uid].job_id for uid in uids if uid in self._objects}
        return [job for job in self._jobs if job.id in ids]

    def _is_of(self, uid: str, job: JobRow) -> bool:
        return uid in self._objects and self._objects[uid].job_id == job.id

    def _report(self, job_id: str) -> Document | None:
        """The measurement report of a job; None where there is none, or its file is gone."""
        if job_id not in self._reports:
            self._reports[job_id] = self._read_report(job_id)
        return self._reports[job_id]

    def _read_report(self, job_id: str) -> Document | None:
        reports = [one for one in self._objects.values() if one.job_id == job_id and one.kind == REPORT]
        for one in sorted(reports, key=lambda row: (row.twin_of is not None, row.order, row.sop_instance_uid)):
            try:
                content = content_of(resolved(one.path, self._data), LARGEST_REPORT)
            except (OSError, UnsuitableInput):
                continue
            document = self._reader.call(document_in, content, _NO_ANSWERS)
            if document.groups:
                return document
        return None


def _of_another(session: Session, source: InstanceRow, job: JobRow) -> bool:
    """Whether what came in names another patient than the images of the job do, as far as they are stored."""
    images = (InstanceRow.sop_instance_uid.in_(job.sop_instance_uids[:1]), InstanceRow.patient != "")
    mark = session.scalar(select(InstanceRow.patient).where(*images))
    if not mark or not source.patient:
        return False
    # whom its objects name, where that patient was merged or corrected before they were written
    written = session.scalars(
        select(JobPatientRow.mark).where(JobPatientRow.job_id == job.id, JobPatientRow.written)
    ).all()
    came = Person.of_mark(source.patient)
    return all(Person.of_mark(one).contradiction(came) is not None for one in (mark, *written))
