"""What a pipeline is: a study goes in, a result comes out."""

from __future__ import annotations

import hashlib
from typing import ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict
from pydicom.sr.coding import Code

from dicom_sr.findings import Model, Result
from dicom_sr.series import Study
from pipelines.context import ClinicalContext


class PipelineSettings(BaseModel):
    """Base of a pipeline's settings: the `settings:` block of its route in config.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    said_by_weights: ClassVar[frozenset[str]] = frozenset()  # settings that say which weights; their digest does too

    @classmethod
    def of(cls, settings: PipelineSettings) -> Self:
        """The settings as those of this pipeline; settings of another kind are validated.

        Raises
        ------
        pydantic.ValidationError
            If they are not this pipeline's.
        """
        return settings if isinstance(settings, cls) else cls.model_validate(settings.model_dump())

    def digest(self, *more: str) -> str:
        """SHA-256, hex, of the settings and of whatever else configures the pipeline, such as a file that they name."""
        settings = self.model_dump_json(exclude=set(self.said_by_weights))
        return hashlib.sha256("".join((settings, *more)).encode()).hexdigest()

    def as_parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each setting in words, for a report."""
        settings = self.model_dump(exclude=set(self.said_by_weights))
        return tuple((name, str(value)) for name, value in settings.items())


def takes_and_makes(pipeline: type[Pipeline]) -> tuple[str, str]:
    """What a pipeline takes and what it makes, each in a few words for people who choose among pipelines.

    It says so by the class attributes ``takes`` and ``makes``; one without them is known by its title alone.
    """
    return getattr(pipeline, "takes", ""), getattr(pipeline, "makes", pipeline.title)


def wants_prior_report(pipeline: type[Pipeline]) -> bool:
    """Whether a pipeline compares with the patient's last report of its own.

    It says so by a class attribute ``wants_prior_report = True``, and is then given that report, where there is one, as
    a series of modality SR and of another StudyInstanceUID in `Study.series`, beside the series of its study.
    """
    return bool(getattr(pipeline, "wants_prior_report", False))


def own_scale(pipeline: type[Pipeline]) -> frozenset[Code]:
    """The measurements whose scale is a model's own, such as latent coordinates; two models are not compared by them.

    It says so by a class attribute ``own_scale``, the names of these measurements.
    """
    return frozenset(getattr(pipeline, "own_scale", ()))


def answers_from_record(pipeline: type[Pipeline]) -> bool:
    """Whether a pipeline works on the patient's record alone, so that its answer can be asked for without a study.

    It says so by a class attribute ``answers_from_record = True``, and sets ``needs_context`` too. Where it is asked
    (``POST /risk`` or ``condyle risk``), `check` and `run` get a study without series and without a StudyInstanceUID;
    `run` gets the record as its context, up to the day that was asked for. Its result states a
    `dicom_sr.findings.RiskStatement`, on a study too: that is the answer, and what FHIR servers are given.
    """
    return bool(getattr(pipeline, "answers_from_record", False))


class Pipeline(Protocol):
    """A pipeline, declared as an entry point in the group `condyle.pipelines`.

    It is constructed with its settings, cheaply; `load` brings weights into memory once, and a warm worker then calls
    `run` many times. It knows nothing of PACS, jobs, files to be written or the network.

    What it reads of its bundle it keeps in itself, not in its module, and `model` follows from the files alone: where
    they change, `pipelines.loading` makes and loads another one, and sees to it that a result names the weights that
    made it. A pipeline whose weights can be chosen has settings that derive from `pipelines.bundle.BundleSettings`.

    Its package imports the module that adds its private codes to a coding scheme (`dicom_sr.codes`): the process that
    encodes a result looks the pipeline up, and so knows them. It may bring an example result (`pipelines.examples`).
    """

    name: ClassVar[str]
    version: ClassVar[str]
    title: ClassVar[str]  # for people, e.g. "Knee MR super-resolution"
    level: ClassVar[Literal["series", "study"]]  # what one job is about
    needs_context: ClassVar[bool]  # whether `run` wants the patient's record
    settings_type: ClassVar[type[PipelineSettings]]

    def __init__(self, settings: PipelineSettings) -> None: ...

    @property
    def model(self) -> Model:
        """Name, version and digest of the model that a result will rest on; known without loading its weights.

        The same files and settings give the same; every result of the pipeline gets this, whatever it names.
        """

    def check(self, study: Study) -> None:
        """Check from the headers alone that the study is one this pipeline was made for.

        Raises
        ------
        UnsuitableInput
            With the reason in words for a radiologist.
        """

    def load(self) -> None:
        """Bring weights into memory. Called once, before the first `run`."""

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        """The result for one study that `check` accepted.

        Raises
        ------
        UnsuitableInput
            If the pixels, rather than the headers, show that the pipeline cannot work on it.
        """
