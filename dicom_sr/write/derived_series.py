"""A new classic MR series from a derived volume, in the frame of reference of its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from dicom_sr import codes
from dicom_sr.decimal_string import decimal
from dicom_sr.errors import EncodingError
from dicom_sr.findings import DerivedVolume, Result, Volume
from dicom_sr.header_numbers import number_in, numbers_in, one_rescale, whole_number_in
from dicom_sr.photometric import least_is_white
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance
from dicom_sr.read.frames import frame_header
from dicom_sr.read.headers import chosen, coded
from dicom_sr.write.explicit_vr import SharedElements, encoded_item, encoded_sequence
from dicom_sr.write.finish import finish, write
from dicom_sr.write.part10 import pixel_data
from dicom_sr.write.references import frame_of_reference, stand_in

# what describes the acquisition and is true of the derived slices too; nothing else is copied
COPIED = (
    # General Series, General Acquisition, General Image
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "PatientPosition",
    "ProtocolName",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "AcquisitionNumber",
    "QualityControlImage",
    "RecognizableVisualFeatures",
    # Frame of Reference, but for its UID
    "PositionReferenceIndicator",
    # MR Image, PS3.3 C.8.3.1
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "EchoTrainLength",
    "InversionTime",
    "TriggerTime",
    "SequenceName",
    "AngioFlag",
    "NumberOfAverages",
    "ImagingFrequency",
    "ImagedNucleus",
    "EchoNumbers",
    "MagneticFieldStrength",
    "NumberOfPhaseEncodingSteps",
    "PercentSampling",
    "PercentPhaseFieldOfView",
    "PixelBandwidth",
    "NominalInterval",
    "BeatRejectionFlag",
    "LowRRValue",
    "HighRRValue",
    "IntervalsAcquired",
    "IntervalsRejected",
    "PVCRejection",
    "SkipBeats",
    "HeartRate",
    "CardiacNumberOfImages",
    "TriggerWindow",
    "ReconstructionDiameter",
    "ReceiveCoilName",
    "TransmitCoilName",
    "AcquisitionMatrix",
    "InPlanePhaseEncodingDirection",
    "FlipAngle",
    "SAR",
    "VariableFlipAngleFlag",
    "dBdt",
    "B1rms",
    # Contrast/Bolus
    "ContrastBolusAgent",
    "ContrastBolusRoute",
    "ContrastBolusVolume",
)
# Type 1 and Type 2 of the MR Image module, for sources that lack them
_REQUIRED = {
    "ScanningSequence": "RM",
    "SequenceVariant": "NONE",
    "ScanOptions": "",
    "MRAcquisitionType": "",
    "EchoTime": "",
    "EchoTrainLength": "",
    "RepetitionTime": "",
    "PositionReferenceIndicator": "",
    "PatientPosition": "",
}
_GRID_TOLERANCE_MM = 1e-3  # over the whole image; within it the decimal strings of the source are reused


def encode_derived(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """Every derived volume of the result as a classic MR series."""
    volumes = getattr(provenance.result, "derived", ())
    return tuple(one for index, derived in enumerate(volumes) for one in _series(provenance, folder, index, derived))


def _series(provenance: Provenance, folder: Path, index: int, derived: DerivedVolume) -> Iterator[EncodedObject]:
    """Write the instances of one derived series, in the direction of the source's numbering."""
    sources = [
        frame_header(provenance.header_of[reference.sop_instance_uid], reference.frame_number or 1)
        for reference in derived.sources
    ]
    if len(derived.slice_sources) != len(derived.volume.array):
        raise EncodingError(
            f"{len(derived.volume.array)} derived slices, but sources are named for {len(derived.slice_sources)}"
        )
    common = _common(provenance, index, derived, sources)
    storage = _Storage.of(derived.volume.array, sources)
    common.update(storage.elements)
    common.update(_grid(derived.volume, sources[0]))
    shared = SharedElements(common)
    items = [encoded_item(_source_item(provenance, derived, i)) for i in range(len(sources))]
    count = len(derived.volume.array)
    for number, k in enumerate(range(count) if _ascending(sources) else reversed(range(count)), start=1):
        own = _slice(provenance, index, derived, number, k)
        its_sources = encoded_sequence("SourceImageSequence", [items[i] for i in derived.slice_sources[k]])
        own[its_sources.tag] = its_sources
        pixels = storage.stored(derived.volume.array[k])
        filename = f"derived-{index + 1}-{number:04d}.dcm"
        yield write(own, "derived_series", folder, filename, tail=pixel_data("OW", pixels), shared=shared)


