"""A job's folder: what its steps leave for each other and a restart, each file written whole.

Results and records are known by a digest with a key that only the node's account can read, over the job and the file's
name too: who can write to the folder, or restores one, cannot slip in another result.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from dicom_sr.current_patient import CurrentPatient
from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Result, Subject
from dicom_sr.series import Series, Study, read_studies
from node.data_folder import own_key
from node.files import digest_of, flush, make_folder, parts_of, write_whole
from node.run import notes, plain_form
from node.run.notes import ContextNote, Note, ObjectsNote, PriorNote, ResultNote, SeriesNote, StudyNote
from node.study.sealing import seal, unseal
from pipelines.context import ClinicalContext

log = logging.getLogger(__name__)

N = TypeVar("N", bound=Note)
L = TypeVar("L", bound=ObjectsNote)
K = TypeVar("K")
FLUSHES = 8  # at a time
KEY_FILE = "job-files.key"  # in the data folder
KEYED = "keyed-"  # begins a digest; those of earlier versions had no key, and what they vouch for is made again
SUMMARY = "summary.json"
RESULT, CONTEXT, OLDER_CONTEXT = "result.plain", "context.plain", "context.pickle"


class Damaged(RuntimeError):
    """A file of the job is not what its step wrote."""


@dataclass(frozen=True)
class JobFolder:
    """``<data>/jobs/<job id>``; no file in it is ever executed, and none names a place outside of the data folder.

    ``study.json``    which files the job is about (prepare)
    ``context.plain`` the patient's record, where the pipeline asks for it (prepare; of a job on request: submit)
    ``patient.json``  who the patient is now, where that was changed since the images were made (encode)
    ``subject.json``  whose record that is, where no image says so (submit)
    ``prior.dcm`` and ``prior.json``: the patient's earlier report, or that there is none (prepare)
    ``checked.json``  that the pipeline's input contract is met (prepare)
    ``result.plain`` and ``result.json``: the result, and its digest and figures (infer)
    ``summary.json``  the result in numbers, to be compared with another version's (infer)
    ``objects/`` and ``objects.json``: the DICOM objects and the list of them (encode)
    ``series.json``   the list of the derived series, which are written first (encode)
    """

    path: Path
    key_file: Path | None = None  # holds the key of the files that name the patient; None: they are not sealed

    @property
    def data(self) -> Path:
        """The data folder: paths in the files are relative to it."""
        return self.path.parent.parent

    @property
    def objects(self) -> Path:
        """Where the encoders write, in a folder for each profile."""
        return self.path / "objects"

    # ---- whole files
    def write(self, name: str, content: bytes) -> str:
        """Write `content` under `name` so that it is there whole or not at all; returns its keyed digest."""
        make_folder(self.path)
        write_whole(self.path / name, content, sync="content")
        return self._digest(name, [content])

    def _digest(self, name: str, content: Iterable[bytes]) -> str:
        digest = hmac.new(own_key(self.data / KEY_FILE), f"{self.path.name}/{name}\n".encode(), "sha256")
        for part in content:
            digest.update(part)
        return KEYED + digest.hexdigest()

    def read(self, name: str, digest: str) -> bytes:
        """The content of `name`.

        Raises
        ------
        Damaged
            If it is missing or is not what `digest`, which `write` returned, says.
        """
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise Damaged(f"{name} of the job cannot be read: {error.strerror}") from error
        if not hmac.compare_digest(self._digest(name, [content]).encode(), digest.encode()):
            raise Damaged(f"{name} of the job is not what was written")
        return content

    def write_json(self, name: str, content: Mapping[str, object]) -> str:
        """Write `content` as JSON under `name`; returns its keyed digest."""
        return self.write(name, json.dumps(content, indent=1, ensure_ascii=False).encode())

    def read_note(self, kind: type[N]) -> N | None:
        """The job's note of that kind; None where there is none, or nothing that can be used."""
        try:
            return notes.unpacked(kind, (self.path / kind.FILE).read_bytes(), self.data)
        except FileNotFoundError:
            return None

    def write_note(self, note: Note) -> None:
        """Keep the note in its file."""
        self.write(note.FILE, notes.packed(note, self.data))

    # ---- prepare
    def read_study(self) -> Study:
        """The study that the job is about, headers not read yet.

        Raises
        ------
        UnsuitableInput
            If a file is not readable as DICOM or is of another study.
        """
        note = self.read_note(StudyNote)
        if note is None:
            raise Damaged("study.json of the job is missing")
        uid = note.study_instance_uid
        if not note.paths:  # a request from the record alone
            return Study(uid, ())
        studies = read_studies(note.paths)
        if [study.study_instance_uid for study in studies] != [uid]:
            raise UnsuitableInput("the stored instances do not belong to the study they were stored for")
        return Study(
            uid,
            tuple(
                replace(series, attributes=MappingProxyType(note.attributes.get(series.series_instance_uid, {})))
                for series in studies[0].series
            ),
        )

    def write_context(self, context: ClinicalContext) -> None:
        """Keep the patient's record; sealed where the node's records are encrypted."""
        self.write_note(ContextNote(self.write(CONTEXT, seal(plain_form.packed(context, self.data), self.key_file))))

    @property
    def has_older_context(self) -> bool:
        """Whether an earlier version kept the record, without a key's digest or so that it could execute: not read."""
        note = self.read_note(ContextNote)
        pickled = (self.path / OLDER_CONTEXT).exists() and not (self.path / CONTEXT).exists()
        return pickled or (note is not None and not note.sha256.startswith(KEYED))

    @property
    def lacks_its_context(self) -> bool:
        """Whether there is a record that cannot be read: an earlier version's, or one whose key has not come along."""
        if self.has_older_context:
            return True
        note = self.read_note(ContextNote)
        try:
            return note is not None and not self.read(CONTEXT, note.sha256)
        except Damaged:
            return True

    def read_context(self) -> ClinicalContext | None:
        """The patient's record, where the job was given one."""
        note = self.read_note(ContextNote)
        if note is None:
            return None
        if self.has_older_context:
            raise Damaged("an earlier version of the node kept the record in a form that is no longer read: ask again")
        return self._unpacked(CONTEXT, unseal(self.read(CONTEXT, note.sha256), self.key_file), ClinicalContext)

    def write_subject(self, subject: Subject) -> None:
        """Keep whose record it is; sealed as the record is."""
        self.write("subject.json", seal(json.dumps(asdict(subject)).encode(), self.key_file))

    def read_subject(self) -> Subject | None:
        """Whose record it is, for a job without images; None for any other."""
        try:
            content = (self.path / "subject.json").read_bytes()
        except FileNotFoundError:
            return None
        return Subject(**json.loads(unseal(content, self.key_file)))

    def write_patient(self, patient: CurrentPatient | None) -> str:
        """Keep who the patient is now; returns its keyed digest, empty where it is None: whom the images name."""
        if patient is None:
            (self.path / "patient.json").unlink(missing_ok=True)
            return ""
        return self.write("patient.json", seal(json.dumps(asdict(patient)).encode(), self.key_file))

    def read_patient(self) -> CurrentPatient | None:
        """Who the patient is now; None where it is whom the images name."""
        try:
            content = (self.path / "patient.json").read_bytes()
        except FileNotFoundError:
            return None
        return CurrentPatient(**json.loads(unseal(content, self.key_file)))

    def write_prior(self, content: bytes | None, note: Mapping[str, object]) -> None:
        """Keep the patient's earlier report; ``prior.json`` comes last and says that the search is done."""
        if content is not None:
            self.write("prior.dcm", content)
        self.write_json(PriorNote.FILE, note)

    def read_prior(self) -> tuple[tuple[Series, ...], str]:
        """The earlier report as a series, if there is one, and what the reader must know of the search."""
        note = self.read_note(PriorNote)
        if note is None or not note.found:
            return (), note.remark if note else ""
        if digest_of(self.path / "prior.dcm") != note.sha256:
            raise Damaged("prior.dcm of the job is not what was written")
        (study,) = read_studies([self.path / "prior.dcm"])
        return study.series, note.remark

    # ---- infer
    def write_result(self, result: Result, version: str, seconds: float) -> ResultNote:
        """Keep the result; ``result.json`` comes last and is what makes it count.

        Parameters
        ----------
        result
            What the pipeline found.
        version
            Of the pipeline.
        seconds
            How long it ran.
        """
        left_aside = tuple(one.sentence for one in result.left_aside)
        digest = self.write(RESULT, plain_form.packed(result, self.data))
        note = ResultNote(digest, version, seconds, left_aside, result.model.weights_digest)
        self.write_note(note)
        return note

    def read_result(self, sha256: str) -> Result:
        """The result with that digest.

        Raises
        ------
        Damaged
            If it is missing or is not what was written.
        """
        return self._unpacked(RESULT, self.read(RESULT, sha256), Result)

    def finished_result(self) -> ResultNote | None:
        """The note of the result; None unless the result is there and whole."""
        note = self.read_note(ResultNote)
        try:
            is_whole = note is not None and hmac.compare_digest(
                self._digest(RESULT, parts_of(self.path / RESULT)).encode(), note.sha256.encode()
            )
        except OSError:
            return None
        return note if is_whole else None

    def forget_result(self) -> None:
        """Have the pipeline run again, the next time."""
        (self.path / ResultNote.FILE).unlink(missing_ok=True)

    def _unpacked(self, name: str, content: bytes, kind: type[K]) -> K:
        try:
            value = plain_form.unpacked(content, self.data)
        except plain_form.NotRead as error:
            raise Damaged(f"{name} of the job cannot be used: {error}") from error
        if not isinstance(value, kind):
            raise Damaged(f"{name} of the job holds something else")
        return value

    # ---- encode
    def finished_objects(self, of: str) -> ObjectsNote | None:
        """The note of the objects; None unless they were made from `of` and every file is there and whole."""
        note = self.written_objects()
        return note if note is not None and note.of == of else None

    def written_objects(self) -> ObjectsNote | None:
        """The note of the objects, whatever they were made from; None unless every file is there and whole."""
        return self._written(ObjectsNote)

    def written_series(self) -> SeriesNote | None:
        """The note of the derived series; None unless every file is there and whole."""
        return self._written(SeriesNote)

    def _written(self, kind: type[L]) -> L | None:
        note = self.read_note(kind)
        whole = note is not None and all(
            Path(os.path.normpath(item.path)).is_relative_to(self.objects) and digest_of(item.path) == item.sha256
            for item in note.objects
        )
        return note if whole else None


def ready_key(data: Path) -> None:
    """Make the key of the digests where there is none; the log says so where files are there that it should fit.

    Raises
    ------
    OSError, ConfigurationError
        As `own_key`.
    """
    if not (data / KEY_FILE).exists() and any((data / "jobs").glob("*/*.json")):
        made = "results are made and records looked up again where their jobs go on"
        log.warning("the key of the jobs' files is not there and is made anew", extra={"file": KEY_FILE, "so": made})
    own_key(data / KEY_FILE)


def on_disk(paths: Iterable[Path]) -> None:
    """Flush the files to the disk, so that they survive a power cut.

    All at the same time: the file system commits them together, about seven times faster than one after the other.
    """
    with ThreadPoolExecutor(FLUSHES) as threads:
        list(threads.map(flush, paths))
