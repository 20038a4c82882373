"""What FHIR R4 resources of a result have in common: codes, units, the patient, the study, and their check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydicom.sr.coding import Code

from dicom_sr.codes import scheme_of
from dicom_sr.decimal_string import rounded
from dicom_sr.errors import EncodingError
from dicom_sr.profile import EncodedObject, Kind
from dicom_sr.provenance import Provenance
from dicom_sr.write.foreign_file import write_file

JOB_SYSTEM = "urn:condyle:job"  # identifier system of the node's jobs
DICOM_UID_SYSTEM = "urn:dicom:uid"  # HL7's name for DICOM UIDs as identifiers (FHIR R4, ImagingStudy)
UCUM_SYSTEM = "http://unitsofmeasure.org"
CODE_SYSTEMS = {  # DICOM coding scheme designator -> FHIR code system (PS3.16 table 8-1, FHIR R4 4.3)
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "UCUM": UCUM_SYSTEM,
    "I10": "http://hl7.org/fhir/sid/icd-10",
}


def coding(code: Code) -> dict[str, str]:
    """A code as a FHIR Coding; a private scheme is named by its UID.

    Raises
    ------
    EncodingError
        If FHIR has no name for its scheme.
    """
    system = CODE_SYSTEMS.get(code.scheme_designator)
    if system is None and (scheme := scheme_of(code)) is not None:
        system = f"urn:oid:{scheme.uid}"
    if system is None:
        raise EncodingError(f"FHIR has no name for the coding scheme {code.scheme_designator}")
    return {"system": system, "code": code.value, "display": code.meaning}


def concept(code: Code) -> dict[str, Any]:
    """A code as a FHIR CodeableConcept."""
    return {"coding": [coding(code)], "text": code.meaning}


def quantity(value: float, unit: Code) -> dict[str, Any]:
    """A number with its unit, as a FHIR Quantity; six significant digits, as in the report."""
    return {
        "value": rounded(value),
        "unit": unit.meaning,
        "system": CODE_SYSTEMS.get(unit.scheme_designator, UCUM_SYSTEM),
        "code": unit.value,
    }


def uid_value(dicom_uid: str) -> str:
    """A DICOM UID as the value of an identifier."""
    return f"urn:oid:{dicom_uid}"


def patient_reference(provenance: Provenance, what: str) -> dict[str, Any]:
    """The patient, by the patient ID alone.

    Raises
    ------
    EncodingError
        If there is none; `what` needs it.
    """
    patient_id = str(provenance.whose.get("PatientID") or "").strip()
    if not patient_id:
        raise EncodingError(f"a {what} needs a patient ID")
    system = provenance.profile.identifier_system
    return {"type": "Patient", "identifier": {"value": patient_id, **({"system": system} if system else {})}}


def study_reference(provenance: Provenance) -> dict[str, Any]:
    """The study, by its Study Instance UID."""
    value = uid_value(provenance.study_instance_uid)
    return {"type": "ImagingStudy", "identifier": {"system": DICOM_UID_SYSTEM, "value": value}}


def check(resource: dict[str, Any], model: type[BaseModel]) -> None:
    """Hold a resource against the model of its type.

    `fhir.resources` has R4B (4.3.0); what is written here is the same in R4 (4.0.1).

    Raises
    ------
    EncodingError
        If it is not valid; the message names elements and no value.
    """
    try:
        model.model_validate(resource)
    except ValidationError as error:  # its text quotes values
        where = ", ".join(sorted({".".join(map(str, one["loc"])) for one in error.errors()}))
        name = resource["resourceType"]
        raise EncodingError(f"the {name} is not valid FHIR in: {where}") from None


def write_json(provenance: Provenance, kind: Kind, resource: dict[str, Any], folder: Path, *form: str) -> EncodedObject:
    """Write a resource as ``KIND.json``; `form` is what else of the profile it follows from."""
    content = json.dumps(resource, indent=1).encode()  # ASCII: a patient ID may be no valid Unicode
    return write_file(provenance, kind, content, folder / f"{kind}.json", provenance.profile.identifier_system, *form)
