"""What the encoders are asked for and what they give back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydicom import uid
from pydicom.dataset import Dataset

from dicom_sr.rejection_reasons import RejectionReason

LABELMAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage; pydicom 3.0.2 has no name for it
RESEARCH_USE = "Research use only. Not for diagnosis."

Kind = Literal[
    "derived_series",
    "secondary_capture",
    "report",
    "presentation_state",
    "segmentation_binary",
    "segmentation_fractional",
    "segmentation_labelmap",
    "parametric_map",
    "key_objects",
    "document",
    "assessment",  # what a reader says about the result, given on the node's page
    "rejection_note",  # that objects which were sent are taken back
    "risk_assessment",  # a FHIR resource, for FHIR servers only
    "diagnostic_report",  # FHIR resources in a Bundle, for FHIR servers only
    "oru",  # an HL7 v2 message, for HL7 receivers only
    "notification",  # that there is a result, for people and other systems: e-mail and webhooks only
]
FHIR_KINDS: tuple[Kind, ...] = ("risk_assessment", "diagnostic_report")
# no DICOM objects: they may name the patient in clear, and lie sealed in the job's folder
FOREIGN_KINDS: tuple[Kind, ...] = (*FHIR_KINDS, "oru", "notification")

# what a notification may say of the patient and the study
PatientDetail = Literal["accession_number", "study_instance_uid", "patient_id", "patient_name"]

# images first, then what refers to them, then reports: viewers resolve references in this order
SENDING_ORDER: dict[Kind, int] = {
    "derived_series": 0,
    "secondary_capture": 1,
    "segmentation_binary": 2,
    "segmentation_fractional": 2,
    "segmentation_labelmap": 2,
    "parametric_map": 2,
    "presentation_state": 3,
    "report": 4,
    "key_objects": 5,
    "document": 6,
    "assessment": 6,
    "risk_assessment": 7,
    "diagnostic_report": 7,
    "oru": 7,
    "notification": 8,  # it tells of what has gone before
    "rejection_note": 9,
}


# DICOM objects that are not written with the result
LATER_KINDS: tuple[Kind, ...] = ("assessment", "rejection_note")
DICOM_KINDS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if kind not in (*FOREIGN_KINDS, *LATER_KINDS))
# all but the label map: older archives refuse its class
DEFAULT_KINDS: tuple[Kind, ...] = tuple(kind for kind in DICOM_KINDS if kind != "segmentation_labelmap")


# whose reports can have a form of their own
Viewer = Literal["any", "ohif"]
# of these the viewer shows nothing: it marks them as unsupported, or stops with an error
UNSHOWN: dict[Viewer, frozenset[Kind]] = {
    "any": frozenset(),
    "ohif": frozenset({"presentation_state", "key_objects", "segmentation_fractional"}),
}


_KINDS: dict[str, Kind] = {
    uid.SecondaryCaptureImageStorage: "secondary_capture",
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage: "secondary_capture",
    uid.Comprehensive3DSRStorage: "report",
    uid.ComprehensiveSRStorage: "report",
    uid.EnhancedSRStorage: "report",
    uid.GrayscaleSoftcopyPresentationStateStorage: "presentation_state",
    uid.ColorSoftcopyPresentationStateStorage: "presentation_state",
    uid.SegmentationStorage: "segmentation_binary",
    LABELMAP_STORAGE: "segmentation_labelmap",
    uid.ParametricMapStorage: "parametric_map",
    uid.KeyObjectSelectionDocumentStorage: "key_objects",
    uid.EncapsulatedPDFStorage: "document",
}


def kind_of(header: Dataset) -> Kind | None:
    """Which kind of result an object is, by its SOP class; None for an acquired image, and for what is no result."""
    kind = _KINDS.get(str(header.get("SOPClassUID")))
    if kind == "key_objects" and _title(header) in set(RejectionReason):
        return "rejection_note"
    if kind == "segmentation_binary" and header.get("SegmentationType") == "FRACTIONAL":
        return "segmentation_fractional"
    image_type = header.get("ImageType") or ()
    return "derived_series" if kind is None and "DERIVED" in image_type[:1] else kind


def _title(document: Dataset) -> str:
    """Code value of the title of a document; empty where it has none."""
    title = document.get("ConceptNameCodeSequence")
    return str(title[0].get("CodeValue") or "") if title else ""


@dataclass(frozen=True)
class MessageHeader:
    """Who sends HL7 v2 messages to whom, and how much they tell of the patient."""

    sending_application: str = "CONDYLE"
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    assigning_authority: str = ""  # of patient IDs; empty: the issuer that the images name
    character_set: str = "UNICODE UTF-8"  # HL7 table 0211
    patient: Literal["full", "identifier"] = "full"  # name, birth date and sex too, or the patient ID alone


@dataclass(frozen=True)
class EncodingProfile:
    """Which kinds of object a destination gets, in which form, and who this installation is."""

    measurement_report: Literal["comprehensive_3d", "comprehensive"] = "comprehensive_3d"
    kinds: tuple[Kind, ...] = DEFAULT_KINDS
    not_run_reports: bool = False  # a pipeline due that did not run becomes a capture and a report
    # how a report says where a segmented finding lies: by its segment, or by a drawn outline, which viewers want that
    # know no reference to a segment
    segmented_regions: Literal["segment", "outline"] = "segment"
    viewer: Viewer = "any"  # in which the report is to look well; what that one does not show is left out
    synthetic_data: bool = True  # SyntheticData YES on derived series that hold modelled content
    snomed_licence: bool = False  # SNOMED codes outside DICOM's own content in place of private ones
    uid_root: str = "2.25"
    institution: str = ""
    device_serial_number: str = "1"  # a node has one of its own; a command without a node has this one
    device_uid: str = ""  # of this installation; empty: made from the institution and the serial number
    identifier_system: str = ""  # of patient IDs, as FHIR servers know it (a URI); empty: none is given
    report_status: Literal["preliminary", "final"] = "preliminary"  # of FHIR reports and HL7 v2 messages
    message: MessageHeader | None = None  # of HL7 v2 messages
    patient_details: tuple[PatientDetail, ...] = ()  # that a notification has
    page_url: str = ""  # of the node's page, for the link in a notification; empty: none


@dataclass(frozen=True)
class ObjectFile:
    """A file that can be sent: a DICOM object as a Part 10 file, FHIR resources as JSON, or an HL7 v2 message.

    What is no DICOM has a UID of its own too, by which the node knows it, but no SOP class and no series.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    path: Path


@dataclass(frozen=True)
class EncodedObject(ObjectFile):
    """An object that an encoder has written: what the job's folder lists, the database keeps and the outbox sends."""

    kind: Kind
    order: int  # of sending: lower first
    sha256: str  # of the file, hex
    size: int  # of the file, bytes
    # the object that this one stands in for: sent only where the peer refuses that one's SOP class
    twin_of: str | None = None
