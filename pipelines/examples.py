"""Example results of all four pipelines, with simulated content, for trying in any viewer.

No model made them: the numbers are written here or follow from the simulated pictures, and every object says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.codedict import codes as standard
from scipy.ndimage import gaussian_filter1d, map_coordinates

from dicom_sr import codes, phantoms
from dicom_sr.findings import (
    Bar,
    BarPanel,
    DerivedVolume,
    Evaluation,
    Finding,
    Flag,
    Heatmap,
    ImagePanel,
    Line,
    LinePanel,
    Mark,
    Measurement,
    Model,
    NotEvaluable,
    NotRun,
    Page,
    PointGroup,
    RecordReport,
    Region,
    Result,
    ScatterPanel,
    Segment,
    Site,
    TablePanel,
    Volume,
)
from dicom_sr.profile import EncodedObject, EncodingProfile
from dicom_sr.read.pixels import Picture, read_picture
from dicom_sr.read.stacks import read_stack, stacks
from dicom_sr.series import Series, Study, read_studies
from dicom_sr.write.encode import encode
from dicom_sr.write.report import frame_outline
from pipelines import svh_sites
from pipelines.hand_foot_scoring import codes as svh
from pipelines.joint_classification import codes as joint
from pipelines.knee_oa_risk import codes as oa_risk
from pipelines.knee_super_resolution import codes as thin_slice

CREATED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SIMULATED = "example with simulated content, made by formula and not by a model"
_PROFILE = EncodingProfile(not_run_reports=True, kinds=(*EncodingProfile().kinds, "segmentation_labelmap"))


@dataclass(frozen=True)
class Example:
    """One example: its source study on disk and the result that stands on it."""

    name: str
    study: Study
    result: Result | NotRun


def write_examples(folder: Path, profile: EncodingProfile = _PROFILE) -> dict[str, tuple[EncodedObject, ...]]:
    """Write every example, source and objects, to `folder`/<name>/source and `folder`/<name>/result."""
    return {
        example.name: encode(example.result, profile, CREATED, folder / example.name / "result")
        for example in examples(folder)
    }


def examples(folder: Path) -> tuple[Example, ...]:
    """All examples; their source studies are written to `folder`/<name>/source."""
    makers: dict[str, Callable[[str, Path], Example]] = {
        "knee_super_resolution": super_resolution,
        "hand_foot_scoring": scoring,
        "joint_classification": classification,
        "knee_oa_risk": risk,
        "not_run": not_run,
    }
    return tuple(make(name, folder / name / "source") for name, make in makers.items())


_BASES = {"knee_super_resolution": 3000, "hand_foot_scoring": 3100, "joint_classification": 3200, "knee_oa_risk": 9300}


def _model(name: str) -> Model:
    base = _BASES[name]
    return Model(name, "0.0-example", _digest("weights"), SIMULATED, _digest("settings"), base)


def _digest(text: str) -> str:
    """A digest that stands for weights or settings that do not exist."""
    return hashlib.sha256(f"example {text}".encode()).hexdigest()


def _only_study(paths: list[Path]) -> Study:
    (study,) = read_studies(paths)
    return study


# ---- knee super-resolution
def super_resolution(name: str, folder: Path, shape: tuple[int, int, int] = (20, 128, 128)) -> Example:
    """A thick-slice knee, interpolated along the slices, with a made-up uncertainty."""
    header = phantoms.study_header(phantoms.Person(), "knee", "SIMULATED KNEE MR")
    study = _only_study(phantoms.write_knee_mr(folder, header, shape))
    series = study.series[0]
    stack = stacks(series)[0]
    source = read_stack(stack, stored=True)
    factor = 4
    derived, thin, uncertainty = _thin(source, factor)
    back = gaussian_filter1d(thin.array, 0.4 * factor, axis=0)[::factor]
    error = float(np.sqrt(np.mean((back - source.array) ** 2)))
    peak = float(np.percentile(np.asarray(source.array, np.float64), 99.9))
    psnr = 20 * float(np.log10(peak / error))
    middle = len(source.array) // 2
    region = Region(stack.references[middle], frame_outline(*source.array.shape[1:]))
    spacing = thin.spacing_mm[0]
    finding = Finding(
        "Knee super-resolution quality",
        codes.IMAGE_QUALITY,
        Site(codes.KNEE, "R"),
        None,
        (
            Measurement(thin_slice.PSNR, psnr, codes.DECIBEL),
            Measurement(thin_slice.NRMSE, error / peak, codes.RATIO),
            Measurement(thin_slice.MEAN_VOXEL_SD, float(uncertainty.array.mean()), codes.ARBITRARY_UNIT),
            Measurement(codes.private("QA-FACTOR"), factor, codes.RATIO),
            Measurement(codes.private("QA-SPACING"), spacing, codes.MILLIMETRE),
        ),
        (Evaluation(codes.private("QA-CONSISTENT"), codes.private("QA-PASS")),),
        images=stack.references,
    )
    volume = DerivedVolume(
        thin,
        stack.references,
        derived,
        "",
        f"Cubic interpolation along the slice axis, factor {factor}; {SIMULATED}",
        (codes.SPATIAL_RESAMPLING, thin_slice.SUPER_RESOLVED),
        spacing,
        uncertainty,
    )
    lesion = _lesion_segment(thin)
    result = Result(
        _model("knee_super_resolution"),
        "Knee MR super-resolution",
        (series,),
        (
            f"{len(source.array)} slices every {stack.spacing_mm:.2f} mm became "
            f"{len(thin.array)} every {spacing:.2f} mm.",
        ),
        (finding,),
        derived=(volume,),
        segments=(lesion,),
        pages=(_comparison(source, thin, uncertainty, region, middle, factor, psnr),),
        flags=(Flag(stack.references[middle], "Middle slice: compare with the derived series."),),
        limits=("Slices between the acquired ones are computed: a reformatting aid, not more information.",),
        parameters=(("method", "cubic interpolation"), ("factor", str(factor))),
    )
    return Example(name, study, result)


def _thin(source: Volume, factor: int) -> tuple[tuple[tuple[int, ...], ...], Volume, Volume]:
    """Which source slices each thin one rests on, the thin volume, and its made-up uncertainty."""
    depth, height, width = source.array.shape
    positions = np.arange((depth - 1) * factor + 1) / factor
    grid = np.meshgrid(positions, np.arange(height), np.arange(width), indexing="ij", sparse=False)
    array = map_coordinates(source.array, grid, order=3, mode="nearest").astype(np.float32)
    affine = source.affine.copy()
    affine[:3, 0] /= factor
    low = np.minimum(positions.astype(int), depth - 2)
    between = 4 * (positions - low) * (1 - (positions - low))  # 0 on an acquired slice, 1 half way
    change = np.abs(np.gradient(array, axis=0)) * factor
    sd = (4 + 0.25 * change * between[:, None, None]).astype(np.float32)
    brackets = tuple((int(k), int(k) + 1) for k in low)
    return brackets, Volume(array, affine), Volume(sd, affine)


def _lesion_segment(thin: Volume) -> Segment:
    """The bright spot that the phantom has in its bone, by threshold."""
    array = np.asarray(thin.array, np.float64)
    mask = array > 0.9 * array.max()
    return Segment(
        "Bright spot in bone",
        standard.SCT.MorphologicallyAbnormalStructure,
        codes.ABNORMAL,
        Volume(mask, thin.affine),
    )


def _comparison(
    source: Volume, thin: Volume, uncertainty: Volume, region: Region, middle: int, factor: int, psnr: float
) -> Page:
    column = source.array.shape[2] // 2 + 10
    depth_mm, height_mm, width_mm = source.spacing_mm
    values = np.asarray(source.array, np.float64)
    thin_values = np.asarray(thin.array, np.float64)
    top = float(np.percentile(values, 99.5))
    window = (0.0, top)
    reformat = source.array[:, :, column].T  # (H, D)
    thin_reformat = thin.array[:, :, column].T
    sd = uncertainty.array[middle * factor + factor // 2]
    limit = float(np.ceil(np.percentile(sd, 99.5) / 10) * 10)
    return Page(
        "Knee MR super-resolution",
        (
            ImagePanel("Source slice", source.array[middle], window, (height_mm, width_mm), laterality="R"),
            ImagePanel(
                "Computed slice between two",
                thin.array[middle * factor + factor // 2],
                window,
                (height_mm, width_mm),
                laterality="R",
            ),
            ImagePanel("Source, reformatted", reformat, window, (height_mm, depth_mm), laterality="R"),
            ImagePanel("Result, reformatted", thin_reformat, window, (height_mm, thin.spacing_mm[0]), laterality="R"),
            ImagePanel(
                "Uncertainty of the computed slice",
                thin.array[middle * factor + factor // 2],
                window,
                (height_mm, width_mm),
                heat=sd,
                heat_range=(0.0, limit),
                heat_unit="SD a.u.",
                heat_threshold=0.1 * limit,
                caption="One standard deviation of a voxel; simulated.",
                laterality="R",
            ),
            LinePanel(
                "Profile through bone and cartilage",
                (
                    Line(
                        "source slices",
                        np.arange(len(values), dtype=np.float64) * depth_mm,
                        values[:, 60, column],
                        style="stem",
                    ),
                    Line(
                        "result",
                        np.arange(len(thin_values), dtype=np.float64) * thin.spacing_mm[0],
                        thin_values[:, 60, column],
                        highlight=True,
                    ),
                ),
                "position along the slices, mm",
                "signal, a.u.",
            ),
        ),
        2,
        (
            f"{len(source.array)} slices every {depth_mm:.2f} mm became "
            f"{len(thin.array)} every {thin.spacing_mm[0]:.2f} mm.",
            f"Averaged back to the source slices: PSNR {psnr:.1f} dB.",
        ),
    )


# ---- hands and feet
_LIMBS = (("hand", "R"), ("hand", "L"), ("foot", "R"), ("foot", "L"))
_NOT_EVALUABLE = {
    ("hand", "L", "CMC5"): ("WHY-OVERLAP", "Overlap with the fourth ray."),
    ("foot", "L", "MTP5"): ("WHY-CROPPED", "Cut by the edge of the image."),
}


def scoring(name: str, folder: Path, rows: int = 900, limbs: tuple[tuple[str, str], ...] = _LIMBS) -> Example:
    """Hands and feet with made-up scores, two sites not evaluable, totals, change since a prior."""
    header = phantoms.study_header(phantoms.Person("SIM-0002"), "hands-feet", "SIMULATED HANDS AND FEET")
    paths = []
    for number, (limb, side) in enumerate(limbs, start=1):
        if limb == "hand":
            pixels = phantoms.hand(rows, int(rows * 0.8), side)
        else:
            pixels = phantoms.foot(rows, int(rows * 0.62), side)
        paths.append(phantoms.write_radiograph(folder, header, pixels, limb.upper(), side, number))
    study = _only_study(paths)
    series = sorted(study.series, key=lambda s: int(s.headers[0].SeriesNumber))
    scored = [_Limb(limb, side, one) for (limb, side), one in zip(limbs, series, strict=True)]
    findings = [f for limb in scored for f in limb.findings]
    total = _total(scored)
    heatmaps = tuple(h for limb in scored for h in limb.heatmaps)
    worst = max(scored, key=lambda limb: limb.erosion + limb.narrowing)
    result = Result(
        _model("hand_foot_scoring"),
        "Hand and foot scoring",
        tuple(series),
        (
            f"Total Sharp/van der Heijde score {total.measurements[2].value:.0f} of 448, "
            "partial: not every site could be judged.",
            "Change since the prior +7, more than the smallest detectable difference of 5.",
        ),
        (*findings, total),
        tuple(n for limb in scored for n in limb.not_evaluable),
        heatmaps=heatmaps,
        pages=(_overview(scored, total), *(limb.page for limb in scored)),
        flags=(Flag(worst.reference, f"Highest score: {worst.name}."),),
        limits=("A second reader's aid: every score needs a reader's confirmation.",),
        parameters=(("prior", "simulated"),),
    )
    return Example(name, study, result)


class _Limb:
    """One hand or foot with made-up scores."""

    def __init__(self, limb: str, side: str, series: Series) -> None:
        self.limb, self.side, self.series = limb, side, series
        self.name = f"{'right' if side == 'R' else 'left'} {limb}"
        self.picture: Picture = read_picture(series)
        self.reference = self.picture.reference
        self.findings: list[Finding] = []
        self.not_evaluable: list[NotEvaluable] = []
        self.marks: list[Mark] = []
        self.heatmaps: list[Heatmap] = []
        self.erosion = self.narrowing = 0.0
        for number, site in enumerate(s for s in svh_sites.SVH_SITES if s.limb == limb):
            self._score(number, site)
        self.findings.append(self._sum())
        self.page = self._page()

    def _outline(self, site: svh_sites.SvhSite) -> NDArray[np.float64]:
        joints = phantoms.HAND_JOINTS if self.limb == "hand" else phantoms.FOOT_JOINTS
        rows, columns = self.picture.array.shape
        column, row = joints[site.id]
        if self.side == "L":
            column = 1 - column
        half = 0.030 * rows
        x, y = column * columns, row * rows
        return np.array(
            [
                [x - half, y - half],
                [x + half, y - half],
                [x + half, y + half],
                [x - half, y + half],
                [x - half, y - half],
            ]
        )

    def _score(self, number: int, site: svh_sites.SvhSite) -> None:
        outline = self._outline(site)
        region = Region(self.reference, outline)
        where = Site(site.region, "R" if self.side == "R" else "L", site.modifier)
        tracking = f"SvH {self.side} {site.id}{'F' if self.limb == 'foot' and site.id == 'IP1' else ''}"
        why = _NOT_EVALUABLE.get((self.limb, self.side, site.id))
        if why is not None:
            reason = codes.private(why[0])
            self.not_evaluable.append(NotEvaluable(tracking, svh.SVH_JOINT, reason, why[1], where, region))
            self.marks.append(Mark(outline, f"{site.id} n/a", dashed=True))
            return
        generator = np.random.default_rng([number, len(self.side), ord(self.side), len(self.limb)])
        erosion = min(float(generator.gamma(0.7, 1.1)), site.erosion_maximum)
        narrowing = min(float(generator.gamma(0.8, 0.9)), site.jsn_maximum)
        measurements = []
        if site.erosion_maximum:
            self.erosion += erosion
            measurements.append(Measurement(svh.SVH_ERO, erosion, codes.score_range(site.erosion_maximum), 0.4))
        if site.jsn_maximum:
            self.narrowing += narrowing
            measurements.append(Measurement(svh.SVH_JSN, narrowing, codes.score_range(site.jsn_maximum), 0.3))
        parts = [f"E{erosion:.0f}" if site.erosion_maximum else "", f"J{narrowing:.0f}" if site.jsn_maximum else ""]
        label = " ".join([site.id, *filter(None, parts)])
        self.findings.append(Finding(tracking, svh.SVH_JOINT, where, region, tuple(measurements), (), label))
        level = max(
            erosion / (site.erosion_maximum or 1) if site.erosion_maximum else 0,
            narrowing / 4 if site.jsn_maximum else 0,
        )
        self.marks.append(Mark(outline, label, level))
        if level > 0.3:
            self.heatmaps.append(self._heat(outline, level, tracking, where))

    def _heat(self, outline: NDArray[np.float64], level: float, label: str, where: Site) -> Heatmap:
        rows, columns = self.picture.array.shape
        y, x = np.mgrid[0:rows, 0:columns]
        centre = outline[:4].mean(0)
        width = 0.016 * rows
        spot = np.exp(-(((x + 0.5 - centre[0]) / width) ** 2 + ((y + 0.5 - centre[1]) / (0.7 * width)) ** 2) / 2)
        return Heatmap(
            self.reference, (min(1.0, 0.4 + level) * spot).astype(np.float32), codes.GRAD_CAM, label, 0.4, where
        )

    def _sum(self) -> Finding:
        where = Site(codes.HAND if self.limb == "hand" else codes.FOOT, "R" if self.side == "R" else "L")
        maximum = {"hand": (80, 60), "foot": (60, 24)}[self.limb]
        return Finding(
            f"SvH {self.side} {self.limb} sum",
            svh.SVH_SUM,
            where,
            Region(self.reference, frame_outline(*self.picture.array.shape)),
            (
                Measurement(svh.SVH_ERO_LIMB, self.erosion, codes.score_range(maximum[0]), 1.2),
                Measurement(svh.SVH_JSN_LIMB, self.narrowing, codes.score_range(maximum[1]), 1.0),
            ),
        )

    def heat(self) -> NDArray[np.float32] | None:
        """The joints' maps as one."""
        return np.max([h.array for h in self.heatmaps], axis=0) if self.heatmaps else None

    def _page(self) -> Page:
        title = f"{self.name.capitalize()}: scores at their joints"
        panel = ImagePanel(
            "",
            self.picture.array,
            self.picture.window,
            marks=tuple(self.marks),
            caption="E erosion, J narrowing; colour from calm to severe, dashed: not assessable. Simulated.",
            laterality=self.side,
        )
        return Page(title, (panel,), 1, (f"Erosion {self.erosion:.0f}, narrowing {self.narrowing:.0f}.",))


