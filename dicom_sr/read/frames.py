"""One frame of a multi-frame object as the header that a classic single-frame instance would have."""

from __future__ import annotations

from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_sr.decimal_string import decimal
from dicom_sr.header_numbers import whole_number_in

# functional group -> its attributes, and what they are called in a classic header (PS3.3 C.7.6.16, C.8.13)
_GROUPS: dict[str, dict[str, str]] = {
    "PlanePositionSequence": {"ImagePositionPatient": "ImagePositionPatient"},
    "PlaneOrientationSequence": {"ImageOrientationPatient": "ImageOrientationPatient"},
    "PixelMeasuresSequence": {
        "PixelSpacing": "PixelSpacing",
        "SliceThickness": "SliceThickness",
        "SpacingBetweenSlices": "SpacingBetweenSlices",
    },
    "PixelValueTransformationSequence": {
        "RescaleSlope": "RescaleSlope",
        "RescaleIntercept": "RescaleIntercept",
        "RescaleType": "RescaleType",
    },
    "FrameVOILUTSequence": {"WindowCenter": "WindowCenter", "WindowWidth": "WindowWidth"},
    "FrameAnatomySequence": {"FrameLaterality": "ImageLaterality", "AnatomicRegionSequence": "AnatomicRegionSequence"},
    "FrameContentSequence": {
        "StackID": "StackID",
        "InStackPositionNumber": "InStackPositionNumber",
        "TemporalPositionIndex": "TemporalPositionIndex",
    },
    "MREchoSequence": {"EffectiveEchoTime": "EchoTime"},
    "MRTimingAndRelatedParametersSequence": {
        "RepetitionTime": "RepetitionTime",
        "FlipAngle": "FlipAngle",
        "EchoTrainLength": "EchoTrainLength",
    },
    "MRImageFrameTypeSequence": {"FrameType": "ImageType", "ComplexImageComponent": "ComplexImageComponent"},
    "CTImageFrameTypeSequence": {"FrameType": "ImageType"},
    "MRAveragesSequence": {"NumberOfAverages": "NumberOfAverages"},
    "MRImagingModifierSequence": {"PixelBandwidth": "PixelBandwidth"},
}
_SCANNING_SEQUENCE = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": ["SE", "GR"]}  # EchoPulseSequence -> classic


def is_enhanced(header: Dataset) -> bool:
    """Whether geometry and the like sit in functional groups."""
    return "PerFrameFunctionalGroupsSequence" in header or "SharedFunctionalGroupsSequence" in header


def number_of_frames(header: Dataset) -> int:
    """NumberOfFrames, 1 where it says nothing that can be."""
    return max(whole_number_in(header, "NumberOfFrames") or 1, 1)


def frame_header(header: Dataset, frame_number: int) -> Dataset:
    """The header of one frame (1-based) in classic terms; `header` itself where it is a classic one.

    Attributes of a functional group may sit in the shared or in the per-frame item; the per-frame one wins.
    The data set shares its elements with `header`: read it, do not change it.
    """
    if not is_enhanced(header):
        return header
    flat = Dataset()
    skipped = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
    flat.update({element.tag: element for element in header if element.keyword not in skipped})
    groups = list(header.get("SharedFunctionalGroupsSequence") or [])[:1]
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    if frame_number <= len(per_frame):
        groups.append(per_frame[frame_number - 1])
    for group in groups:
        for sequence, keywords in _GROUPS.items():
            items = group.get(sequence)
            if items:
                for keyword, classic in keywords.items():
                    _put(flat, classic, items[0].get(keyword))
    _classic_terms(flat)
    return flat


def _put(flat: Dataset, keyword: str, value: Any) -> None:
    if value is None:
        return
    tag, vr = Tag(keyword), dictionary_VR(keyword)
    try:
        flat[tag] = DataElement(tag, vr, [decimal(v) for v in _many(value)] if vr == "DS" else value)
    except (TypeError, ValueError, OverflowError):  # no value of that kind: as if it were not there
        return


def _many(value: Any) -> list[Any]:
    return [value] if isinstance(value, (int, float, str)) else list(value)


def _classic_terms(flat: Dataset) -> None:
    """Attributes that classic MR requires and Enhanced MR says in other words."""
    moment = str(flat.get("AcquisitionDateTime") or "")
    if "AcquisitionDate" not in flat and len(moment) >= 8:
        _put(flat, "AcquisitionDate", moment[:8])
        _put(flat, "AcquisitionTime", moment[8:].split("+")[0].split("-")[0])
    if "ScanningSequence" not in flat and flat.get("EchoPulseSequence"):
        _put(flat, "ScanningSequence", _SCANNING_SEQUENCE.get(str(flat.EchoPulseSequence), "RM"))
    if "SequenceName" not in flat and flat.get("PulseSequenceName"):
        _put(flat, "SequenceName", str(flat.PulseSequenceName)[:16])


def classic_element(keyword: str, value: Any) -> DataElement:
    """An element of its own: assigning to a shared one would change it in every data set that holds it."""
    template = Dataset()
    setattr(template, keyword, value)
    return template[keyword]
