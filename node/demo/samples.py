"""The studies that the demo sends: phantoms with known answers, and the real knee where the shared data is there.

A pipeline gets its sample by an entry in `SAMPLES`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """What one pipeline shall bring into the archive for a sample, counted in series or, for reports, in objects."""

    pipeline: str
    derived_series: int = 0
    captures: int = 1
    reports: int = 1


@dataclass(frozen=True)
class Sample:
    """One study to send, and what shall come of it."""

    title: str
    write: Callable[[Path], None]  # writes the Part 10 files into an empty folder
    expected: tuple[Expected, ...] = ()  # empty: no pipeline shall take it
    record: Callable[[], dict[str, Any]] | None = (
        None  # the patient's record, a FHIR bundle that comes before the images
    )
    real: bool = False  # of a scanner, rather than made here
    available: Callable[[], bool] = field(default=lambda: True)


# ---- what every instance has
def uid(*names: object) -> str:
    """The same UID for the same names: a sample sent twice is the same sample."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, 'condyle demo|' + '|'.join(map(str, names))).int}"


def _instance(study: str, series: int, number: int, sop_class_uid: str, modality: str) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = uid(study, series, number)
    ds.StudyInstanceUID = uid(study)
    ds.SeriesInstanceUID = uid(study, series)
    ds.PatientName, ds.PatientID = f"Phantom^{study.title()}", f"DEMO-{study.upper()}"
    ds.PatientBirthDate, ds.PatientSex = "19610214", "F"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = "20260105"
    ds.StudyTime, ds.SeriesTime, ds.ContentTime, ds.AcquisitionTime = "101500", "101700", "101730", "101730"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", f"D{study.upper()[:8]}", ""
    ds.StudyDescription = f"Simulated {study}"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, str(series), str(number)
    ds.Manufacturer, ds.ManufacturerModelName = "Condyle demo", "Phantom"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "0", "1"
    return ds


def _pixels(ds: Dataset, array: NDArray[np.generic], bits_stored: int) -> None:
    """Put an (H, W) unsigned array, or an (H, W, 3) one of 8 bits, into `ds`."""
    ds.Rows, ds.Columns = array.shape[:2]
    ds.SamplesPerPixel = 1 if array.ndim == 2 else 3
    ds.PhotometricInterpretation = "MONOCHROME2" if array.ndim == 2 else "RGB"
    if array.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = 8 if bits_stored <= 8 else 16
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits_stored, bits_stored - 1, 0
    limited = np.clip(np.rint(array), 0, 2**bits_stored - 1)
    ds.PixelData = limited.astype("<u1" if bits_stored <= 8 else "<u2").tobytes()
    ds["PixelData"].VR = "OB" if bits_stored <= 8 else "OW"


def _save(ds: Dataset, path: Path) -> None:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationVersionName = "CONDYLE_DEMO"
    pydicom.dcmwrite(path, ds, enforce_file_format=True)


# ---- MR phantoms: a signal as a function of patient coordinates, so that the answer at any slice is known
def _inside(distance_mm: Array, edge_mm: float = 0.5) -> Array:
    """1 inside (negative distance), 0 outside, soft over about `edge_mm`, so that no edge is finer than a voxel."""
    return np.asarray(0.5 - 0.5 * np.tanh(distance_mm / edge_mm))


def _ellipsoid(points: Array, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Array:
    """About the signed distance from an ellipsoid, mm, for `points` (..., 3) LPS."""
    # axis by axis: a sum over an axis of three is several times as slow
    x, y, z = ((points[..., axis] - centre[axis]) / radii[axis] for axis in range(3))
    length = np.sqrt(x**2 + y**2 + z**2) + 1e-9
    gradient = np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2) + 1e-9
    return np.asarray(length * (length - 1) / gradient)


