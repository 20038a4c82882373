"""Phantoms and small series with known answers, made in the test that uses them; asymmetric, so that a flip shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedMRImageStorage, UltrasoundMultiFrameImageStorage

from dicom_sr import codes, phantoms
from dicom_sr.findings import (
    Bar,
    BarPanel,
    DerivedVolume,
    Finding,
    ImageReference,
    Measurement,
    Model,
    Page,
    RecordReport,
    Region,
    Result,
    Site,
    Volume,
)
from dicom_sr.read.stacks import Stack, read_stack, stacks
from dicom_sr.series import Series, Study, read_studies
from dicom_sr.uids import uid
from pipelines.hand_foot_scoring.codes import SVH_ERO, SVH_JOINT
from pipelines.knee_oa_risk.codes import OA_RISK, OA_RISK_HI, OA_RISK_LO, OA_RISK_RPT, RISK_WITHIN
from pipelines.knee_super_resolution.codes import PSNR, SUPER_RESOLVED
from pipelines.svh_sites import svh_site

TRAINED_ON = "trained on simulated data, not for clinical use"
MODEL = Model("knee_super_resolution", "1.2.3", "ab" * 32, TRAINED_ON, "cd" * 32, series_base=3000)
SMALL_KNEE = (6, 24, 20)  # slices, rows, columns
KNEE_SPACING_MM = (4.0, 1.5, 1.25)


def knee_study(
    folder: Path,
    shape: tuple[int, int, int] = SMALL_KNEE,
    echo_times_ms: tuple[float, ...] = (30.0,),
    person: phantoms.Person | None = None,
) -> Study:
    """A thick-slice sagittal knee series of the right side, 12 bit."""
    header = phantoms.study_header(person or phantoms.Person(), "factory knee", "SIMULATED KNEE")
    (study,) = read_studies(phantoms.write_knee_mr(folder, header, shape, KNEE_SPACING_MM, echo_times_ms))
    return study


def knee_series(folder: Path, shape: tuple[int, int, int] = SMALL_KNEE) -> Series:
    """The series of `knee_study`."""
    return knee_study(folder, shape).series[0]


def changed(study: Study, change: Callable[[int, Dataset], Dataset | None]) -> Study:
    """The study with every instance changed on disk by `change(index, data set)`; None deletes the instance."""
    paths = []
    for index, instance in enumerate(study.instances):
        ds = change(index, pydicom.dcmread(instance.path))
        if ds is None:
            instance.path.unlink()
            continue
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.save_as(instance.path, enforce_file_format=True)
        paths.append(instance.path)
    (again,) = read_studies(paths)
    return again


def as_written(ds: Dataset, keyword: str, text: str) -> None:
    """Put a value into `ds` that pydicom would not take, byte by byte as a device wrote it."""
    value = text.encode() + b" " * (len(text.encode()) % 2)
    tag, vr = Tag(keyword), dictionary_VR(keyword)
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)


def radiograph_study(folder: Path, limb: str = "hand", side: str = "L", rows: int = 120) -> Study:
    """One hand or foot radiograph, 12 bit, for presentation."""
    header = phantoms.study_header(phantoms.Person("SIM-DX"), "factory dx", "SIMULATED RADIOGRAPH")
    make = phantoms.hand if limb == "hand" else phantoms.foot
    pixels = make(rows, round(rows * 0.8), side)
    (study,) = read_studies([phantoms.write_radiograph(folder, header, pixels, limb.upper(), side, 1)])
    return study


def ultrasound_study(folder: Path) -> Study:
    """One colour ultrasound image with a calibrated region."""
    header = phantoms.study_header(phantoms.Person("SIM-US"), "factory us", "SIMULATED ULTRASOUND")
    (study,) = read_studies([phantoms.write_ultrasound(folder, header, phantoms.joint_ultrasound(120, 160))])
    return study


def cine_study(folder: Path, shape: tuple[int, int, int] = (5, 7, 9)) -> Study:
    """A grey ultrasound cine (frames, rows, columns) whose frames have no place in space."""
    frames, rows, columns = shape
    ds = Dataset()
    ds.update(phantoms.study_header(phantoms.Person("SIM-CINE"), "factory cine", "SIMULATED CINE"))
    ds.SOPClassUID, ds.Modality = UltrasoundMultiFrameImageStorage, "US"
    ds.SeriesInstanceUID, ds.SOPInstanceUID = uid("2.25", "factory cine series"), uid("2.25", "factory cine 1")
    ds.SeriesNumber, ds.InstanceNumber, ds.BodyPartExamined = 3, 1, "HAND"
    ds.ImageType, ds.Manufacturer = ["ORIGINAL", "PRIMARY"], "Simulation"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = rows, columns, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.NumberOfFrames, ds.FrameTime, ds.FrameIncrementPointer = frames, "40", Tag("FrameTime")
    pixels = (np.arange(frames * rows * columns) % 251).astype(np.uint8).tobytes()
    ds.PixelData = pixels + b"\0" * (len(pixels) % 2)
    ds["PixelData"].VR = "OB"
    (study,) = read_studies([phantoms.write_instance(ds, folder, "cine.dcm")])
    return study


def doubled(stack: Stack) -> DerivedVolume:
    """Twice the slices of a stack, by linear interpolation; the first one is the first source slice."""
    source = read_stack(stack, stored=True)
    count = 2 * len(source.array) - 1
    positions = np.arange(count) / 2
    low = np.minimum(positions.astype(int), len(source.array) - 2)
    part = (positions - low)[:, None, None].astype(np.float32)
    array = (1 - part) * source.array[low] + part * source.array[low + 1]
    affine = source.affine.copy()
    affine[:3, 0] /= 2
    volume = Volume(array, affine)
    sources = tuple((int(k), int(k) + 1) for k in low)
    return DerivedVolume(
        volume,
        stack.references,
        sources,
        stack.label,
        "Linear interpolation along the slice axis, factor 2",
        (codes.SPATIAL_RESAMPLING, SUPER_RESOLVED),
        volume.spacing_mm[0],
        Volume((0.01 * array).astype(np.float32), affine),
    )


def knee_result(study: Study, model: Model = MODEL) -> Result:
    """A super-resolution result on every stack of the study's only series."""
    series = study.series[0]
    found = stacks(series)
    findings = tuple(
        Finding(
            f"Quality {number}",
            codes.IMAGE_QUALITY,
            Site(codes.KNEE, "R"),
            measurements=(Measurement(PSNR, 41.25, codes.DECIBEL, 0.5, (40.1, 42.3)),),
            images=stack.references,
        )
        for number, stack in enumerate(found)
    )
    derived = tuple(doubled(stack) for stack in found)
    return Result(model, "Knee MR super-resolution", (series,), ("Slices doubled.",), findings, derived=derived)


