"""Versions of a result: documents and overlays of a later one lie in the series of the earlier one, behind it.

Viewers show the instance of a series that has the highest number. Images are no such thing: a viewer would stack slices
or pages of two versions, and open at the first, the outdated one. So each version of those is a series of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ComprehensiveSRStorage

from dicom_sr.profile import EncodedObject, Kind, kind_of

IN_ONE_SERIES: tuple[Kind, ...] = (
    *("report", "key_objects", "document", "presentation_state"),
    *("segmentation_binary", "segmentation_fractional", "segmentation_labelmap"),
)
_ALONE = ("report", "key_objects", "document")  # of which a version has one in a series
_EACH = 1000  # instance numbers that a version has where it has several
# what all instances of a series have alike, beside its UID
OF_SERIES = ("SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime")


@dataclass(frozen=True)
class SeriesPlace:
    """A series that is there, for a later version to go into."""

    series_instance_uid: str
    elements: dict[str, str]  # what it has of `OF_SERIES`, by keyword


@dataclass(frozen=True)
class Earlier:
    """The version of a result that another one revises, as far as a destination has it."""

    number: int = 0  # of that version; 0: there is none
    objects: tuple[EncodedObject, ...] = ()
    places: dict[str, SeriesPlace] = field(default_factory=dict)  # its series, by `series_of`


NOTHING_EARLIER = Earlier()


def series_of(kind: Kind, sop_class_uid: str) -> str:
    """Which of the series of a result an object goes into: a report as Comprehensive SR has one of its own."""
    return "report_comprehensive" if kind == "report" and sop_class_uid == ComprehensiveSRStorage else kind


def earlier_version(number: int, objects: Sequence[EncodedObject]) -> Earlier:
    """What is to be known of an earlier version; its series as far as there are still files of them to be read."""
    places: dict[str, SeriesPlace] = {}
    for one in objects:
        name = series_of(one.kind, one.sop_class_uid)
        if one.kind in IN_ONE_SERIES and name not in places and (place := _place(one)) is not None:
            places[name] = place
    return Earlier(number, tuple(objects), places)


def _place(of: EncodedObject) -> SeriesPlace | None:
    try:
        header = dcmread(of.path, stop_before_pixels=True, specific_tags=list(OF_SERIES))
    except (OSError, InvalidDicomError):
        return None
    return SeriesPlace(of.series_instance_uid, {key: str(header[key].value) for key in OF_SERIES if key in header})


def put_behind(earlier: Earlier, ds: Dataset) -> None:
    """Number a document or an overlay by its version, and put it into the series of the earlier one."""
    kind = kind_of(ds)
    if not earlier.number or kind not in IN_ONE_SERIES:
        return
    ds.InstanceNumber = earlier.number + 1 if kind in _ALONE else _EACH * earlier.number + int(ds.InstanceNumber)
    place = earlier.places.get(series_of(kind, str(ds.SOPClassUID)))
    if place is None:
        return
    ds.SeriesInstanceUID = place.series_instance_uid
    for keyword in OF_SERIES:
        if keyword in ds:
            del ds[keyword]
        if keyword in place.elements:
            setattr(ds, keyword, place.elements[keyword])
