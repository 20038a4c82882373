"""What a pipeline found: the only thing that a pipeline returns and the only thing that the encoders take.

Nothing here says how a result looks in DICOM. Codes are `pydicom.sr.coding.Code`; image coordinates are
(column, row) in pixels with the centre of the upper left pixel at (0.5, 0.5), as PS3.3 C.10.5.1.2 has it for SCOORD;
patient coordinates are LPS in mm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from dicom_sr.series import Instance, Series
from dicom_sr.words import counted


@dataclass(frozen=True)
class Model:
    """The model behind a result."""

    name: str  # the pipeline's name, e.g. knee_super_resolution
    version: str
    weights_digest: str  # SHA-256 of the weights, hex; of the empty string for a method without weights
    trained_on: str  # one sentence for the reader, e.g. "trained on simulated data, not for clinical use"
    configuration_digest: str = ""  # SHA-256 of the settings the result depends on, hex
    series_base: int | None = None  # thousands of its SeriesNumbers (`write.provenance`); None: made from the name
    manufacturer: str = ""  # who made it; empty: the makers of this software


@dataclass(frozen=True)
class Algorithm:
    """A network or a method that a result was made with: a device of its own among the contributing equipment."""

    name: str
    version: str
    weights_digest: str  # SHA-256 of the weights, hex; of the empty string for a method without weights
    manufacturer: str = ""  # empty: the makers of this software


@dataclass(frozen=True)
class ImageReference:
    """One image, or one frame of it."""

    sop_instance_uid: str
    frame_number: int | None = None  # 1-based, as ReferencedFrameNumber


@dataclass(frozen=True)
class LeftAside:
    """Images that the pipeline was given and did not use."""

    reason: str  # what each of them is, e.g. "a localizer"
    images: tuple[ImageReference, ...]
    numbers: tuple[str, ...] = ()  # InstanceNumber or frame number of each, as a viewer shows them

    @property
    def sentence(self) -> str:
        """For a reader."""
        named = f" ({', '.join(self.numbers)})" if 0 < len(self.numbers) <= _NAMED else ""
        return f"Left aside: {counted(len(self.images), 'image')}{named}, {self.reason}."


_NAMED = 5  # images that a sentence names one by one


@dataclass(frozen=True)
class Measurement:
    """A number with a name, a unit and, where known, its uncertainty."""

    name: Code
    value: float
    unit: Code
    standard_deviation: float | None = None
    interval: tuple[float, float] | None = None  # lower and upper end
    interval_level: float = 0.9  # nominal coverage of `interval`
    derivation: Code | None = None


@dataclass(frozen=True)
class Evaluation:
    """A coded statement: a name and a coded value."""

    name: Code
    value: Code


@dataclass(frozen=True)
class Site:
    """Where in the body: a coarse SNOMED concept, the side, and the exact private site."""

    region: Code  # Finding Site
    laterality: Literal["R", "L", "B"] | None = None
    modifier: Code | None = None  # Topographical modifier, e.g. 99MSKAI SITE-MCP2


@dataclass(frozen=True)
class Region:
    """A closed outline on one image."""

    image: ImageReference
    outline: NDArray[np.float64]  # (N, 2) column, row; first and last point equal


def frame_outline(rows: int, columns: int) -> NDArray[np.float64]:
    """The border of a whole image as a closed outline (5, 2), column and row, just inside the pixels' edges."""
    right, bottom = float(columns), float(rows)
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom], [0, 0]], np.float64)


