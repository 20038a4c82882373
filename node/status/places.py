"""Where destinations are, for people."""

from __future__ import annotations

from node.config import (
    Destination,
    DicomWebDestination,
    DimseDestination,
    EmailDestination,
    FhirDestination,
    FolderDestination,
    Hl7Destination,
    WebhookDestination,
)
from node.config.notifications import without_path


def where(destination: Destination) -> str:
    """A destination's place, without secrets."""
    match destination:
        case DimseDestination():
            return f"{destination.ae_title} at {destination.host}:{destination.port}"
        case DicomWebDestination():
            return f"DICOMweb at {destination.url.split('@')[-1]}"
        case FhirDestination():
            return f"FHIR server at {destination.url.split('@')[-1]}"
        case Hl7Destination(host=None):
            return f"HL7 messages in folder {destination.path}"
        case Hl7Destination():
            return f"HL7 receiver at {destination.host}:{destination.port}"
        case FolderDestination():
            return f"folder {destination.path}"
        case EmailDestination():
            return f"e-mail by {destination.host}:{destination.port}"
        case WebhookDestination():
            return f"webhook at {without_path(destination.url)}"
