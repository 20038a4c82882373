"""Where the segments of a result lie in its segmentation objects: what a report refers to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from dicom_sr.findings import ImageReference
from dicom_sr.profile import Kind

# of several forms of one segment a report names the first that there is: every reader of a SEG knows a binary one.
# None of a label map: dciodvfy and older DCMTK do not know its class, and call a report with such a reference broken
_PREFERRED: tuple[Kind, ...] = ("segmentation_binary", "segmentation_fractional")


@dataclass(frozen=True)
class SegmentPlace:
    """A segment of a written segmentation."""

    kind: Kind
    sop_class_uid: str
    sop_instance_uid: str
    number: int  # SegmentNumber
    frames: tuple[int, ...]  # of the segmentation, 1-based, on which it has pixels
    source_series_uid: str
    source: ImageReference | None  # the image that it lies on, where it lies on one only
    source_class_uid: str  # SOPClassUID of the sources


@dataclass
class SegmentPlaces:
    """The places of all segments by their tracking identifier, which is that of the finding about the segment."""

    _found: dict[str, list[SegmentPlace]] = field(default_factory=dict)

    def add(self, tracking_id: str, place: SegmentPlace) -> None:
        """Keep a place of the segment that `tracking_id` names."""
        self._found.setdefault(tracking_id, []).append(place)

    def of(self, tracking_id: str, written: Collection[str]) -> SegmentPlace | None:
        """The place to refer to; None where there is none, or where the identifier names several segments.

        Parameters
        ----------
        tracking_id
            Of the finding.
        written
            SOPInstanceUIDs of the objects that a report may refer to: a segmentation may have been left out.
        """
        places = [place for place in self._found.get(tracking_id, []) if place.sop_instance_uid in written]
        for kind in _PREFERRED:
            of_kind = [place for place in places if place.kind == kind]
            if of_kind:
                return of_kind[0] if len(of_kind) == 1 else None
        return None