def derived_references(provenance: Provenance, index: int) -> list[Dataset]:
    """What refers to the slices of the `index`-th derived series, in the order of its array, without the pixels.

    All that refer share them: they are not to be changed.
    """
    if index not in provenance.references:
        provenance.references[index] = _references(provenance, index)
    return provenance.references[index]


def _references(provenance: Provenance, index: int) -> list[Dataset]:
    result = provenance.result
    assert isinstance(result, Result)
    derived = result.derived[index]
    count, rows, columns = derived.volume.array.shape
    first = derived.sources[0]
    source = frame_header(provenance.header_of[first.sop_instance_uid], first.frame_number or 1)
    ds = _grid(derived.volume, source)
    ds.FrameOfReferenceUID = frame_of_reference(source)
    ds.SliceThickness = decimal(derived.slice_thickness_mm)
    ds.SpacingBetweenSlices = decimal(derived.volume.spacing_mm[0])
    ds.SOPClassUID, ds.Modality, ds.Rows, ds.Columns = MRImageStorage, "MR", rows, columns
    ds.StudyInstanceUID, ds.SeriesInstanceUID = provenance.study_instance_uid, series_uid(provenance, index)
    ds.SOPInstanceUID, ds.ImagePositionPatient = slice_uid(provenance, index, 0), _position(derived.volume, 0)
    shared = stand_in(ds)
    slices = []
    for k in range(count):
        one = Dataset()
        one.update(shared)
        for keyword, value in (
            ("SOPInstanceUID", slice_uid(provenance, index, k)),
            ("ImagePositionPatient", _position(derived.volume, k)),
        ):
            one[keyword] = DataElement(shared[keyword].tag, shared[keyword].VR, value)
        slices.append(one)
    return slices


def slice_uid(provenance: Provenance, index: int, k: int) -> str:
    """SOPInstanceUID of slice `k` (array index) of the `index`-th derived series.

    Parameters
    ----------
    provenance
        What all objects of the result share.
    index
        Of the derived volume among those of the result.
    k
        Index of the slice in the array.
    """
    return provenance.uid("derived_series", str(index), str(k))


def series_uid(provenance: Provenance, index: int) -> str:
    """SeriesInstanceUID of the `index`-th derived series."""
    return provenance.uid("derived_series", str(index))


def _common(provenance: Provenance, index: int, derived: DerivedVolume, sources: list[Dataset]) -> Dataset:
    """What is the same in every slice, finished."""
    first = sources[0]
    same = [
        keyword
        for keyword in COPIED
        if keyword in first and all(h.get(keyword) == first[keyword].value for h in sources)
    ]
    ds = chosen(first, same)
    for keyword, value in _REQUIRED.items():
        if ds.get(keyword) in (None, ""):
            setattr(ds, keyword, value)
    if "IR" not in ds.get("ScanningSequence", ""):  # Type 2C: only with inversion recovery
        ds.pop("InversionTime", None)
    if not {"CG", "PPG"} & set(ds.get("ScanOptions") or []):  # Type 2C: only with cardiac gating
        ds.pop("TriggerTime", None)
    ds.FrameOfReferenceUID = frame_of_reference(first)
    ds.SOPClassUID, ds.Modality = MRImageStorage, "MR"
    ds.SeriesInstanceUID = series_uid(provenance, index)
    ds.SeriesNumber = provenance.series_number("derived_series", index)
    ds.ImageType = ["DERIVED", "SECONDARY", "OTHER", "RESAMPLED"]
    ds.DerivationDescription = derived.description[:1024]
    ds.DerivationCodeSequence = [coded(code) for code in derived.derivation or (codes.SPATIAL_RESAMPLING,)]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = derived.volume.array.shape[1:]
    ds.SliceThickness = decimal(derived.slice_thickness_mm)
    ds.SpacingBetweenSlices = decimal(derived.volume.spacing_mm[0])
    windows = [w for h in sources if None not in (w := (number_in(h, "WindowCenter"), number_in(h, "WindowWidth")))]
    if any(least_is_white(header) for header in sources):
        windows = []  # they are of values that have been turned
    if windows:  # one window for the series: per slice it flickers
        centre, width = np.median(np.array(windows, np.float64), axis=0)
        ds.WindowCenter, ds.WindowWidth = decimal(float(centre)), decimal(float(width))
    synthetic = derived.synthetic and provenance.profile.synthetic_data
    if synthetic or provenance.flags.get("SyntheticData") == "YES":
        ds.SyntheticData = "YES"
    if "LossyImageCompression" not in provenance.flags:
        ds.LossyImageCompression = "00"
    ds.ContentDate = ds.ContentTime = ""
    return finish(ds, provenance, derived.label)


