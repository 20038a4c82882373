"""Risk of a first diagnosis of knee osteoarthritis from the patient's record, after Deep-KOA (Ningrum 2021).

Importing this module brings in no torch: whoever lists pipelines pays nothing for this one.

Tests: `window` holds constants; `test_matrix` holds the matrix to them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Model, Result
from dicom_sr.series import Study
from pipelines.base import PipelineSettings
from pipelines.bundle import BundleSettings, bundle_digest, files_in
from pipelines.context import ClinicalContext
from pipelines.knee_oa_risk import codes as codes

if TYPE_CHECKING:
    from pipelines.example import Example
    from pipelines.knee_oa_risk.model import Ensemble, RiskCalibration

PACKAGE = Path(__file__).parent
BUNDLE = PACKAGE / "bundle"
WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
SIMULATED = "simulated patient records"


SERIES_BASE = 9300  # see `dicom_sr.provenance`


class KneeOaRiskSettings(BundleSettings):
    """The `settings:` block of a route to this pipeline."""

    minimum_history_weeks: int = Field(default=52, ge=26, le=157)  # less than this is "insufficient history"
    minimum_days: int = Field(default=3, ge=1)  # with any entry in the window; fewer are no history either
    maximum_unknown_share: float = Field(default=0.3, ge=0, le=1)  # of diagnoses and drugs that no table knows
    recalibration: Path | None = None  # what `condyle train knee_oa_risk --recalibrate` wrote for this site

    @field_validator("bundle")
    @classmethod
    def _holds_a_model(cls, bundle: Path | None) -> Path | None:
        if bundle is not None and (missing := [n for n in (WEIGHTS, DESCRIPTION) if not (bundle / n).is_file()]):
            raise ValueError(f"holds no {' and no '.join(missing)}; should be a folder that condyle train wrote")
        return bundle

    @field_validator("recalibration")
    @classmethod
    def _is_there(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError(f"{path}: is no file; should be what condyle train --recalibrate wrote, as a whole path")
        return path


class KneeOaRisk:
    """Risk of a first knee osteoarthritis diagnosis within 1, 3 and 5 years, with interval and what drove it."""

    name: ClassVar[str] = "knee_oa_risk"
    version: ClassVar[str] = "1.0"
    title: ClassVar[str] = "Knee osteoarthritis risk from the record"
    takes: ClassVar[str] = "the patient's record, when a knee study arrives or on request"
    makes: ClassVar[str] = "risk of knee osteoarthritis with its interval, and the factors behind it"
    level: ClassVar[Literal["series", "study"]] = "study"
    needs_context: ClassVar[bool] = True
    answers_from_record: ClassVar[bool] = True
    settings_type: ClassVar[type[PipelineSettings]] = KneeOaRiskSettings

    def __init__(self, settings: PipelineSettings) -> None:
        self.settings = KneeOaRiskSettings.of(settings)
        self._ensemble: Ensemble | None = None
        self._site: RiskCalibration | None = None

    @property
    def _bundle(self) -> Path:
        return self.settings.bundle or BUNDLE

    @property
    def model(self) -> Model:
        """The ensemble of the bundle; another recalibration is another configuration of it."""
        site = self.settings.recalibration
        return Model(
            self.name,
            self.version,
            # the tables decide what of a record the networks see
            bundle_digest(files_in(self._bundle, WEIGHTS, DESCRIPTION) | files_in(PACKAGE, "tables/*")),
            f"trained on {_trained_on(self._bundle)}, not for clinical use",
            self.settings.digest(*([] if site is None else [site.read_text(encoding="utf-8")])),
            SERIES_BASE,
        )

    @staticmethod
    def example(folder: Path) -> Example:
        """An example result on a simulated study that is written to `folder`; see `pipelines.examples`."""
        from pipelines.knee_oa_risk.example import example

        return example(folder)

    def check(self, study: Study) -> None:
        """Any study will do: the answer comes from the record, and the study says whose record and when.

        Raises
        ------
        UnsuitableInput
            If the images name no patient.
        """
        if study.instances and not str(study.instances[0].header().get("PatientID") or "").strip():
            raise UnsuitableInput("the images carry no patient ID, so no record can be found for them")

    def load(self) -> None:
        """Bring the ensemble, and the site's recalibration where there is one, into memory."""
        from pipelines.knee_oa_risk.model import Ensemble, RiskCalibration

        self._ensemble = Ensemble.load(self._bundle)
        if self.settings.recalibration is not None:
            self._site = RiskCalibration.read(self.settings.recalibration)

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        """Estimate the risk at `context.index_date`.

        Raises
        ------
        UnsuitableInput
            If there is no record, the diagnosis is already made, or the age is outside the model's.
        """
        from pipelines.knee_oa_risk.assess import assess

        if context is None:
            raise UnsuitableInput("no record of this patient has reached the node")
        if self._ensemble is None:
            self.load()
        assert self._ensemble is not None
        return assess(self.model, self.title, self._ensemble, self._site, self.settings, study, context)


def _trained_on(bundle: Path) -> str:
    """What the card says, read without loading the weights."""
    return str(json.loads((bundle / DESCRIPTION).read_text(encoding="utf-8")).get("trained_on", SIMULATED))
