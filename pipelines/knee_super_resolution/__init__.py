"""Thick-slice knee MR to thin slices.

Importing this module brings in no torch and no scipy: whoever lists pipelines pays nothing for this one.

Tests: `codes` are tested for all pipelines at once, in `tests/dicom_sr` and `tests/pipelines/test_codes_page.py`;
`thin_stack` with `model`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Model, Page, Result
from dicom_sr.read.stacks import SortedSeries, Stack, read_stack, sort_series
from dicom_sr.series import Study
from pipelines.base import PipelineSettings
from pipelines.bundle import BundleSettings
from pipelines.bundle_configs import UnusableBundle, inference_digest, trained_on
from pipelines.context import ClinicalContext
from pipelines.device import DeviceSettings
from pipelines.knee_super_resolution import codes as codes
from pipelines.knee_super_resolution import gates

if TYPE_CHECKING:
    from pipelines.example import Example
    from pipelines.knee_super_resolution.model import LoadedModel
    from pipelines.knee_super_resolution.results import Reconstruction

MIN_RATIO, MAX_RATIO = 1.5, 8.0  # what the methods are evaluated for
BUNDLE = Path(__file__).parent / "bundle"
DEEPRESOLVE_BUNDLE = Path(__file__).parent / "deepresolve_bundle"  # an installed package has its configs alone
SHIPPED = {"learned": BUNDLE, "deepresolve": DEEPRESOLVE_BUNDLE}  # what a bundle of a method may call
NOTHING_TRAINED = "cubic spline interpolation, nothing was trained; research use only, not for clinical use"
WORDS = {
    "tricubic": "cubic spline interpolation",
    "learned": "learned super-resolution, consistent with the acquired slices",
    "deepresolve": "DeepResolve, a published network that works on the cubic spline interpolation",
}

SERIES_BASE = 3000  # see `dicom_sr.provenance`


class KneeSuperResolutionSettings(BundleSettings, DeviceSettings):
    """The `settings:` block of a route to this pipeline."""

    method: Literal["tricubic", "learned", "deepresolve"] = "learned"
    spacing: Literal["isotropic"] | Annotated[float, Field(gt=0.1, le=10)] = "isotropic"  # or mm between new slices
    profile: Literal["gaussian", "boxcar", "fir"] = "gaussian"  # assumed sensitivity of an acquired slice
    refuse_other_parts: bool = False  # refuse rather than flag what the header calls another body part
    synthetic: bool = True  # SyntheticData of the new series: slices between acquired ones are made, not acquired

    def as_parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each setting in words; a spline is computed on the CPU, whatever is set."""
        on_cpu = self if self.method != "tricubic" else self.model_copy(update={"device": "cpu"})
        return super(KneeSuperResolutionSettings, on_cpu).as_parameters()


