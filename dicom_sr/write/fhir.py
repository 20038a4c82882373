"""What FHIR R4 resources of a result have in common: codes, units, the patient, the study, and their check."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydicom.sr.coding import Code

from dicom_sr.codes import scheme_of
from dicom_sr.errors import EncodingError
from dicom_sr.profile import SENDING_ORDER, EncodedObject, Kind
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.uids import uid

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
        "value": float(f"{value:.6g}"),
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
    patient_id = str(provenance.header.get("PatientID") or "").strip()
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


def write_file(provenance: Provenance, kind: Kind, content: bytes, path: Path, *form: str) -> EncodedObject:
    """Write what is no DICOM object but goes out like one.

    Its UID is that by which the node knows it: one for each job and each form. It is made from the job's id alone, as
    one that was made from a patient ID could be tried out against all of them.

    Parameters
    ----------
    form
        What else of the profile the content follows from.
    """
    path.write_bytes(content)
    if provenance.job:
        own = uid(provenance.profile.uid_root, kind, provenance.job, *form, software_version())
    else:
        own = provenance.uid(kind, *form)
    return EncodedObject(
        kind=kind,
        sop_class_uid="",
        sop_instance_uid=own,
        series_instance_uid="",
        # without images the study would be named after the patient ID, which must not leave the file
        study_instance_uid=provenance.study_instance_uid if provenance.headers else "",
        path=path,
        order=SENDING_ORDER[kind],
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