def _total(limbs: list[_Limb]) -> Finding:
    erosion, narrowing = sum(limb.erosion for limb in limbs), sum(limb.narrowing for limb in limbs)
    first = limbs[0]
    return Finding(
        "SvH total",
        svh.SVH_SUM,
        Site(codes.HAND, "B"),
        Region(first.reference, frame_outline(*first.picture.array.shape)),
        (
            Measurement(svh.SVH_ERO_TOTAL, erosion, codes.score_range(280), 2.1),
            Measurement(svh.SVH_JSN_TOTAL, narrowing, codes.score_range(168), 1.8),
            Measurement(
                svh.SVH_TOTAL,
                erosion + narrowing,
                codes.score_range(svh_sites.SVH_MAXIMUM),
                2.8,
                (erosion + narrowing - 5, erosion + narrowing + 5),
            ),
            Measurement(svh.SVH_DELTA, 7.0, codes.NO_UNITS, 2.5),
        ),
        (
            Evaluation(codes.private("SVH-COMPLETE"), codes.private("SVH-PARTIAL")),
            Evaluation(codes.private("SVH-SDD"), codes.private("SVH-CHANGED")),
        ),
    )


def _overview(limbs: list[_Limb], total: Finding) -> Page:
    rows = [("Limb", "Erosion", "Narrowing", "Sum")]
    rows += [
        (limb.name.capitalize(), f"{limb.erosion:.0f}", f"{limb.narrowing:.0f}", f"{limb.erosion + limb.narrowing:.0f}")
        for limb in limbs
    ]
    erosion, narrowing, both = (m.value for m in total.measurements[:3])
    rows.append(("Total", f"{erosion:.0f} / 280", f"{narrowing:.0f} / 168", f"{both:.0f} / 448"))
    panels = [
        ImagePanel(
            limb.name.capitalize(),
            limb.picture.array,
            limb.picture.window,
            heat=limb.heat(),
            heat_unit="model attention",
            heat_threshold=0.15,
            laterality=limb.side,
        )
        for limb in limbs
    ]
    table = TablePanel("Scores", tuple(rows), "A site that could not be judged has no number.")
    change = LinePanel(
        "Total over time",
        (
            Line(
                "total",
                np.array([0.0, 14.0, 31.0]),
                np.array([both - 16, both - 7, both]),
                (np.array([both - 21, both - 12, both - 5]), np.array([both - 11, both - 2, both + 5])),
                True,
            ),
        ),
        "months since the first study",
        "score",
        "Band: 90 % interval. Simulated.",
    )
    return Page(
        "Hand and foot scoring",
        (*panels, table, change),
        2,
        (f"Total Sharp/van der Heijde score {both:.0f} of 448 (partial).", "Change since the prior: +7 (SDD 5)."),
    )


