"""Simulated source studies, made by formula: for the examples, the demo and the tests. None of them shows a patient.

Every picture is asymmetric in each direction, so that a flip shows.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundImageStorage,
)

from dicom_sr.decimal_string import decimal
from dicom_sr.findings import Volume
from dicom_sr.uids import uid


@dataclass(frozen=True)
class Person:
    """Whose study is simulated."""

    patient_id: str = "SIM-0001"
    patient_name: str = "Simulated^Phantom"
    sex: str = "O"
    birth_date: str = "19600229"


def study_header(person: Person, study: str, description: str, date: str = "20261120") -> Dataset:
    """Patient and study elements that all instances of one simulated study share.

    Parameters
    ----------
    person
        Whose study it is.
    study
        What its StudyInstanceUID and AccessionNumber are made from.
    description
        StudyDescription.
    date
        StudyDate, YYYYMMDD.
    """
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = person.patient_name, person.patient_id, "CONDYLE-SIMULATED"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = person.birth_date, person.sex, "066Y"
    ds.StudyInstanceUID = uid("2.25", "phantom", person.patient_id, study)
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = date, "093000", "S1", f"A{study[:12].upper()}"
    ds.ReferringPhysicianName, ds.StudyDescription = "Simulated^Referrer", description
    return ds


def write_instance(ds: Dataset, folder: Path, filename: str) -> Path:
    """Write `ds` as a Part 10 file, Explicit VR Little Endian.

    Parameters
    ----------
    ds
        The data set; its file meta information is made here.
    folder
        Made where it is absent.
    filename
        Of the file in it.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.file_meta, ds.preamble = meta, b"\0" * 128
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / filename
    ds.save_as(path, enforce_file_format=True)
    return path


def series_header(study: Dataset, modality: str, number: int, description: str, body_part: str, side: str) -> Dataset:
    """Series and equipment elements on top of a study's.

    Parameters
    ----------
    study
        What `study_header` gives.
    modality
        Modality.
    number
        SeriesNumber, which the SeriesInstanceUID is made from too.
    description
        SeriesDescription.
    body_part
        BodyPartExamined.
    side
        Laterality, R or L.
    """
    ds = Dataset()
    ds.update(study)
    ds.Modality, ds.SeriesNumber, ds.SeriesDescription = modality, number, description
    ds.SeriesInstanceUID = uid("2.25", "phantom", str(study.StudyInstanceUID), "series", str(number))
    ds.SeriesDate, ds.SeriesTime = ds.StudyDate, ds.StudyTime
    ds.Manufacturer, ds.ManufacturerModelName = "Simulation", "Phantom"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "0", "1"
    ds.BodyPartExamined = body_part
    ds.Laterality = side
    return ds


def _instance(series: Dataset, sop_class: str, number: int, pixels: NDArray[np.generic], bits: int) -> Dataset:
    ds = Dataset()
    ds.update(series)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = uid("2.25", "phantom", str(series.SeriesInstanceUID), "instance", str(number))
    ds.InstanceNumber = number
    ds.ContentDate, ds.ContentTime = ds.StudyDate, ds.StudyTime
    ds.AcquisitionDate, ds.AcquisitionTime = ds.StudyDate, ds.StudyTime
    ds.Rows, ds.Columns = pixels.shape[:2]
    allocated = pixels.dtype.itemsize * 8
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    ds.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    ds["PixelData"].VR = "OB" if allocated == 8 else "OW"
    return ds


