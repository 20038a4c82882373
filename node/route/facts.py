"""What routes can ask about a series: its data elements, its geometry, and the association it came by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import ClassVar

from pydantic import ConfigDict
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence

from dicom_sr.errors import UNREADABLE
from dicom_sr.read import body_parts
from dicom_sr.read.headers import made_by_us
from dicom_sr.read.slices import aside
from dicom_sr.series import Series
from dicom_sr.words import counted
from node.errors import UnreadableHeader
from node.progress import goes_on
from node.reading.messages import EXACT
from node.route.geometry import geometry
from node.study.headers import read_header

Value = str | float | int

# Our own keys beside the DICOM keywords, and what they mean; numbers can be asked for ranges.
NUMBERS = {
    "series.instances": "number of instances",
    "series.frames": "number of frames of all instances together",
    "series.slices": "number of different slice positions, whatever is repeated at each (echoes, phases)",
    "series.spacing_mm": "distance of neighbouring slices along their normal, from ImagePositionPatient",
    "series.thickness_mm": "the coarser of SliceThickness and series.spacing_mm: what one slice stands for",
    "series.pixel_mm": "the larger side of a pixel, from PixelSpacing or ImagerPixelSpacing",
    "study.instances": "number of instances of the study (routes of level study)",
    "study.series": "number of series of the study (routes of level study)",
}
TEXTS = {
    "series.body_part": "hand, wrist, finger, foot, toe, knee, ... or limb: what words and codes of the headers name",
    "series.orientation": "sagittal, coronal, axial, or mixed, from ImageOrientationPatient",
    "association.calling_ae_title": "AE title of the sender",
    "association.called_ae_title": "AE title that the sender called",
    "association.peer_address": "IP address of the sender; a network such as 10.2.0.0/16 can be asked for",
    "study.modalities": "modalities of the study's series (routes of level study)",
}
LONGEST_TEXT = 4096  # characters of a value that are looked at
MOST_VALUES = 50_000  # different ones of one key
ONE_STUDY = "series of one study"  # a part of a series may look whole: its job is told why it does not run
BODY_PART = "series.body_part"
MADE_BY_NODE = "made by this kind of node"  # never processed, so that results that come back make no loop


_ALWAYS_READ = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "ImageType",
    "NumberOfFrames",
    "Rows",
    "SamplesPerPixel",
    "SOPClassUID",
    "SliceThickness",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "Manufacturer",
    "ContributingEquipmentSequence",
)


@dataclass(frozen=True)
class Facts:
    """What is known of one series."""

    __pydantic_config__: ClassVar[ConfigDict] = EXACT

    series_instance_uid: str
    modality: str
    values: Mapping[str, tuple[Value, ...]]  # by key: the different values of all instances; absent: no value
    made_by_node: bool
    unread: Mapping[str, str] = field(default_factory=dict)  # by SOP Instance UID: why its header is not read
    other_studies: tuple[str, ...] = ()  # that have a series of the same UID


def study_facts(series: Sequence[Series], keys: Sequence[str]) -> tuple[Facts, ...]:
    """The facts of all series of a complete study, each with those of the study."""
    return with_study(series, [series_facts(one, keys) for one in series])


def with_study(series: Sequence[Series], facts: Sequence[Facts]) -> tuple[Facts, ...]:
    """The facts of all series of a complete study, those of the study added to each."""
    together: dict[str, tuple[Value, ...]] = {
        "study.instances": (sum(len(one.instances) for one in series),),
        "study.series": (len(series),),
        "study.modalities": tuple(dict.fromkeys(one.modality for one in series if one.modality)),
    }
    return tuple(replace(one, values={**one.values, **together}) for one in facts)


def series_facts(series: Series, keys: Sequence[str]) -> Facts:
    """Read what `keys` ask for from the headers of a series; what cannot be read has no value."""
    paths = [tuple(key.split(".")) for key in keys if key not in NUMBERS and key not in TEXTS]
    asked = body_parts.NAMING if BODY_PART in keys else ()
    tags = sorted({*_ALWAYS_READ, *asked, *(part for path in paths for part in path)})
    unread = dict[str, str]()
    headers = list(_headers(series, tags, unread))
    values: dict[str, tuple[Value, ...]] = {
        ".".join(path): _distinct(value for header in _each(headers) for value in _values(header, path))
        for path in paths
    }
    values |= _whole(headers, len(series.instances))
    values[BODY_PART] = _body_parts(headers) if asked else ()
    values |= {
        f"association.{name}": (text,)
        for name, text in series.attributes.items()
        if text and f"association.{name}" in TEXTS
    }
    return Facts(
        series_instance_uid=series.series_instance_uid,
        modality=series.modality,
        values={key: found for key, found in values.items() if found},
        made_by_node=any(made_by_us(header) for header in headers),
        unread=unread,
    )


def _headers(series: Series, tags: Sequence[str], unread: dict[str, str]) -> Iterator[Dataset]:
    """The headers that can be read; why others cannot is added to `unread`, by SOP Instance UID."""
    for instance in series.instances:
        goes_on()
        try:
            yield read_header(instance.path, tags)
        except UnreadableHeader as error:
            unread[instance.sop_instance_uid] = str(error)


def _body_parts(headers: Sequence[Dataset]) -> tuple[str, ...]:
    named = {part for h in headers for part in body_parts.parts_named(h) | body_parts.parts_of_study(h)}
    return tuple(sorted(named - {body_parts.LIMB} or named))


def _whole(headers: Sequence[Dataset], instances: int) -> dict[str, tuple[Value, ...]]:
    """What the series is as a whole."""
    found = _geometry_values(headers)
    pixels = [*_numbers(headers, "PixelSpacing"), *_numbers(headers, "ImagerPixelSpacing")]
    thick = [*_numbers(headers, "SliceThickness"), *(float(v) for v in found.get("series.spacing_mm", ()))]
    frames = [max(1, *(int(number) for number in (0, *_numbers([header], "NumberOfFrames")))) for header in headers]
    return {
        **found,
        "series.instances": (instances,),
        "series.frames": (sum(frames),),
        "series.thickness_mm": (round(max(thick), 4),) if thick else (),
        "series.pixel_mm": (round(max(pixels), 4),) if pixels else (),
    }


def _geometry_values(headers: Sequence[Dataset]) -> dict[str, tuple[Value, ...]]:
    try:
        slices = [header for header in headers if aside(header) is None]
        whole = geometry(slices or headers)  # a capture among slices does not change where they lie
    except UNREADABLE:
        return {}
    return {
        "series.slices": (whole.slices,) if whole.slices else (),
        "series.orientation": (whole.orientation,) if whole.orientation else (),
        "series.spacing_mm": (round(whole.spacing_mm, 4),) if whole.spacing_mm else (),
    }


def _numbers(headers: Iterable[Dataset], keyword: str) -> list[float]:
    return [value for header in headers for value in _values(header, (keyword,)) if isinstance(value, int | float)]


def _values(header: Dataset, path: Sequence[str]) -> Iterator[Value]:
    """The values at a path of keywords; values that an enhanced object has frame by frame count as its own."""
    if path[0] in header:
        yield from _below(header, path)
        return
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in header.get(groups) or ():
            for macro in group:
                if macro.keyword == path[0]:
                    yield from _below(group, path)
                elif macro.VR == "SQ":
                    for item in macro.value:
                        yield from _below(item, path)


def _below(item: Dataset, path: Sequence[str]) -> Iterator[Value]:
    element = item.get(tag_for_keyword(path[0]) or 0)
    if element is None or element.value is None:
        return
    if isinstance(element.value, DicomSequence):
        for nested in element.value:
            if len(path) > 1:
                yield from _below(nested, path[1:])
        if len(path) == 1 and element.value:
            yield counted(len(element.value), "item")
    elif isinstance(element.value, MultiValue | list):
        yield from (_plain(value) for value in element.value if value not in (None, ""))
    elif isinstance(element.value, bytes):
        yield f"{len(element.value)} bytes"
    elif str(element.value).strip():
        yield _plain(element.value)


def _plain(value: object) -> Value:
    """A number where the element holds one, else its text without padding."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value) if isinstance(value, int) else float(value)
    if hasattr(value, "__float__") and not isinstance(value, str):  # DSdecimal
        return float(value)
    return str(value)[:LONGEST_TEXT].strip()


def _distinct(values: Iterable[Value]) -> tuple[Value, ...]:
    return tuple(islice(dict.fromkeys(values), MOST_VALUES))


def _each(headers: Iterable[Dataset]) -> Iterator[Dataset]:
    """Each header; the time limit is for what is done with one of them."""
    for header in headers:
        goes_on()
        yield header