# ---- joint classification
def classification(name: str, folder: Path) -> Example:
    """An ultrasound of a finger joint with made-up class probabilities, a heatmap and a place among known cases."""
    header = phantoms.study_header(phantoms.Person("SIM-0003"), "joint-us", "SIMULATED JOINT ULTRASOUND")
    study = _only_study([phantoms.write_ultrasound(folder, header, phantoms.joint_ultrasound())])
    series = study.series[0]
    picture = read_picture(series)
    rows, columns = picture.array.shape[:2]
    left, top, right, bottom = picture.regions[0].box
    outline = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], np.float64)
    heat = _capsule_heat(rows, columns)
    probabilities = {"RA": 0.71, "PSA": 0.18, "HC": 0.11}
    values = np.array(list(probabilities.values()))
    entropy = float(-(values * np.log(values)).sum() / np.log(3))
    where = Site(codes.FINGER_JOINT, "L", codes.private("SITE-MCP2"))
    finding = Finding(
        "Joint classification L MCP2",
        joint.CLS_RA,
        where,
        Region(picture.reference, outline),
        (
            *(Measurement(codes.private(f"PROB-{key}"), p, codes.NO_UNITS, 0.06) for key, p in probabilities.items()),
            Measurement(joint.UNC_ENT, entropy, codes.NO_UNITS),
            Measurement(codes.private("LAT-1"), 1.6, codes.NO_UNITS),
            Measurement(codes.private("LAT-2"), 0.9, codes.NO_UNITS),
        ),
        (Evaluation(joint.CLUSTER, codes.private("CLUSTER-RA")),),
        "RA pattern 71 %",
    )
    generator = np.random.default_rng(5)
    known = {"RA": (1.8, 0.8), "PsA": (-0.4, 1.6), "healthy": (-1.2, -1.2)}
    groups = [PointGroup(f"known {k}", generator.normal(c, 0.65, (40, 2))) for k, c in known.items()]
    page = Page(
        "Joint classification, left MCP2",
        (
            ImagePanel("Source", picture.array, laterality="L", marks=(Mark(outline),)),
            ImagePanel(
                "Where the model looked",
                picture.array,
                heat=heat,
                heat_unit="model attention",
                heat_threshold=0.15,
                laterality="L",
                caption="Model attention, not a lesion.",
            ),
            BarPanel(
                "Probabilities",
                (
                    Bar("Rheumatoid arthritis", 0.71, (0.60, 0.80), True),
                    Bar("Psoriatic arthritis", 0.18, (0.11, 0.27)),
                    Bar("Healthy", 0.11, (0.06, 0.18)),
                ),
                caption=f"Normalised entropy {entropy:.2f}; limit for an answer 0.85. Simulated.",
            ),
            ScatterPanel(
                "Place among known cases",
                (*groups, PointGroup("this case", np.array([[1.6, 0.9]]), True)),
                "latent coordinate 1",
                "latent coordinate 2",
            ),
        ),
        2,
        ("Pattern of rheumatoid arthritis, probability 71 %.", "An adjunct: weak evidence beside serology and clinic."),
    )
    result = Result(
        _model("joint_classification"),
        "Joint classification",
        (series,),
        ("Pattern of rheumatoid arthritis, probability 71 %.",),
        (finding,),
        heatmaps=(Heatmap(picture.reference, heat, codes.GRAD_CAM, "Model attention L MCP2", 0.5, where),),
        pages=(page,),
        flags=(Flag(picture.reference, "The image that was classified."),),
        limits=("Three classes only: any other arthritis is forced into one of them.",),
    )
    return Example(name, study, result)


