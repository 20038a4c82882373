"""Sharp/van der Heijde scores of hands and feet from radiographs.

Importing this module brings in no torch: whoever lists pipelines pays nothing for this one.

Tests: `test_pipeline` and `test_objects` run whole studies and test `prior` and `reading` with them; `codes` and
`example` are tested for all pipelines at once, in `tests/dicom_sr` and `tests/pipelines/test_examples.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import field_validator

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Algorithm, Model, Result
from dicom_sr.series import Study
from dicom_sr.words import counted
from pipelines.base import PipelineSettings
from pipelines.bundle import BundleSettings, bundle_digest, files_in
from pipelines.bundle_configs import INFERENCE, METADATA, inference_digest, trained_on
from pipelines.context import ClinicalContext
from pipelines.device import DeviceSettings, described, resolved
from pipelines.hand_foot_scoring import codes as codes
from pipelines.hand_foot_scoring.site_bundle import problem

if TYPE_CHECKING:
    from pipelines.example import Example
    from pipelines.hand_foot_scoring.films import Film, LimbFilm
    from pipelines.hand_foot_scoring.reading import Reader

BUNDLE = Path(__file__).parent / "bundle"
LOCALISER, DAMAGE = "models/localiser.safetensors", "models/damage.safetensors"
CALIBRATION, SHAPE, GATE = "models/calibration.json", "models/shape.npz", "models/gate.npz"
MODELS = (LOCALISER, DAMAGE, CALIBRATION, SHAPE, GATE)  # what was learned
FILES = (METADATA, INFERENCE, *MODELS)  # everything that inference reads

# Films read in known order show more change than films read blinded, so the report says which it was; see `prior.py`.
READING_ORDER = {
    True: "known: each study by itself, compared with the earlier report afterwards",
    False: "no earlier reading: one point in time",
}

SERIES_BASE = 3100  # see `dicom_sr.provenance`


class HandFootScoringSettings(DeviceSettings, BundleSettings):
    """The `settings:` block of a route to this pipeline."""

    heatmaps: bool = True  # attention maps of the worst joints
    # What a score depends on besides its own joint: nothing (alone), the same joint of the other side (side), how
    # damaged the patient's other joints look (patient), or both
    pooling: Literal["alone", "side", "patient", "both"] = "patient"

    @field_validator("bundle")
    @classmethod
    def _fits(cls, bundle: Path | None) -> Path | None:
        why_not = None if bundle is None else problem(bundle, BUNDLE, FILES)
        if why_not is not None:
            raise ValueError(why_not)
        return bundle


class HandFootScoring:
    """Joint centres, erosion and narrowing of every Sharp/van der Heijde site, totals, change since the prior."""

    name: ClassVar[str] = "hand_foot_scoring"
    version: ClassVar[str] = "1.0"
    title: ClassVar[str] = "Sharp/van der Heijde scoring"
    takes: ClassVar[str] = "radiographs of hands and feet"
    makes: ClassVar[str] = "Sharp/van der Heijde scores of every site, totals, change"
    level: ClassVar[Literal["series", "study"]] = "study"
    needs_context: ClassVar[bool] = False
    wants_prior_report: ClassVar[bool] = True  # `pipelines.base.wants_prior_report`
    settings_type: ClassVar[type[PipelineSettings]] = HandFootScoringSettings

    def __init__(self, settings: PipelineSettings, bundle: Path = BUNDLE) -> None:
        self.settings = HandFootScoringSettings.of(settings)
        self.bundle = self.settings.bundle or bundle
        self._reader: Reader | None = None

    @property
    def model(self) -> Model:
        """The trained bundle, by the digest of its files; its metadata say what it was trained on."""
        return Model(
            self.name,
            self.version,
            inference_digest(self.bundle),
            trained_on(self.bundle),
            self.settings.digest(),
            SERIES_BASE,
        )

    @property
    def networks(self) -> tuple[Algorithm, ...]:
        """The two networks of the bundle, each by the digest of its weights."""
        parts = (("localiser", LOCALISER), ("damage", DAMAGE))
        digests = {part: bundle_digest(files_in(self.bundle, weights)) for part, weights in parts}
        return tuple(Algorithm(f"{self.name} {part}", self.version, digest) for part, digest in digests.items())

    @staticmethod
    def example(folder: Path) -> Example:
        """An example result on a simulated study that is written to `folder`; see `pipelines.examples`."""
        from pipelines.hand_foot_scoring.example import example

        return example(folder)

    def check(self, study: Study) -> None:
        """Hold the study against the input contract, from headers alone.

        Raises
        ------
        UnsuitableInput
            If no radiograph of it may be a grown patient's hand or foot.
        """
        from pipelines.hand_foot_scoring import films

        films.check(study)

    def load(self) -> None:
        """Bring the networks into memory."""
        from pipelines.hand_foot_scoring import weights
        from pipelines.hand_foot_scoring.reading import Reader

        self._reader = Reader(weights.load(self.bundle, self.settings.device))

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        """Find and score the joints of every hand and foot of the study.

        Raises
        ------
        UnsuitableInput
            If no picture shows a hand or a foot that can be scored; the message says why.
        """
        from pipelines.hand_foot_scoring import films, findings, pages, prior
        from pipelines.hand_foot_scoring.conclusion import conclusion
        from pipelines.hand_foot_scoring.reading import pooled
        from pipelines.hand_foot_scoring.scoring import progression

        if self._reader is None:
            self.load()
        assert self._reader is not None
        read, unread = films.read(study, self._reader)
        limbs, remarks = films.choose(read)
        self.refuse(read, limbs)
        calibration = self._reader.trained.calibration
        readings = pooled(films.readings(limbs), calibration, self.settings.pooling)
        correlation = calibration.correlation(self.settings.pooling)
        earlier = prior.reports(study)
        before = prior.read(earlier[-1]) if earlier else {}
        progress = progression(before, readings) if before else None
        found, missing = findings.findings(limbs, readings, correlation, progress)
        if progress is not None and progress.cells:
            found = (*found, findings.change(progress, limbs[0]))
        evidence, left_aside = films.radiographs(study)
        lines = conclusion(limbs, readings, correlation, progress)
        return Result(
            model=self.model,
            algorithms=self.networks,
            title=self.title,
            evidence=evidence,
            conclusion=lines,
            findings=found,
            not_evaluable=missing,
            heatmaps=pages.heatmaps(self._reader, limbs, readings) if self.settings.heatmaps else (),
            pages=pages.pages(self.title, limbs, readings, lines, correlation, progress),
            flags=pages.flags(limbs, progress),
            limits=(*remarks, *_unread(read), *self._reader.remarks()),
            left_aside=(*left_aside, *unread),
            compared_with=(earlier[-1].sop_instance_uid,) if before else (),
            parameters=(
                ("limbs", ", ".join(f"{c.key[1]} {c.key[0]}" for c in limbs)),
                ("scores lean on", self.settings.pooling),
                ("reading order", READING_ORDER[bool(before)]),
                ("device", described(resolved(self.settings.device))),
            ),
        )

    @staticmethod
    def refuse(read: tuple[Film, ...], limbs: tuple[LimbFilm, ...]) -> None:
        """Refuse a study of which no limb can be scored.

        Parameters
        ----------
        read
            Its pictures.
        limbs
            The limbs that were chosen on them.

        Raises
        ------
        UnsuitableInput
            The message says why.
        """
        from pipelines.hand_foot_scoring.films import shown
        from pipelines.hand_foot_scoring.reading import MIN_LENGTH_PX
        from pipelines.hand_foot_scoring.scoring import Reason

        if not limbs:
            raise UnsuitableInput(shown(read))
        poor = [chosen.reading.quality.words for chosen in limbs if chosen.reading.poor and chosen.reading.quality]
        if len(poor) == len(limbs):
            raise UnsuitableInput("; ".join(dict.fromkeys(poor)))
        if all(chosen.reading.child for chosen in limbs):
            raise UnsuitableInput(Reason.CHILD.value)
        if all(chosen.reading.other_view for chosen in limbs):
            raise UnsuitableInput(Reason.VIEW.value)
        if all(chosen.reading.too_small for chosen in limbs):
            limb = max((chosen.reading.limb for chosen in limbs), key=lambda limb: limb.length)
            span = "fingertip to wrist" if limb.part == "hand" else "the tip of the great toe to the navicular"
            # rounded down: 379.8 pixels are not 380
            raise UnsuitableInput(
                f"the {limb.part} is too small on the picture: {int(limb.length)} pixels from {span},"
                f" at least {MIN_LENGTH_PX:.0f} are needed"
            )
        if all(chosen.reading.unlike for chosen in limbs):
            raise UnsuitableInput("too many joints look unlike the training data")


def _unread(read: tuple[Film, ...]) -> tuple[str, ...]:
    from pipelines.hand_foot_scoring.films import shown

    empty = sum(not film.limbs for film in read)
    return (
        (f"{empty} of {counted(len(read), 'picture')} {'is' if empty == 1 else 'are'} not scored: {shown(read)}.",)
        if empty
        else ()
    )
