"""Thick-slice knee MR to thin slices.

Importing this module brings in no torch and no scipy: whoever lists pipelines pays nothing for this one.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Model, Result
from dicom_sr.series import Study
from dicom_sr.stacks import Stack, read_stack, stacks
from pipelines.base import PipelineSettings
from pipelines.context import ClinicalContext

MIN_RATIO, MAX_RATIO = 1.5, 8.0  # what the method is evaluated for


class Settings(PipelineSettings):
    """The `settings:` block of a route to this pipeline."""

    method: Literal["tricubic"] = "tricubic"
    spacing: Literal["isotropic"] | Annotated[float, Field(gt=0.1, le=10)] = "isotropic"  # or mm between new slices
    synthetic: bool = True  # SyntheticData of the new series: slices between acquired ones are made, not acquired


class KneeSuperResolution:
    """Thin-slice volumes from thick slices, one per echo and phase, in the same frame of reference."""

    name: ClassVar[str] = "knee_super_resolution"
    version: ClassVar[str] = "1.0"
    title: ClassVar[str] = "Knee MR super-resolution"
    level: ClassVar[Literal["series", "study"]] = "series"
    needs_context: ClassVar[bool] = False
    settings_type: ClassVar[type[PipelineSettings]] = Settings

    def __init__(self, settings: PipelineSettings) -> None:
        self.settings = settings if isinstance(settings, Settings) else Settings.model_validate(settings.model_dump())

    @property
    def model(self) -> Model:
        configuration = self.settings.model_dump_json()
        return Model(
            self.name,
            self.version,
            hashlib.sha256(b"").hexdigest(),
            "cubic spline interpolation, nothing was trained; research use only, not for clinical use",
            hashlib.sha256(configuration.encode()).hexdigest(),
        )

    def check(self, study: Study) -> None:
        """Hold the series against the input contract (dicom.md 5.2), from headers alone.

        Raises
        ------
        UnsuitableInput
            With a reason in words for a radiologist.
        """
        self._stacks(study)

    def load(self) -> None:
        """Nothing to bring into memory for the classical method."""

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        """Make one thin-slice volume per echo and phase.

        Raises
        ------
        UnsuitableInput
            If the pixels cannot be decoded.
        """
        from pipelines.knee_super_resolution import results
        from pipelines.knee_super_resolution.classical import tricubic
        from pipelines.knee_super_resolution.degradation import SliceProfile

        findings, derived, pages, lines, limits = [], [], [], [], []
        for number, stack in enumerate(self._stacks(study), start=1):
            source = read_stack(stack, stored=True)
            step_mm, remark = self._step_mm(stack)
            positions = np.arange(int((len(stack.slices) - 1) * stack.spacing_mm / step_mm + 1e-6) + 1) * step_mm
            made = results.Reconstruction(
                stack=stack,
                source=source,
                positions_mm=positions,
                array=tricubic(np.asarray(source.array, dtype=np.float32), results.positions_mm(stack), positions),
                profile=SliceProfile("gaussian", stack.thickness_mm / stack.spacing_mm),
                method="cubic spline interpolation",
            )
            figures = results.quality(made)
            findings.append(results.finding(made, figures, number))
            derived.append(results.derived(made, f"{self.name} {self.version}", self.settings.synthetic))
            pages.append(results.page(made, figures, f"{self.title} {stack.label}".strip()))
            lines.append(results.summary(made, figures)[0])
            limits += [line for line in (remark, _gap_remark(stack)) if line and line not in limits]
        limits.append("Slices between the acquired ones are synthesised: a reformatting aid, not a better acquisition.")
        return Result(
            model=self.model,
            title=self.title,
            evidence=study.series,
            conclusion=tuple(lines),
            findings=tuple(findings),
            derived=tuple(derived),
            pages=tuple(pages),
            limits=tuple(limits),
            parameters=(("method", self.settings.method), ("spacing", str(self.settings.spacing))),
        )

    def _stacks(self, study: Study) -> tuple[Stack, ...]:
        found = stacks(study.only_series("MR"))
        for stack in found:
            self._refuse_unneeded(stack)
        return found

    def _refuse_unneeded(self, stack: Stack) -> None:
        step_mm, _ = self._step_mm(stack)
        ratio = stack.spacing_mm / step_mm
        if str(stack.header.get("MRAcquisitionType") or "") == "3D" and ratio < 2 * MIN_RATIO:
            raise UnsuitableInput(
                f"not needed: a 3D acquisition with slices every {stack.spacing_mm:.2f} mm can be reformatted as it is"
            )
        if ratio < MIN_RATIO:
            raise UnsuitableInput(
                f"not needed: slices every {stack.spacing_mm:.2f} mm are already thin for a target of {step_mm:.2f} mm"
            )
        if ratio > MAX_RATIO + 1e-6:
            raise UnsuitableInput(
                f"slices every {stack.spacing_mm:.2f} mm to {step_mm:.2f} mm is a ratio of {ratio:.1f}; "
                f"the limit is {MAX_RATIO:.0f}"
            )

    def _step_mm(self, stack: Stack) -> tuple[float, str]:
        """Distance of the new slices and, where it is not what was asked for, a remark."""
        if self.settings.spacing != "isotropic":
            return float(self.settings.spacing), ""
        pixel_mm = max(stack.pixel_mm)
        if stack.spacing_mm / pixel_mm <= MAX_RATIO:
            return pixel_mm, ""
        step_mm = stack.spacing_mm / MAX_RATIO
        return (
            step_mm,
            f"Isotropic would be {pixel_mm:.2f} mm; limited to {step_mm:.2f} mm, a ratio of {MAX_RATIO:.0f}.",
        )


def _gap_remark(stack: Stack) -> str:
    if stack.gap_mm <= 0.01:
        return ""
    return f"The acquired slices leave a gap of {stack.gap_mm:.2f} mm; nothing was measured inside it."
