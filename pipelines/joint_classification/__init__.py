"""Arthritis classification from joint ultrasound and HR-pQCT: rheumatoid, psoriatic, healthy, or undetermined.

Importing this module brings in no torch: whoever lists pipelines pays nothing for this one.

Tests: `test_pipeline` runs whole series and tests `assess` and `opinion` with them; `classes` and `geometry` hold
constants; `codes` and `example` are tested for all pipelines at once, in `tests/dicom_sr` and
`tests/pipelines/test_examples.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydicom.sr.coding import Code

from dicom_sr.errors import UnsuitableInput, of_the_machine
from dicom_sr.findings import LeftAside, Model, Result
from dicom_sr.header_numbers import size_in
from dicom_sr.read.slices import Aside, images_of
from dicom_sr.series import Series, Study
from pipelines.base import PipelineSettings
from pipelines.bundle import BundleSettings
from pipelines.context import ClinicalContext
from pipelines.device import DeviceSettings
from pipelines.joint_classification import codes as codes
from pipelines.joint_classification import joints
from pipelines.joint_classification.kinds import BUNDLE as BUNDLE
from pipelines.joint_classification.kinds import Dimensions, digest, trained_on

if TYPE_CHECKING:
    from pipelines.example import Example
    from pipelines.joint_classification.classifier import Classifier
    from pipelines.joint_classification.opinion import UltrasoundReading, UnreadImage

HR_PQCT_MM = 0.15  # the largest pixel of HR-pQCT; other CT is far coarser
IMAGES = 60  # stills and cines of a series that are read


SERIES_BASE = 3200  # see `dicom_sr.provenance`


def _off(value: object) -> object:
    return None if value == "off" else value


class JointClassificationSettings(BundleSettings, DeviceSettings):
    """The `settings:` block of a route to this pipeline."""

    field_width_mm: Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_off)] = (
        None  # of ultrasound pictures whose header has no scale; None, or off: they are unsuitable
    )
    heatmaps: bool = True  # where the model looked, as captures and segmentations


class JointClassification:
    """Probabilities of rheumatoid arthritis, psoriatic arthritis and healthy, or that it is none of the three."""

    name: ClassVar[str] = "joint_classification"
    version: ClassVar[str] = "1.0"
    title: ClassVar[str] = "Joint classification"
    takes: ClassVar[str] = "ultrasound of finger joints (stills, cines), HR-pQCT of a metacarpal head"
    makes: ClassVar[str] = (
        'pattern of RA, PsA or healthy, or "undetermined" with the reason; attention maps, key frames, position among '
        "known cases"
    )
    level: ClassVar[Literal["series", "study"]] = "series"
    needs_context: ClassVar[bool] = False
    own_scale: ClassVar[tuple[Code, ...]] = codes.LATENT
    settings_type: ClassVar[type[PipelineSettings]] = JointClassificationSettings

    def __init__(self, settings: PipelineSettings, bundle: Path = BUNDLE) -> None:
        self.settings = JointClassificationSettings.of(settings)
        self.bundle = self.settings.bundle or bundle
        self._models: dict[Dimensions, Classifier] = {}

    @property
    def model(self) -> Model:
        """The trained bundle, by the digest of its files."""
        configuration = self.settings.digest()
        return Model(self.name, self.version, digest(self.bundle), trained_on(self.bundle), configuration, SERIES_BASE)

    @staticmethod
    def example(folder: Path) -> Example:
        """An example result on a simulated study that is written to `folder`; see `pipelines.examples`."""
        from pipelines.joint_classification.example import example

        return example(folder)

    def check(self, study: Study) -> None:
        """Hold the series against the input contract, from headers alone.

        Raises
        ------
        UnsuitableInput
            If it is neither ultrasound that may be of a finger joint, nor HR-pQCT.
        """
        series, _ = _with_images(study.only_series("US", "CT"))
        if series.modality == "CT":
            sizes = [size_in(header, "PixelSpacing") for header in series.headers]
            if not any(sizes):
                raise UnsuitableInput(
                    "no image of the series has a usable PixelSpacing: height and width of a pixel, mm"
                )
            if not any(pixel_mm and pixel_mm[0] <= HR_PQCT_MM for pixel_mm in sizes):
                raise UnsuitableInput(f"CT with pixels over {HR_PQCT_MM:.2f} mm: not HR-pQCT")
            return
        reasons = [joints.refusal(header) for header in series.headers]
        if all(reason is not None for reason in reasons):
            raise UnsuitableInput("; ".join(dict.fromkeys(reason for reason in reasons if reason)))

    def load(self) -> None:
        """Bring the network for images into memory; that for volumes comes with the first volume."""
        self._classifier(2)

    def run(self, study: Study, context: ClinicalContext | None = None) -> Result:
        """Classify every image of the series, or abstain and say why.

        Raises
        ------
        UnsuitableInput
            If none of its images can be read; the message says why.
        """
        series = study.only_series("US", "CT")
        return self._ultrasound(series) if series.modality == "US" else self._volume(series)

    def _classifier(self, dimensions: Dimensions) -> Classifier:
        if dimensions not in self._models:
            from pipelines.joint_classification.classifier import load

            self._models[dimensions] = load(dimensions, self.bundle, self.settings.device)
        return self._models[dimensions]

    def _ultrasound(self, series: Series) -> Result:
        from pipelines.joint_classification import findings, pages, wording

        model = self._classifier(2)
        series, left_aside = _with_images(series)
        seen, unread = self._read(series, model)
        if not seen:
            reasons = [item.reason for item in unread]
            raise UnsuitableInput(max(dict.fromkeys(reasons), key=reasons.count))
        opinions = [item.opinion for item in seen]
        captures = [pages.page(self.title, item, model) for item in seen[: pages.PAGES]]
        if len(seen) + len(unread) > 1:
            captures.insert(0, pages.overview(self.title, opinions, unread))
        return Result(
            model=self.model,
            title=self.title,
            evidence=(series,),
            conclusion=tuple(wording.sentence(opinion) for opinion in opinions),
            findings=tuple(findings.finding(opinion, model) for opinion in opinions),
            not_evaluable=tuple(findings.not_evaluable(item) for item in unread),
            heatmaps=tuple(heat for item in seen for heat in pages.heatmaps(item, model)),
            pages=tuple(captures),
            flags=tuple(flag for item in seen for flag in pages.flags(item)),
            limits=(*wording.remarks(seen, model.heat_method), *model.take_remarks()),
            left_aside=left_aside,
            parameters=(
                *self.settings.as_parameters(),
                *((item.opinion.tracking_id, wording.reading_details(item)) for item in seen),
            ),
        )

    def _read(self, series: Series, model: Classifier) -> tuple[list[UltrasoundReading], list[UnreadImage]]:
        """Every image of a series: how it was read, or why it was not."""
        from pipelines.joint_classification.assess import assess
        from pipelines.joint_classification.findings import whole_image
        from pipelines.joint_classification.opinion import UltrasoundReading, UnreadImage, opinion_of
        from pipelines.joint_classification.ultrasound import read_clip

        seen: list[UltrasoundReading] = []
        unread: list[UnreadImage] = []
        rows = tuple(zip(series.instances, series.headers, strict=True))
        for number, (instance, header) in enumerate(rows, start=1):
            joint = joints.joint(header)
            tracking_id = f"{self.title} {joint.label}" + (f" image {number}" if len(rows) > 1 else "")
            try:
                reason = joints.refusal(header)
                if reason is None and number > IMAGES:
                    reason = f"the series has more than {IMAGES} images"
                if reason is not None:
                    raise UnsuitableInput(reason)
                clip = read_clip(instance, self.settings.field_width_mm)
                assessment = assess(clip, model, self.settings.heatmaps)
            except UnsuitableInput as error:
                if of_the_machine(error):
                    raise
                unread.append(UnreadImage(joint, tracking_id, whole_image(instance, header), str(error)))
            else:
                seen.append(UltrasoundReading(opinion_of(joint, tracking_id, assessment), assessment))
        return seen, unread

    def _volume(self, series: Series) -> Result:
        from dicom_sr.read.stacks import read_stack, sort_series
        from pipelines.joint_classification import findings, volume_results, wording
        from pipelines.joint_classification.volume import head_of

        model = self._classifier(3)
        given = sort_series(series)
        found = given.stacks
        if len(found) > 1:
            raise UnsuitableInput(f"needs one stack of slices, found {len(found)}")
        scan = read_stack(found[0])
        head = head_of(scan)
        joint = joints.joint(found[0].header, bone=True)
        seen = volume_results.assess_head(joint, f"{self.title} {joint.label} HR-pQCT", found[0], scan, head, model)
        opinion = seen.opinion
        return Result(
            model=self.model,
            title=self.title,
            evidence=(given.series,),
            conclusion=(wording.sentence(opinion),),
            findings=(findings.finding(opinion, model),),
            segments=volume_results.segments(seen) if self.settings.heatmaps else (),
            pages=(volume_results.page(self.title, seen, model, self.settings.heatmaps),),
            flags=volume_results.flags(seen),
            limits=(*volume_results.remarks(seen, model.heat_method), *model.take_remarks()),
            left_aside=given.left_aside,
            parameters=(
                *self.settings.as_parameters(),
                (opinion.tracking_id, volume_results.reading_details(seen)),
            ),
        )


def _with_images(series: Series) -> tuple[Series, tuple[LeftAside, ...]]:
    """As `images_of`, of a series that holds one image at least."""
    images, others = images_of(series)
    if not images.instances:
        raise UnsuitableInput(Aside.NO_IMAGE.of_all)
    return images, others
