"""Pipelines for the tests of runs on files, that do what their settings say, and a place among the installed ones."""

from __future__ import annotations

import os
import signal
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Finding, ImagePanel, Measurement, Model, NotEvaluable, Page, Result, Segment
from dicom_sr.read.stacks import read_stack, sort_series
from dicom_sr.series import Study
from pipelines import registry
from pipelines.base import PipelineSettings
from pipelines.context import ClinicalContext
from pipelines.device import DeviceSettings

Behaviour = Literal[
    "find", "raise", "panic", "print", "infinite", "segment", "no_load", "no_objects", "need_ten", "die", "stop"
]
LOADS: list[str] = []  # what was loaded in this process
PRINTED = "a line that no program expects"


class Panic(BaseException):
    """What native code raises that gives up, as pyo3's PanicException."""


class OddSettings(PipelineSettings):
    """What the pipeline shall do."""

    behaviour: Behaviour = "find"
    threshold: float = 400.0


class Odd:
    """Measures the mean of an MR series, or does worse."""

    name: ClassVar[str] = "odd"
    version: ClassVar[str] = "1.0"
    title: ClassVar[str] = "Odd"
    level: ClassVar[Literal["series", "study"]] = "series"
    needs_context: ClassVar[bool] = False
    settings_type: ClassVar[type[PipelineSettings]] = OddSettings

    def __init__(self, settings: PipelineSettings) -> None:
        self.settings = OddSettings.of(settings)

    @property
    def model(self) -> Model:
        """Nothing was trained."""
        return Model(self.name, self.version, "0" * 64, "made for tests, simulated")

    def check(self, study: Study) -> None:
        """An MR series, of ten images for some."""
        series = study.only_series("MR")
        if self.settings.behaviour == "need_ten" and len(series.instances) < 10:
            raise UnsuitableInput(f"needs ten images of {series.headers[0].PatientName}, found fewer")

    def load(self) -> None:
        """Counts how often."""
        LOADS.append(self.settings.behaviour)
        if self.settings.behaviour == "no_load":
            raise OSError("the weights are gone")

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        """The mean, or what the settings say."""
        series = study.only_series("MR")
        header = series.headers[0]
        if self.settings.behaviour == "raise":
            raise ValueError(f"cannot use {header.PatientName} with {header.PatientID}")
        if self.settings.behaviour == "panic":
            raise Panic("native code gave up")
        if self.settings.behaviour == "die" and len(series.instances) < 10:
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.settings.behaviour == "stop" and len(series.instances) < 10:  # as Ctrl-C does to whoever started it
            os.kill(os.getppid(), signal.SIGINT)
            signal.pause()
        if self.settings.behaviour == "print":
            print(PRINTED)  # noqa: T201
            os.write(1, f"{PRINTED}\n".encode())
        (stack,) = sort_series(series).stacks
        volume = read_stack(stack)
        bright = np.asarray(volume.array, np.float32) > self.settings.threshold
        mean = float("inf") if self.settings.behaviour == "infinite" else float(volume.array.mean())
        interval = (mean - 1, mean + 1)
        measured = Measurement(codes.SCT.Length, mean, codes.UCUM.Millimeter, interval=interval)
        finding = Finding("Mean 1", codes.SCT.Bone, measurements=(measured,))
        missing = NotEvaluable("Cartilage", codes.SCT.Bone, codes.SCT.Bone, "the cartilage is not on the images")
        segment = Segment("Bright tissue", codes.SCT.Tissue, codes.SCT.Tissue, volume.with_array(bright))
        pages = (Page("Odd", (ImagePanel("Source", volume.array[0]),), columns=1, summary=("A mean.",)),)
        found = Result(self.model, self.title, (series,), ("A mean.",), (finding,), (missing,), pages=pages)
        if self.settings.behaviour == "segment":
            return Result(self.model, self.title, (series,), ("A mean.",), (finding,), segments=(segment,), pages=pages)
        if self.settings.behaviour == "no_objects":
            private = Finding("Mean 1", Code("1", "99NOBODY", "of a scheme that nobody knows"))
            return Result(self.model, self.title, (series,), ("A mean.",), (private,), pages=pages)
        return found


class OddDeviceSettings(OddSettings, DeviceSettings):
    """Settings that know the device."""


class OddByDevice(Odd):
    """One that can choose its device."""

    name: ClassVar[str] = "odd_by_device"
    settings_type: ClassVar[type[PipelineSettings]] = OddDeviceSettings


def declare(folder: Path) -> None:
    """Declare the odd pipelines as an installed package does, for processes that have this folder on their path."""
    info = folder / "odd-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    lines = [f"{kind.name} = tests.node.local.odd_pipelines:{kind.__name__}" for kind in (Odd, OddByDevice)]
    (info / "entry_points.txt").write_text("\n".join([f"[{registry.GROUP}]", *lines, ""]))


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the odd pipelines among the installed ones."""
    real = registry._entry_points()
    odd = {
        kind.name: EntryPoint(kind.name, f"tests.node.local.odd_pipelines:{kind.__name__}", registry.GROUP)
        for kind in (Odd, OddByDevice)
    }
    monkeypatch.setattr(registry, "_entry_points", lambda: real | odd)
