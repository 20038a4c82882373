"""The images of a job: where they lie, whether they are those that it was made for, and of one patient and study."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_sr.current_patient import CurrentPatient
from dicom_sr.errors import UnsuitableInput
from dicom_sr.rejection_reasons import RejectionReason
from node.database import job_states, rejections
from node.database.connection import Database
from node.database.queries import images_rejected, in_chunks, other_studies_of_series, revision_of_images
from node.database.tables import AssociationRow, InstanceRow, JobRow
from node.errors import JobFailed, MustWait, NodeError, NotWhole, ReaderDied, StorageAway
from node.reading import Reader
from node.run.notes import StudyNote
from node.study.current_patients import CurrentPatients, as_current
from node.study.headers import study_header
from node.study.images import require_whole
from node.study.patients import (
    Person,
    differing_names,
    marking_key,
    patient_numbers,
    series_of_several_studies,
    several_patients,
)
from pipelines.records.record import Identity


class JobImages:
    """Finds and examines the images of jobs.

    Parameters
    ----------
    data
        The node's data folder.
    reader
        Reads whose image it is, where nobody noted that.
    patients
        Which patients were merged or corrected; None: everybody is whom the images name.
    correct
        Called with images whose length is another than was recorded: corrects the records where they are whole.
    """

    def __init__(
        self,
        database: Database,
        data: Path,
        reader: Reader,
        correct: Callable[[Collection[Path]], object] = lambda _: None,
        patients: CurrentPatients | None = None,
    ) -> None:
        self._database, self._data, self._reader, self._correct = database, data.absolute(), reader, correct
        self._patients = patients

    def study_note(self, job: JobRow) -> StudyNote:
        """Where the job's images lie, by which association each series came, and what a reader must know of them.

        Raises
        ------
        JobFailed
            If some are no longer stored or have been replaced, or one cannot be read of which nobody noted whose it is.
        ReaderDied
            If that ended what read it.
        """
        rows = self._rows(job)
        self._require_its_own(job, rows)
        paths: dict[str, Path] = {}
        attributes: dict[str, dict[str, str]] = {}
        for instance, association in rows:
            paths[instance.sop_instance_uid] = self._data / "instances" / instance.path
            if association is not None:
                attributes[instance.series_instance_uid] = {
                    "calling_ae_title": association.calling_ae_title,
                    "called_ae_title": association.called_ae_title,
                    "peer_address": association.peer_address,
                }
        named = [self._person(instance) for instance, _ in rows]
        marks = tuple(sorted({person.mark for person in named}))
        people = self._as_now(named, [instance for instance, _ in rows])
        numbers = patient_numbers(people)
        patients = max(numbers, default=1)
        remark = several_patients(people, numbers, list(paths)) if patients > 1 else differing_names(people)
        return StudyNote(job.study_instance_uid, tuple(paths.values()), attributes, patients, remark, marks)

    def current_patient(self, job: JobRow) -> CurrentPatient | None:
        """Who the patient of the job's images is now; None where no message has changed that."""
        if self._patients is None:
            return None
        looked_at: set[Person] = set()
        for instance, _ in self._rows(job):
            person = self._person(instance)
            if person in looked_at or not person.patient_id:
                continue
            looked_at.add(person)
            if (now := self._patients.current(self._who(instance))) is not None:
                return now
        return None

    def _as_now(self, named: Sequence[Person], instances: Sequence[InstanceRow]) -> list[Person]:
        """Whom the images name, as those whom they are now; asked only where they name several."""
        if self._patients is None or len(set(named)) == 1:
            return list(named)
        now: dict[Person, Person] = {}
        for person, instance in zip(named, instances, strict=True):
            if person not in now:
                who = as_current(self._who(instance), self._patients) if person.patient_id else None
                now[person] = person if who is None else self._marked(who)
        return [now[person] for person in named]

    def require_its_own(self, job: JobRow) -> None:
        """Raise `JobFailed` unless the job's images are all stored, and none was replaced or rejected since.

        Where one was rejected the job is marked, and its study is decided about again.

        The job's id stands for what it was made for: what came in its place has a job of its own.
        """
        self._require_its_own(job, self._rows(job))

    def are_stored(self, job: JobRow) -> bool:
        """Whether any of the job's images is still here."""
        return bool(self._rows(job))

    def away(self, job: JobRow) -> StorageAway | None:
        """Why the job's images cannot be read now, if that is so."""
        rows = self._rows(job)
        try:
            require_whole((self._data / "instances" / instance.path, instance.size) for instance, _ in rows)
        except StorageAway as error:
            if isinstance(error, NotWhole):
                self._correct(error.paths)
            return error
        return None

    def require_one_study(self, job: JobRow) -> None:
        """Raise `UnsuitableInput` where a series of the job is of other studies too."""
        with Session(self._database) as session:
            others = other_studies_of_series(session, job.study_instance_uid, job.series_instance_uids)
        for series, studies in others.items():
            raise UnsuitableInput(series_of_several_studies(series, studies))

    def _require_its_own(self, job: JobRow, rows: Sequence[tuple[InstanceRow, AssociationRow | None]]) -> None:
        if rejected := [instance for instance, _ in rows if instance.rejected]:
            why = images_rejected(len(rejected), len(job.sop_instance_uids), RejectionReason(rejected[0].rejected))
            if not job.rejected:  # it was decided upon before the note came, so that has to be done again
                with Session(self._database) as session, session.begin():
                    job_states.note_rejected(session, job.id, why, datetime.now(UTC))
                    rejections.decide_again(
                        session, job.study_instance_uid, {one.series_instance_uid for one in rejected}
                    )
            raise JobFailed(why)
        missing = len(set(job.sop_instance_uids)) - len(rows)
        if missing:
            raise JobFailed(f"{missing} of {len(job.sop_instance_uids)} instances are no longer stored")
        with Session(self._database) as session:
            revision = revision_of_images(session, job.study_instance_uid, job.sop_instance_uids)
        if revision != job.revision:
            raise JobFailed(
                "images of the job were sent again with other content and replaced since it was made; the job on those "
                "that are stored now is another one"
            )

    def _rows(self, job: JobRow) -> list[tuple[InstanceRow, AssociationRow | None]]:
        """The job's images that are stored, in its order, each with the association that brought it."""
        found: dict[str, tuple[InstanceRow, AssociationRow | None]] = {}
        with Session(self._database, expire_on_commit=False) as session:
            for uids in in_chunks(job.sop_instance_uids):
                for instance, association in session.execute(
                    select(InstanceRow, AssociationRow)
                    .outerjoin(AssociationRow, AssociationRow.id == InstanceRow.association_id)
                    .where(InstanceRow.sop_instance_uid.in_(uids))
                ):
                    found[instance.sop_instance_uid] = (instance, association)
        return [found[uid] for uid in job.sop_instance_uids if uid in found]

    def _person(self, instance: InstanceRow) -> Person:
        """Whose an image is, as keyed digests; from its header where it came before the node noted that."""
        return Person.of_mark(instance.patient) if instance.patient else self._marked(self._who(instance))

    def _marked(self, who: Identity) -> Person:
        return Person.of_mark(Person.of(who).marked(marking_key(self._data)))

    def _who(self, instance: InstanceRow) -> Identity:
        """Whom the header of an image names."""
        try:
            return self._reader.call(study_header, self._data / "instances" / instance.path, "").who
        except MustWait:
            raise
        except ReaderDied as error:
            raise ReaderDied(f"image {instance.sop_instance_uid}: {error}") from error
        except NodeError as error:
            raise JobFailed(f"image {instance.sop_instance_uid} cannot be read: {error}") from error