def square(centre: tuple[float, float], half: float) -> NDArray[np.float64]:
    """A closed square round a point, (5, 2) column and row."""
    x, y = centre
    corners = [(-half, -half), (half, -half), (half, half), (-half, half), (-half, -half)]
    return np.array([(x + dx, y + dy) for dx, dy in corners])


def joint_result(study: Study, centre: tuple[float, float] = (40.0, 30.0)) -> Result:
    """A scored joint on a radiograph."""
    reference = ImageReference(study.instances[0].sop_instance_uid)
    site = svh_site("hand", "MCP2")
    finding = Finding(
        "SvH L MCP2",
        SVH_JOINT,
        Site(site.region, "L", site.modifier),
        Region(reference, square(centre, 8)),
        (Measurement(SVH_ERO, 2.4, codes.score_range(5), 0.4),),
        image_label="MCP2 E2",
    )
    model = Model("hand_foot_scoring", "1.0", "ab" * 32, TRAINED_ON, series_base=3100)
    return Result(model, "Hand and foot scoring", study.series, ("One joint scored.",), (finding,))


def record_result(study: Study) -> Result:
    """A risk from the record, put into the patient's study."""
    horizons = {1: (0.04, 0.02, 0.07), 2: (0.08, 0.05, 0.12), 5: (0.21, 0.15, 0.29)}
    measurements = tuple(
        Measurement(RISK_WITHIN[years], value, codes.NO_UNITS, interval=(low, high))
        for years, (value, low, high) in horizons.items()
    )
    finding = Finding("Knee OA risk", OA_RISK, Site(codes.KNEE_JOINT), None, measurements)
    bars = tuple(Bar(f"within {years} y", value, (low, high)) for years, (value, low, high) in horizons.items())
    return Result(
        Model("knee_oa_risk", "1.0", "ab" * 32, TRAINED_ON, series_base=9300),
        "Knee osteoarthritis risk",
        study.series,
        ("Risk of knee osteoarthritis within 5 years: 21 %.",),
        (finding,),
        pages=(Page("Knee osteoarthritis risk", (BarPanel("Risk of a first diagnosis", bars, (0.0, 0.4)),)),),
        limits=("From the record alone: no image was used.",),
        parameters=(("contribution to the 5-year risk, Body mass index 31", "+0.044"),),
        from_record=RecordReport(OA_RISK_RPT, OA_RISK_LO, OA_RISK_HI),
    )