# ---- knee MR
def knee(shape: tuple[int, int, int] = (24, 128, 128)) -> NDArray[np.uint16]:
    """A knee-like sagittal volume (D, H, W): femur above, tibia below, patella in front, cartilage between.

    D runs from right to left, H downwards, W from front to back.
    """
    d, h, w = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij", sparse=True)
    body = ((w / 0.92) ** 2 + (d / 0.98) ** 2 < 1.0) * np.ones_like(h)
    image = 180.0 * body
    femur = ((w - 0.08) / (0.42 + 0.10 * d)) ** 2 + ((h + 0.28) / 0.34) ** 2 + (d / 0.85) ** 2 < 1
    shaft = (((w - 0.05) / 0.24) ** 2 + (d / 0.55) ** 2 < 1) & (h < -0.30)
    tibia = (((w - 0.10) / 0.46) ** 2 + (d / 0.80) ** 2 < 1) & (h > 0.16) & (h < 0.85 - 0.2 * w)
    patella = ((w + 0.55) / 0.13) ** 2 + ((h + 0.18) / 0.22) ** 2 + (d / 0.42) ** 2 < 1
    cartilage = (
        (((w - 0.08) / (0.47 + 0.10 * d)) ** 2 + ((h + 0.28) / 0.39) ** 2 + (d / 0.90) ** 2 < 1) & ~femur & (h > -0.1)
    )
    meniscus = ((w + 0.22) / 0.16) ** 2 + ((h - 0.13) / 0.05) ** 2 + ((d - 0.35) / 0.40) ** 2 < 1
    lesion = ((w - 0.32) / 0.07) ** 2 + ((h + 0.22) / 0.07) ** 2 + ((d + 0.4) / 0.25) ** 2 < 1
    for mask, value in (
        (shaft, 520),
        (femur, 560),
        (tibia, 540),
        (patella, 500),
        (cartilage, 850),
        (meniscus, 90),
        (lesion, 980),
    ):
        image = np.where(mask & (body > 0), value, image)
    ripple = 18 * np.sin(23 * w + 5 * h) * np.cos(17 * h - 3 * d)
    noise = np.random.default_rng(7).normal(0, 9, shape)
    return np.asarray(np.clip(np.rint(image + body * ripple + np.abs(noise)), 0, 4095), np.uint16)


