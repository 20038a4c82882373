"""What the node asks of an inference process, and what it is answered: small JSON; bulk lies in the job's folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from dicom_sr.profile import EncodingProfile
from dicom_sr.versions import Earlier

Settings: TypeAlias = dict[str, object]
"""The `settings` of a route, which only its pipeline understands."""


# ---- requests
@dataclass(frozen=True)
class Load:
    """Bring these pipelines and their weights into memory while there is nothing else to do; it is not answered."""

    pipelines: tuple[tuple[str, Settings], ...]  # name and settings
    do: Literal["load"] = "load"


@dataclass(frozen=True)
class Check:
    """Hold the study of the job against the pipeline's input contract."""

    folder: Path  # of the job
    pipeline: str
    settings: Settings
    key_file: Path | None = None  # seals what names the patient
    do: Literal["check"] = "check"


@dataclass(frozen=True)
class Infer:
    """Run the pipeline and keep its result in the job's folder."""

    folder: Path
    pipeline: str
    settings: Settings
    key_file: Path | None = None  # seals what names the patient
    do: Literal["infer"] = "infer"


@dataclass(frozen=True)
class Try:
    """Load the pipeline and run it on the example study that it brings, written to the folder."""

    folder: Path
    pipeline: str
    settings: Settings
    key_file: Path | None = None  # of no use here: the study is simulated
    do: Literal["try"] = "try"


@dataclass(frozen=True)
class Encode:
    """Write the result, or that there is none, once for each profile."""

    folder: Path
    pipeline: str
    settings: Settings
    result: str | None  # SHA-256 of the result; None where there is none
    not_run: str | None  # why there is none
    earlier: dict[str, Earlier]  # what the destinations of each profile have of the job that this one revises
    profiles: dict[str, EncodingProfile]  # by a short digest of each
    created: datetime  # of the job: the time that the objects hold where no image names one
    revision: str  # `Job.revision`
    key: str  # digest of all that the objects follow from; they are known by it
    key_file: Path | None = None  # seals what names the patient
    earlier_jobs: tuple[str, ...] = ()  # that this one revises, the latest first
    series_first: bool = False  # answer with `SeriesEncoded`, too, where there are derived series
    do: Literal["encode"] = "encode"


JobRequest: TypeAlias = Check | Infer | Try | Encode
Request: TypeAlias = JobRequest | Load


# ---- answers
@dataclass(frozen=True)
class Ready:
    """The process has started."""

    answer: Literal["ready"] = "ready"


@dataclass(frozen=True)
class Checked:
    """The input contract is met."""

    version: str  # of the pipeline
    weights: str = ""  # digest of those that it would run with
    answer: Literal["checked"] = "checked"


@dataclass(frozen=True)
class Inferred:
    """There is a result."""

    sha256: str  # of its file
    version: str  # of the pipeline
    seconds: float | None = None  # that the pipeline ran
    weights: str = ""  # digest of those that it ran with
    answer: Literal["inferred"] = "inferred"


@dataclass(frozen=True)
class Tried:
    """The pipeline can be loaded, and its example study did not break it."""

    weights: str  # digest
    trained_on: str
    objects: int  # that were encoded of its result
    remark: str = ""  # why there are none
    answer: Literal["tried"] = "tried"


@dataclass(frozen=True)
class SeriesEncoded:
    """The derived series are written and can be sent; the rest is being written, and `Encoded` follows."""

    objects: int
    answer: Literal["series encoded"] = "series encoded"


@dataclass(frozen=True)
class Encoded:
    """The objects are written."""

    objects: int
    answer: Literal["encoded"] = "encoded"


@dataclass(frozen=True)
class Unsuitable:
    """The images cannot be used."""

    reason: str
    answer: Literal["unsuitable"] = "unsuitable"


@dataclass(frozen=True)
class Failed:
    """The pipeline or an encoder raised anything else."""

    reason: str
    answer: Literal["failed"] = "failed"


@dataclass(frozen=True)
class Waits:
    """It cannot be done now: there is no room on the disk, or the images cannot be read."""

    what: Literal["room", "images"]
    reason: str
    answer: Literal["waits"] = "waits"


Answer: TypeAlias = Ready | Waits | Checked | Inferred | Tried | SeriesEncoded | Encoded | Unsuitable | Failed

Done: TypeAlias = Checked | Inferred | Tried | Encoded
"""What was asked is done."""

_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="do")])
_ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="answer")])


def pack(message: Request | Answer) -> bytes:
    """The message as JSON."""
    if isinstance(message, Load | Check | Infer | Try | Encode):
        return _REQUEST.dump_json(message)
    return _ANSWER.dump_json(message)


def request(content: bytes) -> Request:
    """The request that `pack` wrote."""
    return _REQUEST.validate_json(content)


def answer(content: bytes) -> Answer:
    """The answer that `pack` wrote."""
    return _ANSWER.validate_json(content)
