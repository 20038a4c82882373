"""A pipeline in memory whose results name the weights that made them, whatever becomes of its files meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Model, Result
from dicom_sr.series import Study
from pipelines.base import Pipeline
from pipelines.bundle import BundleError, BundleSettings
from pipelines.context import ClinicalContext

ATTEMPTS = 3  # to find the files of a bundle as they were a moment before


class LoadedPipeline:
    """A pipeline with its settings, loaded when it is first needed and anew whenever its files are others.

    Parameters
    ----------
    kind
        The pipeline.
    settings
        For it, as they stand in a route.

    Raises
    ------
    pydantic.ValidationError
        If the settings are not the pipeline's.
    """

    def __init__(self, kind: type[Pipeline], settings: Mapping[str, object]) -> None:
        self._kind, self._settings = kind, kind.settings_type(**settings)
        self._loaded: tuple[Pipeline, Model] | None = None

    def fresh(self) -> Pipeline:
        """The pipeline as its files are now, without its weights."""
        return self._kind(self._settings)

    def load(self) -> tuple[Pipeline, Model]:
        """The pipeline with its weights in memory, and the model that they are.

        Raises
        ------
        BundleError
            If the bundle is not the one that the settings name, or its files change all the time.
        """
        if self._loaded is not None and self._loaded[1] == self._model_now():
            return self._loaded
        self._loaded = None  # room for the other one
        for _ in range(ATTEMPTS):
            pipeline, model = self.fresh(), self._model_now()
            require_pinned(self._settings, model)
            try:
                pipeline.load()
            except Exception:
                if self._model_now() == model:
                    raise
                continue  # half of the files were of another bundle
            if self._model_now() == model:
                self._loaded = pipeline, model
                return self._loaded
        raise BundleError("the files of the bundle change while they are read; start the job again when they are whole")

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        """The result for a study, with the model that made it.

        A run during which the files changed is done again: a pipeline may read some of them when it first needs them.

        Raises
        ------
        UnsuitableInput
            As `Pipeline.run`.
        BundleError
            As `load`.
        """
        for _ in range(ATTEMPTS):
            pipeline, model = self.load()
            try:
                result = pipeline.run(study, context)
            except UnsuitableInput:
                if self._model_now() == model:
                    raise
                continue
            if self._model_now() == model:
                return replace(result, model=model)
        raise BundleError("the files of the bundle change while it runs; start the job again when they are whole")

    def _model_now(self) -> Model:
        """What the files are now, read anew even where a pipeline keeps what it once read."""
        try:
            return self.fresh().model
        except FileNotFoundError as error:
            raise BundleError(f"a file of the bundle is missing: {error}") from error


def require_pinned(settings: object, model: Model) -> None:
    """Make sure that a bundle is the one that the settings name by its digest.

    Raises
    ------
    BundleError
        If it is another.
    """
    if isinstance(settings, BundleSettings) and settings.sha256 not in (None, model.weights_digest):
        where = "the shipped bundle" if settings.bundle is None else str(settings.bundle)
        raise BundleError(
            f"{where} has the digest {model.weights_digest}, and the setting sha256 asks for {settings.sha256};"
            " put back the files that it was of, or correct sha256"
        )