def knee_signal(points: Array) -> Array:
    """Signal of the knee phantom, 0 to 1, at `points` (..., 3) in patient LPS, mm; its joint line is at z = 0.

    A right knee: fibula and effusion lie lateral, at negative x, so that a flip of any axis shows.
    """
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    leg = _ellipsoid(points * (1, 1, 0), (0, 4, 0), (56, 60, 1e6))
    femur = np.minimum.reduce(
        [
            _ellipsoid(points, (-23, 8, 24), (19, 29, 24)),
            _ellipsoid(points, (22, 10, 22), (20, 31, 24)),
            _ellipsoid(points, (0, -6, 42), (36, 24, 34)),
            np.maximum(_ellipsoid(points * (1, 1, 0), (0, -6, 0), (17, 17, 1e6)), 40 - z),
        ]
    )
    taper = np.clip((-z - 6) / 40, 0, 1)
    tibia = np.maximum(
        np.sqrt((x / (39 - 21 * taper)) ** 2 + ((y - 4) / (27 - 11 * taper)) ** 2) * (20 - 4 * taper)
        - (20 - 4 * taper),
        z + 5.5 + 0.0035 * (np.abs(x) - 20) ** 2,
    )
    patella = _ellipsoid(points, (-2, -40, 26), (20, 9, 20))
    fibula = np.maximum(_ellipsoid(points * (1, 1, 0), (-36, 24, 0), (8, 8, 1e6)), z + 20)
    tendon = np.maximum(np.abs(y + 41 - 0.12 * (z - 10)) - 2.4, np.maximum(np.abs(x + 2) - 14, np.abs(z + 12) - 26))
    hoffa = _ellipsoid(points, (-1, -27, -1), (24, 12, 20))
    meniscus = np.minimum(
        _ellipsoid(points, (-24, -13, -3.2), (14, 9, 3)), _ellipsoid(points, (24, 27, -3.2), (14, 10, 3.2))
    )
    effusion = _ellipsoid(points, (-20, -24, 44), (15, 5, 17))

    signal = np.zeros(points.shape[:-1])
    for distance, value in (
        (leg, 0.86),  # fat under the skin
        (leg + 8, 0.34),  # muscle
        (hoffa, 0.80),
        (effusion, 0.97),
        (np.maximum(femur - 2.4, z - 24), 0.58),  # cartilage
        (np.maximum(patella - 2.2, -40 - y), 0.58),
        (np.maximum(tibia - 2.2, -9 - z), 0.55),
        (meniscus, 0.10),
        (tendon, 0.09),
        (np.minimum.reduce([femur, tibia, patella, fibula]), 0.08),  # cortical bone
        (np.minimum.reduce([femur, tibia, patella, fibula]) + 1.5, 0.72),  # marrow
        (_ellipsoid(points, (24, 12, 8), (7, 8, 5)), 0.45),  # a lesion in the medial condyle
    ):
        inside = _inside(distance)
        signal = signal * (1 - inside) + value * inside
    return signal


def head_signal(points: Array) -> Array:
    """Signal of the head phantom, 0 to 1, at `points` (..., 3) in patient LPS, mm."""
    signal = np.zeros(points.shape[:-1])
    for distance, value in (
        (_ellipsoid(points, (0, 0, 0), (76, 96, 88)), 0.8),
        (_ellipsoid(points, (0, 0, 0), (70, 90, 82)), 0.08),
        (_ellipsoid(points, (0, 0, 0), (65, 84, 76)), 0.45),
        (_ellipsoid(points, (0, 4, 0), (52, 70, 62)), 0.6),
        (np.minimum(_ellipsoid(points, (-10, 0, 8), (6, 24, 12)), _ellipsoid(points, (11, 2, 8), (7, 25, 12))), 0.15),
    ):
        inside = _inside(distance, 1.0)
        signal = signal * (1 - inside) + value * inside
    return signal