def _capsule_heat(rows: int, columns: int) -> NDArray[np.float32]:
    y, x = np.mgrid[0:rows, 0:columns]
    spot = np.exp(-(((x / columns - 0.47) / 0.12) ** 2 + ((y / rows - 0.43) / 0.07) ** 2))
    return np.asarray(0.95 * spot, np.float32)


# ---- risk from the record
def risk(name: str, folder: Path) -> Example:
    """A risk of knee osteoarthritis from a made-up record, put into the patient's knee study."""
    header = phantoms.study_header(phantoms.Person("SIM-0004", sex="F"), "knee-risk", "SIMULATED KNEE MR")
    study = _only_study(phantoms.write_knee_mr(folder, header, (6, 64, 64), (4.0, 2.5, 2.5)))
    horizons = {"1Y": (0.04, 0.02, 0.07), "2Y": (0.08, 0.05, 0.12), "5Y": (0.21, 0.15, 0.29)}
    measurements = tuple(
        Measurement(codes.private(f"OA-RISK-{key}"), value, codes.NO_UNITS, interval=(low, high))
        for key, (value, low, high) in horizons.items()
    )
    finding = Finding(
        "Knee osteoarthritis risk",
        oa_risk.OA_RISK,
        Site(codes.KNEE_JOINT),
        None,
        measurements,
        (Evaluation(codes.private("OA-RISK-GROUP"), codes.MODERATE_RISK),),
    )
    drivers = (
        ("Age 66", 0.062),
        ("Body mass index 31", 0.044),
        ("Knee pain, 3 visits", 0.037),
        ("Physiotherapy", -0.012),
    )
    years = np.array([0.0, 1.0, 2.0, 5.0])
    page = Page(
        "Knee osteoarthritis risk",
        (
            BarPanel(
                "Risk of a first diagnosis",
                tuple(
                    Bar(f"within {key[:-1]} year{'s' if key != '1Y' else ''}", v, (low, high), key == "5Y")
                    for key, (v, low, high) in horizons.items()
                ),
                (0.0, 0.4),
                caption="Whiskers: 90 % interval. Simulated.",
            ),
            LinePanel(
                "Risk over time",
                (
                    Line(
                        "this record",
                        years,
                        np.array([0.0, 0.04, 0.08, 0.21]),
                        (np.array([0.0, 0.02, 0.05, 0.15]), np.array([0.0, 0.07, 0.12, 0.29])),
                        True,
                    ),
                    Line("same age and sex", years, np.array([0.0, 0.02, 0.045, 0.12])),
                ),
                "years from today",
                "risk",
            ),
            BarPanel(
                "What drove it (change of the 5-year risk)",
                tuple(Bar(text, value) for text, value in drivers),
                (-0.02, 0.08),
                caption="Association in the record, not cause.",
            ),
            TablePanel(
                "The record",
                (("What", "Value"), ("Source", "simulated"), ("Length", "6.2 years"), ("Unknown codes", "3 %")),
            ),
        ),
        2,
        ("Risk of knee osteoarthritis within 5 years: 21 % (15 to 29 %), moderate.",),
    )
    result = Result(
        _model("knee_oa_risk"),
        "Knee osteoarthritis risk",
        study.series,
        ("Risk of knee osteoarthritis within 5 years: 21 % (90 % interval 15 to 29 %), moderate.",),
        (finding,),
        pages=(page,),
        limits=("From the record alone: no image was used.",),
        parameters=tuple((f"contribution to the 5-year risk, {text}", f"{value:+.3f}") for text, value in drivers),
        from_record=RecordReport(oa_risk.OA_RISK_RPT, oa_risk.OA_RISK_LO, oa_risk.OA_RISK_HI),
    )
    return Example(name, study, result)


# ---- a pipeline that did not run
def not_run(name: str, folder: Path) -> Example:
    """What a radiologist sees where a pipeline was due and could not run."""
    header = phantoms.study_header(phantoms.Person("SIM-0005"), "knee-short", "SIMULATED KNEE MR")
    study = _only_study(phantoms.write_knee_mr(folder, header, (3, 64, 64), (4.0, 2.5, 2.5)))
    reason = "the series has 3 slices; at least 4 are needed"
    return Example(
        name, study, NotRun(_model("knee_super_resolution"), "Knee MR super-resolution", study.series, reason)
    )