def knee_geometry(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Affine (4, 4) of a sagittal stack, index (d, h, w) to LPS mm: d to the left, h to the feet, w to the back."""
    affine = np.eye(4)
    affine[:3, 0] = np.array([1.0, 0.0, 0.0]) * spacing_mm[0]
    affine[:3, 1] = np.array([0.0, 0.0, -1.0]) * spacing_mm[1]
    affine[:3, 2] = np.array([0.0, 1.0, 0.0]) * spacing_mm[2]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + np.array([60.0, 10.0, 5.0])
    return affine


def write_knee_mr(
    folder: Path,
    study: Dataset,
    shape: tuple[int, int, int] = (24, 128, 128),
    spacing_mm: tuple[float, float, float] = (4.0, 1.25, 1.25),
    echo_times_ms: tuple[float, ...] = (30.0,),
    number: int = 4,
    side: str = "R",
) -> list[Path]:
    """A sagittal thick-slice knee series, one instance per slice and echo, echoes interleaved as scanners do.

    Parameters
    ----------
    folder
        Where the files go.
    study
        What `study_header` gives.
    shape
        Slices, rows, columns.
    spacing_mm
        Distance of neighbouring slices, rows and columns, mm.
    echo_times_ms
        One for each echo; the signal decays with 60 ms.
    number
        SeriesNumber.
    side
        Laterality, R or L.
    """
    volume = Volume(knee(shape), knee_geometry(shape, spacing_mm))
    series = series_header(study, "MR", number, "SIMULATED SAG T2 KNEE", "KNEE", side)
    series.FrameOfReferenceUID = uid("2.25", "phantom", str(study.StudyInstanceUID), "frame of reference")
    series.PositionReferenceIndicator, series.PatientPosition = "", "HFS"
    series.ImageType = ["ORIGINAL", "PRIMARY", "M_SE", "M", "SE"]
    series.ScanningSequence, series.SequenceVariant, series.ScanOptions, series.MRAcquisitionType = (
        "SE",
        "NONE",
        "",
        "2D",
    )
    series.RepetitionTime, series.EchoTrainLength, series.MagneticFieldStrength = "2500", "1", "3"
    series.SliceThickness, series.SpacingBetweenSlices = decimal(spacing_mm[0] * 0.75), decimal(spacing_mm[0])
    series.PixelSpacing = [decimal(v) for v in spacing_mm[1:]]
    series.ImageOrientationPatient = ["0", "1", "0", "0", "0", "-1"]
    series.WindowCenter, series.WindowWidth = "450", "900"
    series.QualityControlImage = "NO"
    paths = []
    for k in range(shape[0]):
        for echo, time_ms in enumerate(echo_times_ms):
            pixels = np.rint(volume.array[k] * np.exp(-(time_ms - echo_times_ms[0]) / 60)).astype(np.uint16)
            instance_number = k * len(echo_times_ms) + echo + 1
            ds = _instance(series, MRImageStorage, instance_number, pixels, 12)
            position = volume.affine[:3, 3] + k * volume.affine[:3, 0]
            ds.ImagePositionPatient = [decimal(v) for v in position]
            ds.SliceLocation = decimal(position[0])
            ds.EchoTime, ds.EchoNumbers, ds.AcquisitionNumber = decimal(time_ms), echo + 1, 1
            paths.append(write_instance(ds, folder, f"mr-{number}-{instance_number:04d}.dcm"))
    return paths


# ---- hand and foot radiographs
# (column, row) in 0..1 of a right hand, thumb at the left: PA view, fingers up
HAND_JOINTS: dict[str, tuple[float, float]] = {
    "IP1": (0.13, 0.50),
    "MCP1": (0.22, 0.61),
    "MCP2": (0.36, 0.50),
    "MCP3": (0.49, 0.475),
    "MCP4": (0.61, 0.50),
    "MCP5": (0.72, 0.545),
    "PIP2": (0.325, 0.345),
    "PIP3": (0.485, 0.30),
    "PIP4": (0.635, 0.335),
    "PIP5": (0.785, 0.415),
    "MC1B": (0.325, 0.735),
    "MULT": (0.385, 0.765),
    "NAV": (0.415, 0.815),
    "LUN": (0.505, 0.825),
    "RAD": (0.435, 0.90),
    "ULN": (0.625, 0.90),
    "CMC3": (0.475, 0.725),
    "CMC4": (0.545, 0.735),
    "CMC5": (0.61, 0.75),
    "MULTNAV": (0.40, 0.79),
    "CAPNAVLUN": (0.475, 0.785),
    "RADCARP": (0.465, 0.86),
}
_TIPS = {
    "IP1": (0.075, 0.42),
    "PIP2": (0.295, 0.19),
    "PIP3": (0.485, 0.12),
    "PIP4": (0.655, 0.17),
    "PIP5": (0.835, 0.29),
}
FOOT_JOINTS: dict[str, tuple[float, float]] = {
    "IP1": (0.27, 0.14),
    "MTP1": (0.30, 0.33),
    "MTP2": (0.43, 0.31),
    "MTP3": (0.54, 0.335),
    "MTP4": (0.64, 0.375),
    "MTP5": (0.74, 0.43),
}


def hand(rows: int = 900, columns: int = 720, side: str = "R") -> NDArray[np.uint16]:
    """A hand-like PA radiograph (H, W), 12 bit, bone bright; the left hand is the mirror of the right.

    Parameters
    ----------
    rows, columns
        Of the picture.
    side
        R or L; a left hand is the mirror image.
    """
    joints = HAND_JOINTS
    rays = [
        ["CMC3", "MCP3", "PIP3"],
        ["MULT", "MCP2", "PIP2"],
        ["CMC4", "MCP4", "PIP4"],
        ["CMC5", "MCP5", "PIP5"],
        ["MC1B", "MCP1", "IP1"],
    ]
    bones = []
    for ray in rays:
        points = [joints[name] for name in ray] + [_TIPS[ray[-1]]]
        bones += [(a, b, 0.034 - 0.006 * i) for i, (a, b) in enumerate(itertools.pairwise(points))]
    bones += [((0.43, 0.90), (0.42, 1.1), 0.065), ((0.62, 0.90), (0.63, 1.1), 0.042)]
    carpals = [joints[name] for name in ("MULT", "NAV", "LUN", "CAPNAVLUN", "CMC4", "CMC5", "MC1B")]
    picture = _bones(rows, columns, bones, carpals, palm=((0.5, 0.66), (0.26, 0.24)))
    return np.ascontiguousarray(picture[:, ::-1]) if side == "L" else picture


def foot(rows: int = 900, columns: int = 560, side: str = "R") -> NDArray[np.uint16]:
    """A foot-like AP radiograph (H, W), 12 bit, bone bright, great toe at the left for the right foot.

    Parameters
    ----------
    rows, columns
        Of the picture.
    side
        R or L; a left foot is the mirror image.
    """
    joints = FOOT_JOINTS
    bones = [(joints["IP1"], (0.26, 0.05), 0.035), (joints["MTP1"], joints["IP1"], 0.042)]
    tips = {"MTP2": (0.44, 0.10), "MTP3": (0.56, 0.13), "MTP4": (0.68, 0.19), "MTP5": (0.79, 0.27)}
    bones += [(joints[name], tip, 0.022) for name, tip in tips.items()]
    bases = {
        "MTP1": (0.37, 0.66),
        "MTP2": (0.44, 0.65),
        "MTP3": (0.51, 0.67),
        "MTP4": (0.58, 0.70),
        "MTP5": (0.66, 0.74),
    }
    bones += [(joints[name], base, 0.05 if name == "MTP1" else 0.028) for name, base in bases.items()]
    tarsals = [(0.40, 0.74), (0.47, 0.75), (0.55, 0.79), (0.45, 0.84), (0.55, 0.90)]
    picture = _bones(rows, columns, bones, tarsals, palm=((0.5, 0.6), (0.27, 0.45)))
    return np.ascontiguousarray(picture[:, ::-1]) if side == "L" else picture


Point = tuple[float, float]


def _bones(
    rows: int,
    columns: int,
    bones: list[tuple[Point, Point, float]],
    blobs: list[Point],
    palm: tuple[Point, Point],
) -> NDArray[np.uint16]:
    """Capsules of bone in soft tissue; radii and places are parts of the width and of width and height."""
    ratio = rows / columns
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    x, y = (x + 0.5) / columns, (y + 0.5) / columns  # both in widths
    soft = ((x - palm[0][0]) / palm[1][0]) ** 2 + ((y - palm[0][1] * ratio) / (palm[1][1] * ratio)) ** 2
    tissue = np.clip(1.4 - soft, 0, 1)
    bone = np.zeros_like(tissue)
    for start, end, radius in bones:
        distance = _distance(x, y, (start[0], start[1] * ratio), (end[0], end[1] * ratio))
        tissue = np.maximum(tissue, np.clip((2.3 * radius + 0.02 - distance) / 0.02, 0, 1))
        inside = np.clip((radius - distance) / 0.006, 0, 1)
        cortex = np.exp(-(((distance - 0.8 * radius) / (0.25 * radius)) ** 2))
        bone = np.maximum(bone, inside * (0.62 + 0.38 * cortex))
    for column, row in blobs:
        distance = np.hypot(x - column, y - row * ratio)
        bone = np.maximum(bone, np.clip((0.043 - distance) / 0.008, 0, 1) * 0.8)
    noise = np.random.default_rng(11).normal(0, 14, tissue.shape)
    grain = 40 * np.sin(90 * x + 31 * y) * np.sin(70 * y - 17 * x) * (bone > 0.1)
    return np.asarray(np.clip(np.rint(180 + 900 * tissue + 2300 * bone + grain + noise), 0, 4095), np.uint16)


def _distance(x: NDArray[np.float32], y: NDArray[np.float32], a: Point, b: Point) -> NDArray[np.float32]:
    """Distance to the line between two points, short of both ends so that a joint space stays between bones."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = np.clip(((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy), 0.10, 0.90)
    return np.asarray(np.hypot(x - (a[0] + along * dx), y - (a[1] + along * dy)), np.float32)


def write_radiograph(
    folder: Path, study: Dataset, pixels: NDArray[np.uint16], body_part: str, side: str, number: int, mm: float = 0.2
) -> Path:
    """One radiograph as Digital X-Ray Image for presentation.

    Parameters
    ----------
    folder
        Where the file goes.
    study
        What `study_header` gives.
    pixels
        (H, W), 12 bit, bone bright.
    body_part
        HAND or FOOT.
    side
        ImageLaterality, R or L.
    number
        SeriesNumber, part of the file name too.
    mm
        Width and height of a pixel.
    """
    view = "PA" if body_part == "HAND" else "AP"
    series = series_header(study, "DX", number, f"SIMULATED {body_part} {side} {view}", body_part, side)
    series.ImageType, series.PresentationIntentType = ["ORIGINAL", "PRIMARY", ""], "FOR PRESENTATION"
    ds = _instance(series, DigitalXRayImageStorageForPresentation, 1, pixels, 12)
    ds.ImagerPixelSpacing = ds.PixelSpacing = [decimal(mm), decimal(mm)]
    ds.PixelSpacingCalibrationType, ds.PixelSpacingCalibrationDescription = "GEOMETRY", "simulated"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType, ds.PresentationLUTShape = "0", "1", "US", "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = "1900", "3400"
    ds.LossyImageCompression, ds.BurnedInAnnotation = "00", "NO"
    ds.DetectorType, ds.DetectorDescription = "DIRECT", ""
    ds.PatientOrientation = ["L", "F"] if body_part == "HAND" else ["R", "H"]
    ds.ViewPosition, ds.ImageLaterality, ds.PositionerType = view, side, "NONE"
    del ds.Laterality
    ds.AnatomicRegionSequence = [_code_item(*{"HAND": ("85562004", "Hand"), "FOOT": ("56459004", "Foot")}[body_part])]
    views = {"PA": ("272479007", "postero-anterior"), "AP": ("399348003", "antero-posterior")}
    ds.ViewCodeSequence = [_code_item(*views[view])]
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = []
    ds.AcquisitionContextSequence = []
    return write_instance(ds, folder, f"dx-{number}.dcm")


def _code_item(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


# ---- joint ultrasound
def joint_ultrasound(rows: int = 480, columns: int = 640) -> NDArray[np.uint8]:
    """A B-mode-like picture of a finger joint (H, W, 3) RGB: skin, tendon, two bone surfaces, a bulging capsule."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    x, y = x / columns, y / rows
    rng = np.random.default_rng(3)
    speckle = rng.rayleigh(0.35, (rows, columns)).astype(np.float32)
    depth = np.exp(-1.4 * y)
    image = 0.32 * speckle * depth
    image += 0.9 * np.exp(-(((y - 0.06 - 0.01 * np.sin(9 * x)) / 0.014) ** 2))
    tendon = np.exp(-(((y - 0.20 - 0.03 * x) / 0.045) ** 2)) * (0.55 + 0.45 * np.sin(260 * (y - 0.03 * x)))
    image += 0.42 * tendon
    left = 0.50 + 0.9 * (x - 0.28) ** 2
    right = 0.55 + 1.3 * (x - 0.76) ** 2
    for surface, where in ((left, x < 0.46), (right, x > 0.53)):
        image += where * 1.1 * np.exp(-(((y - surface) / 0.013) ** 2))
        image *= np.where(where & (y > surface + 0.02), 0.25, 1.0)
    capsule = ((x - 0.50) / 0.16) ** 2 + ((y - 0.42) / 0.085) ** 2 < 1
    image = np.where(capsule, 0.35 * image + 0.06 * speckle, image)
    fan = (x > 0.06) & (x < 0.94) & (y > 0.03) & (y < 0.94)
    grey = np.asarray(255 * np.where(fan, np.clip(image, 0, 1), 0), np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def write_ultrasound(folder: Path, study: Dataset, pixels: NDArray[np.uint8], number: int = 2, side: str = "L") -> Path:
    """One colour ultrasound image with its calibrated region (PS3.3 C.8.5.5).

    Parameters
    ----------
    folder
        Where the file goes.
    study
        What `study_header` gives.
    pixels
        (H, W, 3) RGB.
    number
        SeriesNumber, part of the file name too.
    side
        Laterality, R or L.
    """
    series = series_header(study, "US", number, "SIMULATED MCP2 US", "HAND", side)
    series.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    ds = _instance(series, UltrasoundImageStorage, 1, pixels, 8)
    ds.PatientOrientation, ds.LossyImageCompression, ds.BurnedInAnnotation = "", "00", "NO"
    ds.UltrasoundColorDataPresent = 0
    region = Dataset()
    rows, columns = pixels.shape[:2]
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = int(0.06 * columns), int(0.03 * rows)
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = int(0.94 * columns) - 1, int(0.94 * rows) - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.007
    ds.SequenceOfUltrasoundRegions = [region]
    return write_instance(ds, folder, f"us-{number}.dcm")