@dataclass(frozen=True)
class _Storage:
    """How the values of a volume are stored, and the elements that say so."""

    elements: Dataset
    scale: tuple[float, float] | None  # slope and intercept, where values are not stored as they are
    dtype: np.dtype[np.generic]
    lowest: int
    highest: int

    @classmethod
    def of(cls, array: NDArray[np.generic], sources: list[Dataset]) -> _Storage:
        """As the sources have it.

        Where they all carry one rescale pair, `array` is in stored values and the pair is copied; where slices differ
        (Philips), `array` is in real values and one common pair is made from its range (PS3.3 C.11.1).
        """
        first = sources[0]
        ds = Dataset()
        signed = max(whole_number_in(h, "PixelRepresentation") or 0 for h in sources)
        bits = max(whole_number_in(h, "BitsStored") or 16 for h in sources)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        scale = None
        if one_rescale(sources):
            for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
                if keyword in first:
                    ds.update(chosen(first, [keyword]))
        else:
            bits, signed, low, high = 16, 0, 0, 65535
            intercept, top = float(array.min()), float(array.max())
            slope = (top - intercept) / high or 1.0
            ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = decimal(intercept), decimal(slope), "US"
            scale = float(ds.RescaleSlope), float(ds.RescaleIntercept)
        allocated = 8 if bits <= 8 and whole_number_in(first, "BitsAllocated") == 8 else 16
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = allocated, bits, bits - 1, signed
        dtype = np.dtype(f"{'i' if signed else 'u'}{allocated // 8}").newbyteorder("<")
        return cls(ds, scale, dtype, low, high)

    def stored(self, plane: NDArray[np.generic]) -> bytes:
        """The pixels of a plane (H, W)."""
        single = plane.dtype == np.float32 and self.scale is None and self.dtype.itemsize <= 2  # exact: 24 bits
        values: NDArray[np.floating] = np.asarray(plane, np.float32 if single else np.float64)
        if self.scale is not None:
            slope, intercept = self.scale
            values = (values - intercept) / slope
        return bytes(np.clip(np.rint(values), self.lowest, self.highest).astype(self.dtype).tobytes())


def _grid(volume: Volume, source: Dataset) -> Dataset:
    """Orientation and pixel spacing: the source's own strings where the grid is the source's."""
    ds = Dataset()
    _, height, width = volume.spacing_mm
    orientation = [*(volume.affine[:3, 2] / width), *(volume.affine[:3, 1] / height)]
    extent = max(volume.array.shape[1:])
    own = numbers_in(source, "PixelSpacing", 2)
    if own is not None and np.abs(np.subtract(own, [height, width])).max() * extent < _GRID_TOLERANCE_MM:
        ds.PixelSpacing = [decimal(v) for v in own]
    else:
        ds.PixelSpacing = [decimal(height), decimal(width)]
    own = numbers_in(source, "ImageOrientationPatient", 6)
    tolerance = _GRID_TOLERANCE_MM / (extent * max(height, width))
    if own is not None and np.abs(np.subtract(own, orientation)).max() < tolerance:
        orientation = [*own]
    ds.ImageOrientationPatient = [decimal(v) for v in orientation]
    return ds


def _position(volume: Volume, k: int) -> list[str]:
    """ImagePositionPatient of slice `k`."""
    return [decimal(v) for v in volume.affine[:3, 3] + k * volume.affine[:3, 0]]


def _ascending(sources: list[Dataset]) -> bool:
    """Whether the source stack runs in the direction of its own numbering."""
    first, last = sources[0], sources[-1]
    keyword = "InStackPositionNumber" if "InStackPositionNumber" in first else "InstanceNumber"
    return (whole_number_in(first, keyword) or 0) <= (whole_number_in(last, keyword) or 0)


def _slice(provenance: Provenance, index: int, derived: DerivedVolume, number: int, k: int) -> Dataset:
    """What an instance does not share with the others of its series, but for its sources and its pixels."""
    ds = Dataset()
    ds.SOPInstanceUID = slice_uid(provenance, index, k)
    ds.InstanceNumber = number
    ds.ImagePositionPatient = _position(derived.volume, k)
    step = derived.volume.affine[:3, 0] / derived.volume.spacing_mm[0]
    ds.SliceLocation = decimal(float(np.array(ds.ImagePositionPatient, np.float64) @ step))
    return ds


def _source_item(provenance: Provenance, derived: DerivedVolume, i: int) -> Dataset:
    reference = derived.sources[i]
    item = Dataset()
    item.ReferencedSOPClassUID = str(provenance.header_of[reference.sop_instance_uid].SOPClassUID)
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reference.frame_number is not None:
        item.ReferencedFrameNumber = reference.frame_number
    item.SpatialLocationsPreserved = "NO"
    item.PurposeOfReferenceCodeSequence = [coded(codes.SOURCE_IMAGE_FOR_PROCESSING)]
    return item