def enhanced_mr(
    folder: Path,
    shape: tuple[int, int, int] = (5, 8, 6),
    echo_times_ms: tuple[float, ...] = (10.0,),
    rescale_slopes: tuple[float, ...] | None = None,
) -> tuple[Series, NDArray[np.uint16]]:
    """An Enhanced MR object, frames of all echoes of a position together, last position first; and its voxels.

    The voxels are (echoes, D, H, W) as stored, in ascending position.
    """
    depth, rows, columns = shape
    stored = np.arange(len(echo_times_ms) * depth * rows * columns, dtype=np.uint16)
    voxels = stored.reshape(len(echo_times_ms), depth, rows, columns)
    ds = Dataset()
    ds.update(phantoms.study_header(phantoms.Person("SIM-EMR"), "factory enhanced", "SIMULATED ENHANCED"))
    ds.SOPClassUID, ds.Modality = EnhancedMRImageStorage, "MR"
    ds.SeriesInstanceUID, ds.SOPInstanceUID = uid("2.25", "factory enhanced series"), uid("2.25", "factory enhanced 1")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid("2.25", "factory enhanced frame"), ""
    ds.SeriesNumber, ds.InstanceNumber = 3, 1
    ds.Manufacturer, ds.ManufacturerModelName, ds.BodyPartExamined = "Simulation", "Enhanced", "KNEE"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    ds.EchoPulseSequence, ds.MRAcquisitionType, ds.MagneticFieldStrength = "SPIN", "2D", 3.0
    ds.AcquisitionDateTime = "20261120093000"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = rows, columns, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=["0.5", "0.75"], SliceThickness="2.5")]
    shared.MRTimingAndRelatedParametersSequence = [_item(RepetitionTime="2000", FlipAngle="90", EchoTrainLength=1)]
    ds.SharedFunctionalGroupsSequence = [shared]
    frames, planes = [], []
    for k in reversed(range(depth)):
        for echo, time_ms in enumerate(echo_times_ms):
            frame = Dataset()
            frame.PlanePositionSequence = [_item(ImagePositionPatient=["10", "20", str(30 + 3 * k)])]
            frame.MREchoSequence = [_item(EffectiveEchoTime=time_ms)]
            frame.FrameContentSequence = [_item(StackID="1", InStackPositionNumber=k + 1)]
            slope = 1.0 if rescale_slopes is None else rescale_slopes[k]
            frame.PixelValueTransformationSequence = [
                _item(RescaleSlope=str(slope), RescaleIntercept="5", RescaleType="US")
            ]
            frames.append(frame)
            planes.append(voxels[echo, k])
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.NumberOfFrames = len(frames)
    ds.PixelData = np.stack(planes).tobytes()
    ds["PixelData"].VR = "OW"
    (study,) = read_studies([phantoms.write_instance(ds, folder, "enhanced.dcm")])
    return study.series[0], voxels


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