@dataclass(frozen=True)
class Volume:
    """A sampled volume in patient space."""

    array: NDArray[np.generic]  # (D, H, W)
    affine: NDArray[np.float64]  # (4, 4): index (d, h, w, 1) to patient LPS, mm

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring samples along D, H, W, mm."""
        d, h, w = (float(np.linalg.norm(self.affine[:3, axis])) for axis in range(3))
        return d, h, w

    def with_array(self, array: NDArray[np.generic]) -> Volume:
        """Another array on the same grid."""
        return replace(self, array=array)


@dataclass(frozen=True)
class Finding:
    """One coded statement about one site, with its numbers and where it was seen."""

    tracking_id: str  # readable and stable between studies, e.g. "SvH R MCP2"
    finding: Code
    site: Site | None = None
    region: Region | None = None
    measurements: tuple[Measurement, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    image_label: str = ""  # short text for a marker on the image, e.g. "MCP2 E2 J1"
    images: tuple[ImageReference, ...] = ()  # the source images the numbers rest on, where `region` does not say it
    # one short text for where a viewer has room for no more, e.g. "R hand E13 J7"; empty: `image_label`, or made
    summary: str = field(default="", repr=False)


@dataclass(frozen=True)
class NotEvaluable:
    """A site or statement that was looked for and could not be judged: never an imputed zero."""

    tracking_id: str
    what: Code
    reason: Code
    sentence: str  # for the radiologist
    site: Site | None = None
    region: Region | None = None
    summary: str = field(default="", repr=False)  # as of a finding, e.g. "MTP5 n/e"


@dataclass(frozen=True)
class Heatmap:
    """A map over one image or frame, such as class activation."""

    image: ImageReference
    array: NDArray[np.float32]  # (H, W) in 0..1, on the pixels of the image
    meaning: Code  # CID 217, e.g. (130403, DCM, Gradient-weighted class activation)
    label: str  # segment label, at most 64 characters
    threshold: float = 0.5  # for the binary twin
    site: Site | None = None


@dataclass(frozen=True)
class Segment:
    """A coded region of a volume or image.

    Many segments of one volume need no array each. They may share a label map: all hold the same `volume` or `mask`,
    and each its own `label_value`. Or `volume` is the box of the grid in which the segment lies, placed by its affine.
    """

    label: str
    category: Code
    property_type: Code
    # (D, H, W) bool, float probability in 0..1 or label map, on the grid of a series of the result or on a box of it
    volume: Volume | None = None
    image: ImageReference | None = None
    mask: NDArray[np.generic] | None = None  # (H, W) of the same kinds, on the pixels of `image`
    colour_rgb: tuple[int, int, int] = (220, 120, 40)
    label_value: int | None = None  # the segment is where the label map has this value, not 0; None: no label map


@dataclass(frozen=True)
class DerivedVolume:
    """A new volume made from acquired slices, to be written as a classic series in their frame of reference."""

    volume: Volume  # (D, H, W) float32 in the unit of the source's stored values
    sources: tuple[ImageReference, ...]  # the acquired slices, in the order of the source stack
    slice_sources: tuple[tuple[int, ...], ...]  # per output slice: indices into `sources` it rests on
    label: str  # what tells it from its siblings, e.g. "echo 1, TE 6.3 ms"; short enough for SeriesDescription
    description: str  # DerivationDescription: method, factor, model and version, in one sentence
    derivation: tuple[Code, ...]
    slice_thickness_mm: float  # effective thickness of an output slice
    uncertainty: Volume | None = None  # float32, same grid, one standard deviation of a voxel
    synthetic: bool = True  # SyntheticData: is part of the content made by a model rather than acquired?


# ---- what a capture shows (how it is drawn is the encoders' business)
@dataclass(frozen=True)
class Mark:
    """An outline with a label on a picture."""

    outline: NDArray[np.float64]  # (N, 2) column, row in the panel's image
    label: str = ""
    level: float | None = None  # 0 calm to 1 severe: picks the colour; None is neutral
    dashed: bool = False  # for what was looked for and could not be judged


@dataclass(frozen=True)
class ImagePanel:
    """A picture, with heat, marks and a colour bar where there is heat."""

    title: str
    image: NDArray[np.generic]  # (H, W) grey in its own unit, or (H, W, 3) uint8 RGB
    window: tuple[float, float] | None = None  # lower and upper grey value shown; None: 1st to 99th percentile
    pixel_mm: tuple[float, float] = (1.0, 1.0)  # height and width of a pixel; their ratio gives the aspect
    heat: NDArray[np.float32] | None = None  # (H, W), on the same pixels
    heat_range: tuple[float, float] = (0.0, 1.0)
    heat_unit: str = ""
    heat_threshold: float = 0.0  # below it the heat is transparent
    marks: tuple[Mark, ...] = ()
    caption: str = ""
    colour_map: str | None = None  # a perceptually uniform matplotlib map for `image` itself, with a bar
    value_unit: str = ""  # unit on the bar of `colour_map`
    laterality: str = ""  # R, L: shown in the corner


@dataclass(frozen=True)
class Bar:
    """One bar of a `BarPanel`."""

    label: str
    value: float
    interval: tuple[float, float] | None = None
    highlight: bool = False


@dataclass(frozen=True)
class BarPanel:
    """Labelled horizontal bars with whiskers on a common axis."""

    title: str
    bars: tuple[Bar, ...]
    axis_range: tuple[float, float] = (0.0, 1.0)
    unit: str = ""
    caption: str = ""


@dataclass(frozen=True)
class PointGroup:
    """Points of a `ScatterPanel` that share a colour and a line of its legend."""

    label: str
    points: NDArray[np.float64]  # (N, 2) x, y
    highlight: bool = False  # the case at hand


@dataclass(frozen=True)
class ScatterPanel:
    """Groups of points in a plane, the case at hand marked."""

    title: str
    groups: tuple[PointGroup, ...]
    x_label: str = ""
    y_label: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Line:
    """One curve of a `LinePanel`."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    band: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    highlight: bool = False
    style: Literal["line", "step", "stem"] = "line"


