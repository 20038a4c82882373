"""The small JSON files of a job's folder, as types: what its steps leave for each other and for a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from dicom_sr.profile import EncodedObject, Kind, ObjectFile
from node.data_folder import resolved, to_store


class Note(Protocol):
    """A note and the file that it stands in."""

    FILE: ClassVar[str]


@dataclass(frozen=True)
class StudyNote:
    """Which files the job is about (prepare)."""

    FILE: ClassVar[str] = "study.json"

    study_instance_uid: str
    paths: tuple[Path, ...] = ()
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)  # by SeriesInstanceUID: `Series.attributes`
    patients: int = 1  # that the images are of; of more than one, nothing is made
    remark: str = ""  # what a reader must know of whose they are
    people: tuple[str, ...] = ()  # whom they name, as marks (`node.study.patients`)


@dataclass(frozen=True)
class ContextNote:
    """That the pipeline was given the patient's record (prepare)."""

    FILE: ClassVar[str] = "context.json"

    sha256: str  # of context.plain, with the node's key


@dataclass(frozen=True)
class CheckNote:
    """That the pipeline's input contract is met (prepare)."""

    FILE: ClassVar[str] = "checked.json"

    version: str  # of the pipeline
    weights: str = ""  # digest of those that it would run with


@dataclass(frozen=True)
class PriorNote:
    """That an earlier report was searched for (prepare); the file holds more, which only `node.prior` reads."""

    FILE: ClassVar[str] = "prior.json"

    found: bool
    remark: str = ""  # what a reader must know of the search
    sha256: str = ""  # of prior.dcm, where one was found


@dataclass(frozen=True)
class ResultNote:
    """That there is a result (infer)."""

    FILE: ClassVar[str] = "result.json"

    sha256: str  # of result.plain, with the node's key
    version: str  # of the pipeline
    seconds: float | None = None  # that the pipeline ran
    left_aside: tuple[str, ...] = ()  # images that it did not use, in sentences
    weights: str = ""  # digest of those that it ran with


@dataclass(frozen=True)
class ObjectsNote:
    """The objects that were written (encode)."""

    FILE: ClassVar[str] = "objects.json"

    of: str  # digest of all that they follow from
    objects: tuple[EncodedObject, ...]  # `twin_of` is that of the first profile under which one stands in
    # by profile and SOP Instance UID: the object that it stands in for there, None where it stands for itself
    twins: dict[str, dict[str, str | None]]
    left_out: tuple[str, ...] = ()  # optional objects that could not be made, each with its error

    def is_own(self, item: EncodedObject) -> bool:
        """Whether the object stands for itself under any profile."""
        return any(twins.get(item.sop_instance_uid, "") is None for twins in self.twins.values())

    def of_profile(self, profile: str) -> list[EncodedObject]:
        """The objects that a destination with that profile gets, without those that stand in for others."""
        twins = self.twins.get(profile, {})
        return [item for item in self.objects if twins.get(item.sop_instance_uid, "") is None]


@dataclass(frozen=True)
class SeriesNote(ObjectsNote):
    """The derived series among them, written before the rest (encode)."""

    FILE: ClassVar[str] = "series.json"


@dataclass(frozen=True)
class _OlderObject(ObjectFile):
    """An object as version 0.1 listed it."""

    kind: Kind
    order: int
    sha256: str
    size: int
    twin_of: dict[str, str | None]  # by profile


@dataclass(frozen=True)
class _OlderObjects:
    """``objects.json`` of version 0.1: a node that is upgraded hands over what it had encoded before."""

    of: str
    objects: tuple[_OlderObject, ...]

    def converted(self) -> ObjectsNote:
        """The note as it is now."""
        objects = []
        twins: dict[str, dict[str, str | None]] = {}
        for item in self.objects:
            for profile, original in item.twin_of.items():
                twins.setdefault(profile, {})[item.sop_instance_uid] = original
            original = next((uid for uid in item.twin_of.values() if uid is not None), None)
            objects.append(EncodedObject(**{**vars(item), "twin_of": original}))
        return ObjectsNote(self.of, tuple(objects), twins)


_N = TypeVar("_N", bound=Note)


@cache  # one takes a millisecond to make
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def packed(note: Note, data: Path) -> bytes:
    """The note as JSON; the paths in it are relative to the data folder."""
    return _adapter(type(note)).dump_json(_with_paths(note, lambda path: Path(to_store(path, data))), indent=1)


def unpacked(kind: type[_N], content: bytes, data: Path) -> _N | None:
    """The note that `packed` wrote, with its paths below the data folder as it lies now; None where it is none."""
    try:
        note: _N | None = _adapter(kind).validate_json(content)
    except ValidationError:
        note = _older(kind, content)
    return None if note is None else _with_paths(note, lambda path: resolved(str(path), data))


def _with_paths(note: _N, change: Callable[[Path], Path]) -> _N:
    """The note with every path in it changed."""
    match note:
        case StudyNote():
            return replace(note, paths=tuple(map(change, note.paths)))
        case ObjectsNote():
            return replace(note, objects=tuple(replace(item, path=change(item.path)) for item in note.objects))
    return note


def _older(kind: type[_N], content: bytes) -> _N | None:
    """The note that an older node wrote, where it wrote that kind otherwise."""
    if kind is not ObjectsNote:
        return None
    try:
        note = _adapter(_OlderObjects).validate_json(content).converted()
    except ValidationError:
        return None
    assert isinstance(note, kind)
    return note