@dataclass(frozen=True)
class Stack:
    """A stack of parallel slices in patient space."""

    slices: int
    rows: int
    columns: int
    pixel_mm: float
    spacing_mm: float  # from slice centre to slice centre
    thickness_mm: float
    row: tuple[float, float, float]  # direction of a row, i.e. of increasing column (LPS)
    column: tuple[float, float, float]  # direction of a column, i.e. of increasing row (LPS)

    def position(self, index: float) -> Array:
        """Centre of the upper left pixel of slice `index`, LPS mm; the stack is centred at the origin."""
        row, column = np.array(self.row), np.array(self.column)
        normal = np.cross(row, column)
        corner = -(self.columns - 1) / 2 * self.pixel_mm * row - (self.rows - 1) / 2 * self.pixel_mm * column
        return np.asarray(corner + (index - (self.slices - 1) / 2) * self.spacing_mm * normal)

    def sample(self, signal: Callable[[Array], Array], index: float, profile: int = 5) -> Array:
        """`signal` on slice `index`, (rows, columns), averaged over the slice's thickness at `profile` depths."""
        row, column = np.array(self.row), np.array(self.column)
        normal = np.cross(row, column)
        grid = (
            self.position(index)
            + np.arange(self.rows)[:, None, None] * self.pixel_mm * column
            + np.arange(self.columns)[None, :, None] * self.pixel_mm * row
        )
        depths = ((np.arange(profile) + 0.5) / profile - 0.5) * self.thickness_mm
        return np.asarray(np.mean([signal(grid + depth * normal) for depth in depths], axis=0))


