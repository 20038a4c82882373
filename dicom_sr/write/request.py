"""The order that the source images were made for, where all of them name the same one."""

from __future__ import annotations

from pydicom.dataset import Dataset

from dicom_sr.provenance import Provenance
from dicom_sr.read.headers import chosen

_REQUEST = "RequestAttributesSequence"
# of the requested procedure; what was scheduled of it is the scanner's step, not this node's
_PROCEDURE = ("RequestedProcedureID", "RequestedProcedureDescription", "RequestedProcedureCodeSequence")
_ORDER = ("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest")
_REQUIRED = ("AccessionNumber", *_ORDER, "RequestedProcedureID", "RequestedProcedureDescription")  # Type 2 in a report


def request_attributes(provenance: Provenance) -> list[Dataset]:
    """The items of RequestAttributesSequence for images, segmentations, maps and states (PS3.3 C.7.3.1)."""
    return [
        chosen(item, ("AccessionNumber", "IssuerOfAccessionNumberSequence", *_PROCEDURE))
        for item in _requests(provenance)
    ]


def referenced_requests(provenance: Provenance) -> list[Dataset]:
    """The items of ReferencedRequestSequence for reports and key objects (PS3.3 C.17.2)."""
    found = []
    for request in _requests(provenance):
        item = chosen(request, ("IssuerOfAccessionNumberSequence", *_REQUIRED, "RequestedProcedureCodeSequence"))
        for keyword in _REQUIRED:
            if keyword not in item:  # some devices have the order's numbers beside the sequence
                setattr(item, keyword, chosen(provenance.header, [keyword]).get(keyword) or "")
        if "RequestedProcedureCodeSequence" not in item:
            item.RequestedProcedureCodeSequence = []
        item.StudyInstanceUID, item.ReferencedStudySequence = provenance.study_instance_uid, []
        found.append(item)
    return found


def _requests(provenance: Provenance) -> list[Dataset]:
    """The requests that every source image names, of the order that the study belongs to."""
    headers = provenance.headers
    if not headers:
        return []
    named = [{_key(item) for item in header.get(_REQUEST) or ()} for header in headers]
    common = set.intersection(*named)
    accession = str(headers[0].get("AccessionNumber") or "")
    return [
        item
        for item in headers[0].get(_REQUEST) or ()
        if _key(item) in common and _key(item)[0] and _key(item)[1] in ("", accession)
    ]


def _key(item: Dataset) -> tuple[str, str]:
    return str(item.get("RequestedProcedureID") or ""), str(item.get("AccessionNumber") or "")
