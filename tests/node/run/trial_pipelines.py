"""A pipeline for the tests, declared as an installed one: it does what its settings say, and notes when it ran."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import (
    DerivedVolume,
    Finding,
    Heatmap,
    ImagePanel,
    ImageReference,
    LeftAside,
    Measurement,
    Model,
    Page,
    Prediction,
    Region,
    Result,
    RiskStatement,
)
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance
from dicom_sr.read.pixels import pictures
from dicom_sr.read.stacks import stacks
from dicom_sr.series import Series, Study
from pipelines.base import PipelineSettings
from pipelines.bundle import BundleSettings, bundle_digest
from pipelines.context import ClinicalContext
from pipelines.example import Example, made_up_model

Behaviour = Literal[
    "find", "refuse", "refuse_pixels", "raise", "crash", "crash_once", "hang", "swell", "map_beside", "leave", "decode"
]


NOWHERE = Path(os.devnull)  # in place of a journal, for a pipeline in a box, where there is none to write to


def wait_while(path: Path | None) -> None:
    """Until the file is gone."""
    while path is not None and path.exists():
        time.sleep(0.02)


REPORTS_WAIT_WHILE = "TRIAL_REPORTS_WAIT_WHILE"  # names a file


def hold_reports(path: Path) -> None:
    """Have the encoders of this process write no report of a result with a derived series while the file is there."""
    from dicom_sr.write import encode  # a second or two to import

    write_report = encode._report

    def wait(provenance: Provenance, *arguments: Any) -> tuple[EncodedObject, ...]:
        if getattr(provenance.result, "derived", ()):
            wait_while(path)
        return write_report(provenance, *arguments)

    vars(encode)["_report"] = wait


if REPORTS_WAIT_WHILE in os.environ:
    hold_reports(Path(os.environ[REPORTS_WAIT_WHILE]))


def _doubled(series: Series) -> DerivedVolume:
    """Twice the slices, as a series of their own."""
    from tests.factories import doubled

    (stack,) = stacks(series)
    return doubled(stack)


class TrialSettings(PipelineSettings):
    """What the pipeline shall do, and where it says so."""

    journal: Path  # a line per event: "<what> <series> <pid>"
    behaviour: Behaviour = "find"
    behaviour_at: dict[str, Behaviour] = Field(default_factory=dict)  # instead of it, for these index dates
    check_s: float = 0.0
    run_s: float = 0.0
    check_while: Path | None = None  # a file that keeps it there while it exists
    run_while: Path | None = None
    quote: str = ""  # what `raise` quotes
    wanted: Path | None = None  # a file without which it raises
    derived: bool = False  # make a derived series, too


class Trial:
    """Measures the mean grey value of the first image, slowly if asked to."""

    name: ClassVar[str] = "trial"
    version: ClassVar[str] = "1.0"
    title: ClassVar[str] = "Trial"
    level: ClassVar[Literal["series", "study"]] = "series"
    needs_context: ClassVar[bool] = False
    wants_prior_report: ClassVar[bool] = True
    settings_type: ClassVar[type[PipelineSettings]] = TrialSettings

    def __init__(self, settings: TrialSettings) -> None:
        self.settings = settings

    @property
    def model(self) -> Model:
        return Model(self.name, self.version, "0" * 64, "made for tests, simulated")

    def _note(self, what: str, study: Study | None = None) -> None:
        if self.settings.journal == NOWHERE:
            return
        series = study.series[0].series_instance_uid if study else "-"
        with self.settings.journal.open("a") as journal:
            journal.write(f"{what} {series} {os.getpid()}\n")

    def check(self, study: Study) -> None:
        self._note("check", study)
        time.sleep(self.settings.check_s)
        wait_while(self.settings.check_while)
        if self.settings.behaviour == "refuse":
            raise UnsuitableInput("needs a knee, found a phantom")

    def load(self) -> None:
        self._note("load")

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        self._note("run", study)
        self._misbehave(self.settings.behaviour, self._runs(study))
        if self.settings.behaviour == "decode":
            list(pictures(study.series[0]))
        time.sleep(self.settings.run_s)
        wait_while(self.settings.run_while)
        for earlier in (one for one in study.series if one.modality == "SR"):
            self._note(f"given-{earlier.instances[0].sop_instance_uid}", study)
        series = study.series[0]
        first = ImageReference(series.instances[0].sop_instance_uid)
        ds = series.headers[0]
        image = np.tile(np.arange(ds.Columns, dtype=np.float32), (ds.Rows, 1))
        outline = np.array([[4.0, 4.0], [20.0, 4.0], [20.0, 12.0], [4.0, 12.0], [4.0, 4.0]])
        mean = Measurement(codes.SCT.Length, float(image.mean()), codes.UCUM.Millimeter)
        finding = Finding(
            "Trial 1",
            codes.SCT.Bone,
            region=Region(first, outline),
            measurements=(mean,),
        )
        beside = Heatmap(first, np.ones((3, 3), np.float32), Code("130403", "DCM", "Class activation"), "Beside")
        page = Page("Trial", (ImagePanel("Source", image),), columns=1, summary=("A trial.",))
        self._note("ran", study)
        heatmaps = (beside,) if self.settings.behaviour == "map_beside" else ()
        aside = (
            (LeftAside("a capture", (ImageReference("1.2.3"),), ("9",)),) if self.settings.behaviour == "leave" else ()
        )
        return Result(
            self.model,
            self.title,
            (series,),
            ("A trial.",),
            (finding,),
            heatmaps=heatmaps,
            pages=(page,),
            left_aside=aside,
            derived=(_doubled(series),) if self.settings.derived else (),
        )

    def _misbehave(self, behaviour: Behaviour, runs: int) -> None:
        if self.settings.wanted is not None and not self.settings.wanted.exists():
            raise ValueError("something is missing")
        if behaviour == "refuse_pixels":
            raise UnsuitableInput("the images are empty")
        if behaviour == "raise":
            raise ValueError(f"cannot use {self.settings.quote}")
        if behaviour == "crash" or (behaviour == "crash_once" and runs == 1):
            ctypes.string_at(0)
        if behaviour == "hang":
            time.sleep(3600)
        if behaviour == "swell":
            kept = []
            while True:
                kept.append(np.ones(4 * 2**20))

    def _runs(self, study: Study) -> int:
        lines = [] if self.settings.journal == NOWHERE else self.settings.journal.read_text().splitlines()
        return sum(line.startswith(f"run {study.series[0].series_instance_uid} ") for line in lines)


class TrialRisk(Trial):
    """States a risk from the record, slowly or badly if asked to."""

    name: ClassVar[str] = "trial_risk"
    level: ClassVar[Literal["series", "study"]] = "study"
    needs_context: ClassVar[bool] = True
    answers_from_record: ClassVar[bool] = True
    wants_prior_report: ClassVar[bool] = False

    def _note(self, what: str, study: Study | None = None, day: str = "-") -> None:
        with self.settings.journal.open("a") as journal:
            journal.write(f"{what} {day} {os.getpid()}\n")

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        assert context is not None
        day = context.index_date.isoformat()
        self._note("run", day=day)
        lines = self.settings.journal.read_text().splitlines()
        runs = sum(line.startswith(f"run {day} ") for line in lines)
        self._misbehave(self.settings.behaviour_at.get(day, self.settings.behaviour), runs)
        time.sleep(self.settings.run_s)
        wait_while(self.settings.run_while)
        self._note("ran", day=day)
        risk = RiskStatement(codes.SCT.Bone, "Trial", context.index_date, (Prediction(1, 0.25),))
        return Result(self.model, self.title, study.series, ("A trial.",), risk=risk)


class TrialBundleSettings(TrialSettings, BundleSettings):
    """The same, with weights that can be chosen: a number in a file."""


class TrialBundle(Trial):
    """Measures what its bundle says."""

    name: ClassVar[str] = "trial_bundle"
    wants_prior_report: ClassVar[bool] = False
    settings_type: ClassVar[type[PipelineSettings]] = TrialBundleSettings

    def __init__(self, settings: TrialBundleSettings) -> None:
        super().__init__(settings)
        self.file = None if settings.bundle is None else settings.bundle / "number.txt"
        self.number = 0.0

    @property
    def model(self) -> Model:
        files = {} if self.file is None else {self.file.name: self.file}
        return Model(self.name, self.version, bundle_digest(files), "made for tests, simulated")

    @staticmethod
    def example(folder: Path) -> Example:
        from tests.factories import knee_study

        study = knee_study(folder)
        return Example(study, Result(made_up_model("trial_bundle"), "Trial", study.series, ("",)))

    def load(self) -> None:
        super().load()
        self.number = 0.0 if self.file is None else float(self.file.read_text())

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        if self.number < 0:
            raise ValueError("a negative number")
        result = super().run(study, context)
        (finding,) = result.findings
        length = Measurement(codes.SCT.Length, self.number, codes.UCUM.Millimeter)
        return replace(result, findings=(replace(finding, measurements=(length,)),))


def trial_bundle(folder: Path, number: float | str) -> Path:
    """A bundle for it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "number.txt").write_text(str(number))
    return folder