class KneeSuperResolution:
    """Thin-slice volumes from thick slices, one per echo and phase, in the same frame of reference."""

    name: ClassVar[str] = "knee_super_resolution"
    version: ClassVar[str] = "1.0"
    title: ClassVar[str] = "Knee MR super-resolution"
    takes: ClassVar[str] = "knee MR series with thick slices"
    makes: ClassVar[str] = "thin-slice series, uncertainty map, quality figures"
    level: ClassVar[Literal["series", "study"]] = "series"
    needs_context: ClassVar[bool] = False
    settings_type: ClassVar[type[PipelineSettings]] = KneeSuperResolutionSettings

    def __init__(self, settings: PipelineSettings, bundle: Path = BUNDLE) -> None:
        self.settings = KneeSuperResolutionSettings.of(settings)
        _require_bundle_of_method(self.settings)
        self.bundle = self.settings.bundle or bundle
        self._model: LoadedModel | None = None

    @property
    def model(self) -> Model:
        """The network, or the classical method, for which there are no weights."""
        configuration = self.settings.digest()
        if self.settings.method == "tricubic":
            nothing = hashlib.sha256(b"").hexdigest()
            return Model(self.name, self.version, nothing, NOTHING_TRAINED, configuration, SERIES_BASE)
        digest = inference_digest(self.bundle)
        return Model(self.name, self.version, digest, trained_on(self.bundle), configuration, SERIES_BASE)

    @staticmethod
    def example(folder: Path) -> Example:
        """An example result on a simulated study that is written to `folder`; see `pipelines.examples`."""
        from pipelines.knee_super_resolution.example import example

        return example(folder)

    def check(self, study: Study) -> None:
        """Hold the series against the input contract, from headers alone.

        Raises
        ------
        UnsuitableInput
            With a reason in words for a radiologist.
        """
        for stack in self._sorted(study).stacks:
            self._refuse(gates.header_gates(stack))

    def load(self) -> None:
        """Bring the network into memory; the classical method has none."""
        if self.settings.method != "tricubic":
            self._network()

    def _network(self) -> LoadedModel:
        from pipelines.knee_super_resolution.model import load_model

        if self._model is None:
            self._model = load_model(self.bundle, SHIPPED[self.settings.method], self.settings.device)
        return self._model

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        """Make one thin-slice volume per echo and phase.

        Raises
        ------
        UnsuitableInput
            If the pixels cannot be decoded, or show what the method was not made for.
        """
        from pipelines.knee_super_resolution import results

        findings, derived, lines, limits = [], [], [], []
        pages: list[Page] = []
        given = self._sorted(study)
        for number, stack in enumerate(given.stacks, start=1):
            made, remark = self._reconstruct(stack)
            found = (*gates.header_gates(stack), *gates.pixel_gates(made.scaled_source))
            self._refuse(found)
            figures = results.quality(made)
            checked = (*found, gates.consistency_gate(figures.consistency_rmse, figures.noise, made.learned))
            findings.append(results.finding(made, figures, number, gates.overall(checked)))
            derived.append(results.derived(made, f"{self.name} {self.version}", self.settings.synthetic))
            pages.extend(results.pages(made, figures, f"{self.title} {stack.label}".strip()))
            lines.append(results.summary(made, figures)[0])
            remarks = [remark, _gap_remark(stack), *(gate.reason for gate in checked if gate.flagged)]
            limits += [line for line in remarks if line and line not in limits]
        limits.append("Slices between the acquired ones are synthesised: a reformatting aid, not a better acquisition.")
        return Result(
            model=self.model,
            title=self.title,
            evidence=(given.series,),
            conclusion=tuple(lines),
            findings=tuple(findings),
            derived=tuple(derived),
            pages=tuple(pages),
            limits=tuple(limits),
            left_aside=given.left_aside,
            parameters=self.settings.as_parameters(),
        )

    def _reconstruct(self, stack: Stack) -> tuple[Reconstruction, str]:
        from pipelines.knee_super_resolution import metrics, results
        from pipelines.knee_super_resolution.classical import tricubic
        from pipelines.knee_super_resolution.degradation import SliceProfile

        source = read_stack(stack, stored=True)
        array = np.asarray(source.array, dtype=np.float32)
        step_mm, remark = self._step_mm(stack)
        coarse = results.positions_mm(stack)
        # a thousandth of a step is what rounded positions in the header can lack; the last slice is not lost for it
        fine = np.minimum(np.arange(int(coarse[-1] / step_mm + 1e-3) + 1) * step_mm, coarse[-1])
        profile = SliceProfile(self.settings.profile, min(1.5, stack.thickness_mm / stack.spacing_mm))
        spread = None
        if self.settings.method == "tricubic":
            scale, thin = metrics.scale_of(array), tricubic(array, coarse, fine)
        else:
            pixel_mm = float(np.sqrt(stack.pixel_mm[0] * stack.pixel_mm[1]))
            restored = self._network().thin(array, coarse, fine, profile, stack.spacing_mm / pixel_mm)
            scale, thin, spread = restored.scale, restored.array, restored.standard_deviation
            remark = " ".join(each for each in (remark, restored.remark) if each)
        made = results.Reconstruction(
            stack=stack,
            source=source,
            positions_mm=fine,
            array=thin,
            profile=profile,
            method=WORDS[self.settings.method],
            scale=scale,
            standard_deviation=spread,
        )
        return made, remark

    def _sorted(self, study: Study) -> SortedSeries:
        found = sort_series(study.only_series("MR"))
        for stack in found.stacks:
            self._refuse_unneeded(stack)
        return found

    def _refuse(self, found: tuple[gates.Gate, ...]) -> None:
        for gate in found:
            other_part = gate.name == "body part" and gate.flagged and self.settings.refuse_other_parts
            if gate.refused or other_part:
                raise UnsuitableInput(f"{gate.reason} ({gate.name} score {gate.score:.1f})")

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
        return step_mm, f"Isotropic would be {pixel_mm:.2f} mm; limited to {step_mm:.2f} mm (ratio {MAX_RATIO:.0f})."


def _require_bundle_of_method(settings: KneeSuperResolutionSettings) -> None:
    if settings.method == "deepresolve" and settings.bundle is None:
        raise UnusableBundle(
            "the weights of method deepresolve are not installed: name their folder by the setting bundle;"
            " `condyle train knee_super_resolution --method deepresolve --output FOLDER` makes one"
        )
    if settings.method == "tricubic" and settings.bundle is not None:
        raise UnusableBundle("method tricubic has no weights: leave out the setting bundle, or choose another method")


def _gap_remark(stack: Stack) -> str:
    if stack.gap_mm <= 0.01:
        return ""
    return f"The acquired slices leave a gap of {stack.gap_mm:.2f} mm; nothing was measured inside it."