# sagittal, tilted by 7 degrees about the long axis of the leg as a technologist would along the lateral condyle
KNEE_STACK = Stack(24, 160, 160, 1.0, 4.0, 3.0, (-0.121869, 0.992546, 0.0), (0.0, 0.0, -1.0))
HEAD_STACK = Stack(8, 128, 128, 1.8, 6.0, 5.0, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
KNEE_SCALE = 1400.0  # stored value of signal 1
HAND_SHAPE = (1000, 800)  # small, so that the demo is quick
NOISE = 0.012  # of the full signal


def _write_mr(
    folder: Path,
    study: str,
    series: int,
    stack: Stack,
    signal: Callable[[Array], Array],
    body_part: str,
    description: str,
    protocol: str,
    left_out: tuple[int, ...] = (),
) -> None:
    generator = np.random.default_rng(series)
    for index in sorted(set(range(stack.slices)) - set(left_out)):
        ds = _instance(study, series, index + 1, MRImageStorage, "MR")
        ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        ds.BodyPartExamined, ds.SeriesDescription, ds.ProtocolName = body_part, description, protocol
        if body_part == "KNEE":
            ds.Laterality = "R"
        ds.PatientPosition = "FFS" if body_part == "KNEE" else "HFS"
        ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "SE", "SK", ""
        ds.MRAcquisitionType, ds.EchoTrainLength, ds.MagneticFieldStrength = "2D", "8", "1.5"
        ds.RepetitionTime, ds.EchoTime, ds.FlipAngle, ds.NumberOfAverages = "2800", "32", "90", "1"
        ds.SliceThickness, ds.SpacingBetweenSlices = f"{stack.thickness_mm:g}", f"{stack.spacing_mm:g}"
        ds.PixelSpacing = [stack.pixel_mm, stack.pixel_mm]
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid(study, "frame"), ""
        ds.ImageOrientationPatient = [*stack.row, *stack.column]
        ds.ImagePositionPatient = [round(float(value), 5) for value in stack.position(index)]
        ds.ImagesInAcquisition, ds.AcquisitionNumber = str(stack.slices - len(left_out)), "1"
        clean = stack.sample(signal, index)
        noise = generator.normal(0, NOISE, (2, *clean.shape))
        _pixels(ds, KNEE_SCALE * np.hypot(clean + noise[0], noise[1]), 12)  # magnitude images: Rician
        ds.WindowCenter, ds.WindowWidth = "650", "1300"
        _save(ds, folder / f"MR{series:02d}{index + 1:03d}.dcm")


def write_knee(folder: Path) -> None:
    """A right knee, sagittal, 24 slices 3 mm thick every 4 mm."""
    _write_mr(folder, "knee", 4, KNEE_STACK, knee_signal, "KNEE", "PD SAG", "KNEE ROUTINE")


def write_knee_with_gap(folder: Path) -> None:
    """The same knee, coarser, with two slices of its middle not there."""
    stack = Stack(14, 128, 128, 1.25, 6.0, 5.0, KNEE_STACK.row, KNEE_STACK.column)
    _write_mr(folder, "knee gap", 3, stack, knee_signal, "KNEE", "PD SAG INCOMPLETE", "KNEE ROUTINE", (6, 7))


def write_knee_localizer(folder: Path) -> None:
    """Three sagittal slices far apart."""
    stack = Stack(3, 128, 128, 1.4, 20.0, 6.0, KNEE_STACK.row, KNEE_STACK.column)
    _write_mr(folder, "knee scout", 1, stack, knee_signal, "KNEE", "SAG 3 SLICES", "KNEE ROUTINE")


def write_head(folder: Path) -> None:
    """A head, axial, 8 slices 5 mm thick every 6 mm."""
    _write_mr(folder, "head", 2, HEAD_STACK, head_signal, "HEAD", "T2 AX", "HEAD ROUTINE")


# ---- what nobody asked for
def write_chest(folder: Path) -> None:
    """One chest radiograph (CR)."""
    rows, columns = 320, 288
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    right = np.hypot((x + 0.42) / 0.34, (y + 0.05) / 0.68)
    left = np.hypot((x - 0.42) / 0.32, (y + 0.05) / 0.66)
    lungs = _inside(np.minimum(right, left) - 1, 0.1)
    heart = _inside(np.hypot((x - 0.12) / 0.3, (y - 0.32) / 0.3) - 1, 0.1)
    ribs = 0.5 + 0.5 * np.cos((y + 0.25 * x**2) * 26)
    ds = _instance("chest", 1, 1, ComputedRadiographyImageStorage, "CR")
    ds.BodyPartExamined, ds.ViewPosition, ds.SeriesDescription = "CHEST", "PA", "CHEST PA"
    ds.ImageType, ds.PatientOrientation = ["ORIGINAL", "PRIMARY"], ["L", "F"]
    ds.PixelSpacing = ds.ImagerPixelSpacing = [1.2, 1.2]
    _pixels(ds, 900 + 1500 * (1 - lungs * (0.75 - 0.15 * ribs)) + 500 * heart, 12)
    ds.WindowCenter, ds.WindowWidth = "1900", "2400"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    _save(ds, folder / "CR.dcm")


def write_abdomen(folder: Path) -> None:
    """One abdominal ultrasound still (US)."""
    rows, columns = 240, 320
    y, x = np.mgrid[0:rows, 0:columns].astype(float)
    depth, angle = np.hypot(x - columns / 2, y + 30), np.arctan2(x - columns / 2, y + 30)
    fan = (np.abs(angle) < 0.6) & (depth > 40) & (depth < 250)
    speckle = np.random.default_rng(7).rayleigh(0.5, (rows, columns))
    cyst = _inside(np.hypot((x - 190) / 28, (y - 110) / 20) - 1, 0.05)
    picture = fan * speckle * (120 - 0.25 * depth) * (1 - 0.95 * cyst)
    ds = _instance("abdomen", 1, 1, UltrasoundImageStorage, "US")
    ds.SeriesDescription, ds.BodyPartExamined = "LIVER", "ABDOMEN"
    ds.ImageType, ds.PatientOrientation = ["ORIGINAL", "PRIMARY", "ABDOMINAL"], ""
    _pixels(ds, np.repeat(picture[..., None], 3, axis=2), 8)
    ds.LossyImageCompression = "00"
    _save(ds, folder / "US.dcm")


def write_finger(folder: Path) -> None:
    """A cine of a simulated second metacarpophalangeal joint with power Doppler (US, 16 frames)."""
    from pipelines.joint_classification.simulation.sample import demo_cine

    frames, box = demo_cine()
    write_cine(folder / "US.dcm", frames, box, 0.07)


def write_cine(path: Path, frames: NDArray[np.uint8], box: tuple[int, int, int, int], pixel_mm: float) -> None:
    """One multi-frame ultrasound of the left MCP2; `frames` is (N, H, W, 3) RGB, `box` its calibrated region."""
    ds = _instance("finger", 1, 1, UltrasoundMultiFrameImageStorage, "US")
    ds.StudyDescription, ds.SeriesDescription = "Simulated finger joint ultrasound", "MCP2 dorsal long"
    ds.BodyPartExamined, ds.Laterality = "HAND", "L"
    ds.ImageType, ds.PatientOrientation = ["ORIGINAL", "PRIMARY", "MUSCULOSKELETAL"], ""
    _pixels(ds, frames[0], 8)
    ds.PixelData = frames.tobytes()
    ds.NumberOfFrames, ds.FrameTime = str(len(frames)), "40"
    ds.FrameIncrementPointer = pydicom.datadict.tag_for_keyword("FrameTime")
    ds.LossyImageCompression, ds.BurnedInAnnotation, ds.UltrasoundColorDataPresent = "00", "NO", 1
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0  # 2D tissue
    region.RegionLocationMinX0, region.RegionLocationMinY0 = box[0], box[1]
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = box[2], box[3]
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX = region.PhysicalDeltaY = pixel_mm / 10
    ds.SequenceOfUltrasoundRegions = [region]
    _save(ds, path)


# ---- hands and feet
def write_hands_and_feet(folder: Path) -> None:
    """Both hands and both feet of one patient with simulated rheumatoid arthritis, one film (DX) each."""
    from pipelines.hand_foot_scoring.simulation.sample import (  # brings scipy: only when it is sent
        LIMBS,
        film_of,
        stored,
    )

    for number, (part, side) in enumerate(LIMBS, start=1):
        film = film_of(part, side, 40 + number, severity=0.6, shape=HAND_SHAPE)
        ds = _instance("hands and feet", number, 1, DigitalXRayImageStorageForPresentation, "DX")
        view = "PA" if part == "hand" else "AP"
        ds.SeriesDescription = f"SIMULATED {part.upper()} {side} {view}"
        ds.StudyDescription = "Simulated hands and feet"
        ds.BodyPartExamined, ds.ViewPosition, ds.ImageLaterality = part.upper(), view, side
        ds.ImageType, ds.PresentationIntentType = ["ORIGINAL", "PRIMARY", ""], "FOR PRESENTATION"
        ds.PatientOrientation = ["L", "F"] if part == "hand" else ["R", "H"]
        ds.ImagerPixelSpacing = ds.PixelSpacing = [round(film.pixel_mm, 4)] * 2
        ds.PixelSpacingCalibrationType, ds.PixelSpacingCalibrationDescription = "GEOMETRY", "simulated"
        ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType, ds.PresentationLUTShape = "0", "1", "US", "IDENTITY"
        ds.LossyImageCompression, ds.BurnedInAnnotation = "00", "NO"
        ds.DetectorType, ds.DetectorDescription, ds.PositionerType = "DIRECT", "", "NONE"
        ds.AnatomicRegionSequence = [_coded(*{"hand": ("85562004", "Hand"), "foot": ("56459004", "Foot")}[part])]
        views = {"PA": ("272479007", "postero-anterior"), "AP": ("399348003", "antero-posterior")}
        ds.ViewCodeSequence = [_coded(*views[view])]
        ds.ViewCodeSequence[0].ViewModifierCodeSequence = []
        ds.AcquisitionContextSequence = []
        _pixels(ds, stored(film, "SIMULATED"), 12)
        ds.WindowCenter, ds.WindowWidth = "1900", "3400"
        _save(ds, folder / f"DX{number}.dcm")


def _coded(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def write_metacarpal(folder: Path) -> None:
    """A simulated HR-pQCT of a second metacarpal head with erosions, 96 slices of 128 x 128 (CT)."""
    from pipelines.joint_classification.simulation.sample import demo_head

    density, spacing_mm = demo_head()  # (D, H, W), shaft first
    for index, plane in enumerate(density):
        ds = _instance("metacarpal", 1, index + 1, CTImageStorage, "CT")
        ds.StudyDescription, ds.SeriesDescription = "Simulated metacarpal HR-pQCT", "MCP2 HR-pQCT"
        ds.BodyPartExamined, ds.Laterality, ds.ImageType = "HAND", "L", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.PatientPosition, ds.KVP, ds.AcquisitionNumber = "FFS", "60", "1"
        ds.SliceThickness = f"{spacing_mm:g}"
        ds.PixelSpacing = [spacing_mm, spacing_mm]
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid("metacarpal", "frame"), ""
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [0, 0, round(index * spacing_mm, 4)]
        _pixels(ds, 1000 * plane + 500, 12)
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-500", "1", "US"
        ds.WindowCenter, ds.WindowWidth = "500", "1200"
        _save(ds, folder / f"CT{index + 1:03d}.dcm")


# ---- real
def _shared(part: str) -> bool:
    return (SHARED_DATA / part).is_dir()


def _copy_shared(part: str, folder: Path) -> None:
    for path in sorted((SHARED_DATA / part).glob("*.dcm")):
        (folder / path.name).write_bytes(path.read_bytes())


# ---- the patient's record
def knee_record() -> dict[str, Any]:
    """A simulated record of the patient of `write_knee`, three years long, as a FHIR R4 bundle."""
    from pipelines.knee_oa_risk.simulation.sample import (  # brings torch: only when it is sent
        demo_person,
        patient_bundle,
    )

    people, person = demo_person()
    return patient_bundle(people, person, "DEMO-KNEE", "Phantom", "Knee", date(2026, 1, 5), date(1961, 2, 14))


KNEE, RISK, SCORES = "knee_super_resolution", "knee_oa_risk", "hand_foot_scoring"
JOINTS = "joint_classification"

SAMPLES: tuple[Sample, ...] = (
    Sample(
        "knee MR, 24 slices every 4 mm (phantom), and the patient's record (simulated)",
        write_knee,
        (Expected(KNEE, derived_series=1), Expected(RISK)),
        record=knee_record,
    ),
    Sample(
        "knee MR, 4 echoes of 24 slices (real, GE 3 T)",
        partial(_copy_shared, "mr/knee-mese-t2-ge"),
        (Expected(KNEE, derived_series=4),),
        real=True,
        available=partial(_shared, "mr/knee-mese-t2-ge"),
    ),
    Sample(
        "hands and feet, 4 radiographs of a patient with rheumatoid arthritis (simulated)",
        write_hands_and_feet,
        (Expected(SCORES),),
    ),
    Sample("finger joint US, a cine of 16 frames with Doppler (simulated)", write_finger, (Expected(JOINTS),)),
    Sample("metacarpal head HR-pQCT, 96 slices of 0.12 mm (simulated)", write_metacarpal, (Expected(JOINTS),)),
    # due, but not possible (a slice is missing, the patient has no record): captures and reports say so in the archive
    Sample("knee MR, two slices missing (phantom)", write_knee_with_gap, (Expected(KNEE), Expected(RISK))),
    Sample("knee MR, 3 slices (phantom)", write_knee_localizer, (Expected(RISK),)),
    Sample("head MR (phantom)", write_head),
    Sample("chest CR (phantom)", write_chest),
    Sample("abdomen US (phantom)", write_abdomen),
)