@dataclass(frozen=True)
class LinePanel:
    """Curves over a common axis."""

    title: str
    lines: tuple[Line, ...]
    x_label: str = ""
    y_label: str = ""
    caption: str = ""


@dataclass(frozen=True)
class TablePanel:
    """Rows of short texts; the first row is the heading."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


Panel = ImagePanel | BarPanel | ScatterPanel | LinePanel | TablePanel


@dataclass(frozen=True)
class Page:
    """One capture. Panels are shown in a grid of `columns`, row by row."""

    title: str
    panels: tuple[Panel, ...]
    columns: int = 2
    summary: tuple[str, ...] = ()  # the few lines that tell the result


@dataclass(frozen=True)
class Flag:
    """An image to look at first, with the reason in words."""

    image: ImageReference
    reason: str


@dataclass(frozen=True)
class Prediction:
    """The probability of an outcome within a time from the index date, or why none is given."""

    horizon_years: float
    probability: float | None  # 0 to 1; None: the model gives none, for `reason`
    interval: tuple[float, float] | None = None  # lower and upper end, 0 to 1
    interval_level: float = 0.9  # nominal coverage of `interval`
    relative_risk: float | None = None  # against people like the patient
    reason: str = ""  # a sentence for the reader, where there is no probability


@dataclass(frozen=True)
class RiskStatement:
    """How probable an outcome is, counted from a day: what a FHIR RiskAssessment says."""

    outcome: Code
    outcome_text: str  # e.g. "First diagnosis of knee osteoarthritis"
    index_date: date  # the day for which it was asked
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class Subject:
    """The patient, for a result without images (a request without a study)."""

    patient_id: str
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    issuer_of_patient_id: str = ""
    accession_number: str = ""


@dataclass(frozen=True)
class RecordReport:
    """How a result is named that rests on the patient's record, not on images."""

    title: Code  # of the document
    interval_low: Code  # name of the lower end of a number's interval
    interval_high: Code


@dataclass(frozen=True)
class Result:
    """What one pipeline says about one study."""

    model: Model
    title: str  # e.g. "Knee MR super-resolution"
    evidence: tuple[Series, ...]  # the images it rests on
    conclusion: tuple[str, ...] = ()  # the few sentences a radiologist reads first
    findings: tuple[Finding, ...] = ()
    not_evaluable: tuple[NotEvaluable, ...] = ()
    derived: tuple[DerivedVolume, ...] = ()
    heatmaps: tuple[Heatmap, ...] = ()
    segments: tuple[Segment, ...] = ()
    pages: tuple[Page, ...] = ()
    flags: tuple[Flag, ...] = ()
    limits: tuple[str, ...] = ()  # what the reader must know: gates that flagged, out of range, simulated training
    left_aside: tuple[LeftAside, ...] = ()  # images that it was given and did not use
    compared_with: tuple[str, ...] = ()  # SOPInstanceUIDs of the earlier reports whose numbers it was held against
    parameters: tuple[tuple[str, str], ...] = ()  # of the algorithm, as the report lists them
    algorithms: tuple[Algorithm, ...] = ()  # further ones that it was made with, beside `model`
    subject: Subject | None = None
    from_record: RecordReport | None = None  # an Enhanced SR and a PDF from the record, in place of TID 1500
    risk: RiskStatement | None = None  # what a FHIR server is told, beside the findings

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the reader must know, in sentences: the limits, and what was left aside."""
        return (*self.limits, *(one.sentence for one in self.left_aside))

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Every source instance, in order."""
        return tuple(instance for series in self.evidence for instance in series.instances)

    @property
    def codes(self) -> Iterator[Code]:
        """Every code that its reports hold."""
        for finding in self.findings:
            yield finding.finding
            yield from _of_site(finding.site)
            for number in finding.measurements:
                yield from (number.name, number.unit, *([number.derivation] if number.derivation else []))
            for evaluation in finding.evaluations:
                yield from (evaluation.name, evaluation.value)
        for item in self.not_evaluable:
            yield from (item.what, item.reason, *_of_site(item.site))
        if self.from_record is not None:
            yield from (self.from_record.title, self.from_record.interval_low, self.from_record.interval_high)


def _of_site(site: Site | None) -> tuple[Code, ...]:
    return () if site is None else tuple(code for code in (site.region, site.modifier) if code is not None)


@dataclass(frozen=True)
class NotRun:
    """A pipeline that was due and did not run: a missing result is visible as missing."""

    model: Model
    title: str
    evidence: tuple[Series, ...]
    reason: str  # in words for a radiologist
