"""A job's folder: what its steps leave for each other and a restart, each file written whole, known by SHA-256."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from cryptography.fernet import Fernet

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Result, Subject
from dicom_sr.series import Series, Study, read_studies
from node.files import digest_of, flush, write_whole
from node.run import notes
from node.run.notes import ContextNote, Note, ObjectsNote, PriorNote, ResultNote, StudyNote
from node.study.sealing import is_sealed, seal, unseal
from pipelines.context import ClinicalContext

N = TypeVar("N", bound=Note)
K = TypeVar("K")
V = TypeVar("V")
PRIVATE = 0o600  # mode of what tells of the patient
FLUSHES = 8  # at a time


class Damaged(RuntimeError):
    """A file of the job is not what its step wrote."""


class _Pickler(pickle.Pickler):
    """Keeps a series without the headers that it has read so far: they are in the store."""

    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, Series):
            return Series, tuple(getattr(obj, field.name) for field in fields(obj))
        if isinstance(obj, MappingProxyType):
            return _read_only, (dict(obj),)
        return NotImplemented


def _read_only(mapping: dict[K, V]) -> MappingProxyType[K, V]:
    return MappingProxyType(mapping)  # the type itself has no name that pickle could look up


def _pickled(obj: object) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(obj)
    return stream.getvalue()


@dataclass(frozen=True)
class JobFolder:
    """``<data>/jobs/<job id>``.

    ``study.json``    which files the job is about (prepare)
    ``context.pickle`` the patient's record, where the pipeline asks for it (prepare; of a job on request: submit)
    ``subject.json``  whose record that is, where no image says so (submit)
    ``prior.dcm`` and ``prior.json``: the patient's earlier report, or that there is none (prepare)
    ``checked.json``  that the pipeline's input contract is met (prepare)
    ``result.pickle`` and ``result.json``: the result, and its digest and figures (infer)
    ``summary.json``  the result in numbers, to be compared with another version's (infer)
    ``objects/`` and ``objects.json``: the DICOM objects and the list of them (encode)
    """

    path: Path

    @property
    def objects(self) -> Path:
        """Where the encoders write, in a folder for each profile."""
        return self.path / "objects"

    # ---- whole files
    def write(self, name: str, content: bytes, mode: int = 0o666) -> str:
        """Write `content` under `name` so that it is there whole or not at all; returns its SHA-256."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / name, content, sync="content", mode=mode)
        return hashlib.sha256(content).hexdigest()

    def read(self, name: str, sha256: str) -> bytes:
        """The content of `name`.

        Raises
        ------
        Damaged
            If it is missing or is not what `sha256` says.
        """
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise Damaged(f"{name} of the job cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Damaged(f"{name} of the job is not what was written")
        return content

    def write_json(self, name: str, content: Mapping[str, object]) -> str:
        """Write `content` as JSON under `name`; returns its SHA-256."""
        return self.write(name, json.dumps(content, indent=1, ensure_ascii=False).encode())

    def read_note(self, kind: type[N]) -> N | None:
        """The job's note of that kind; None where there is none, or nothing that can be used."""
        try:
            return notes.unpacked(kind, (self.path / kind.FILE).read_bytes())
        except FileNotFoundError:
            return None

    def write_note(self, note: Note) -> None:
        """Keep the note in its file."""
        self.write(note.FILE, notes.packed(note))

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

    def write_context(self, context: ClinicalContext, key_file: Path | None = None) -> None:
        """Keep the patient's record; sealed where the node's records are encrypted."""
        sha256 = self.write("context.pickle", seal(_pickled(context), key_file), mode=PRIVATE)
        # who reads it back has the configuration's key, so its place is noted and not the key
        self.write_note(ContextNote(sha256, key_file.absolute() if key_file else None))

    def read_context(self) -> ClinicalContext | None:
        """The patient's record, where the job was given one."""
        note = self.read_note(ContextNote)
        if note is None:
            return None
        content = self.read("context.pickle", note.sha256)
        if note.key_file is not None and not is_sealed(content):  # of a job that an earlier version took
            content = Fernet(note.key_file.read_bytes().strip()).decrypt(content)
        context = pickle.loads(unseal(content))
        assert isinstance(context, ClinicalContext)
        return context

    def write_subject(self, subject: Subject, key_file: Path | None = None) -> None:
        """Keep whose record it is; sealed as the record is. The folder is made for the node's account alone."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.write("subject.json", seal(json.dumps(asdict(subject)).encode(), key_file), mode=PRIVATE)

    def read_subject(self) -> Subject | None:
        """Whose record it is, for a job without images; None for any other."""
        try:
            content = (self.path / "subject.json").read_bytes()
        except FileNotFoundError:
            return None
        return Subject(**json.loads(unseal(content)))

    @property
    def key_file(self) -> Path | None:
        """Holds the key of the job's files that name the patient; None where they are not sealed."""
        note = self.read_note(ContextNote)
        return note.key_file if note else None

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
        self.read("prior.dcm", note.sha256)
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
        note = ResultNote(self.write("result.pickle", _pickled(result)), version, seconds, left_aside)
        self.write_note(note)
        return note

    def read_result(self, sha256: str) -> Result:
        """The result with that digest. The pickle is the node's own, and is opened only if its digest is right."""
        result = pickle.loads(self.read("result.pickle", sha256))
        assert isinstance(result, Result)
        return result

    def finished_result(self) -> ResultNote | None:
        """The note of the result; None unless the result is there and whole."""
        note = self.read_note(ResultNote)
        try:
            if note is not None:
                self.read("result.pickle", note.sha256)
        except Damaged:
            return None
        return note

    def forget_result(self) -> None:
        """Have the pipeline run again, the next time."""
        (self.path / ResultNote.FILE).unlink(missing_ok=True)

    # ---- encode
    def finished_objects(self, of: str) -> ObjectsNote | None:
        """The note of the objects; None unless they were made from `of` and every file is there and whole."""
        note = self.read_note(ObjectsNote)
        if note is None or note.of != of:
            return None
        whole = all(digest_of(item.path) == item.sha256 for item in note.objects)
        return note if whole else None


def on_disk(paths: Iterable[Path]) -> None:
    """Flush the files to the disk, so that they survive a power cut.

    All at the same time: the file system commits them together, about seven times faster than one after the other.
    """
    with ThreadPoolExecutor(FLUSHES) as threads:
        list(threads.map(flush, paths))
