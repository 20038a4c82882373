"""A risk as a FHIR R4 RiskAssessment, in a JSON file: for a FHIR server, and for whoever asked the node for it.

One prediction for each horizon: a probability, the time it is about, and its interval, as an extension and in words. A
model that gives no probability gives the reason in its place.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC
from pathlib import Path
from typing import Any

from fhir.resources.R4B.riskassessment import RiskAssessment
from pydantic import ValidationError
from pydicom.sr.coding import Code

from dicom_sr.errors import EncodingError
from dicom_sr.findings import Prediction, Result, RiskStatement
from dicom_sr.profile import SENDING_ORDER, EncodedObject
from dicom_sr.provenance import Provenance, software_version
from dicom_sr.uids import uid

JOB_SYSTEM = "urn:condyle:job"  # identifier system of the node's jobs
INTERVAL_EXTENSION = "urn:condyle:fhir:probability-interval"
DICOM_UID_SYSTEM = "urn:dicom:uid"  # HL7's name for DICOM UIDs as identifiers (FHIR R4, ImagingStudy)
YEAR = {"unit": "year", "system": "http://unitsofmeasure.org", "code": "a"}
CODE_SYSTEMS = {  # DICOM coding scheme designator -> FHIR code system (PS3.16 table 8-1, FHIR R4 4.3)
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "I10": "http://hl7.org/fhir/sid/icd-10",
}


def encode_risk_assessment(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the result's risk as ``risk_assessment.json``; nothing where the result states none.

    Raises
    ------
    EncodingError
        If the result names no patient, uses a coding scheme that FHIR has no name for, or is no valid RiskAssessment.
    """
    result = provenance.result
    if not isinstance(result, Result) or result.risk is None:
        return ()
    resource = risk_assessment(provenance, result, result.risk)
    content = json.dumps(resource, indent=1).encode()  # ASCII: a patient ID may be no valid Unicode
    path = folder / "risk_assessment.json"
    path.write_bytes(content)
    return (
        EncodedObject(
            kind="risk_assessment",
            sop_class_uid="",
            sop_instance_uid=_uid(provenance),
            series_instance_uid="",
            # without images the study would be named after the patient ID, which must not leave the file
            study_instance_uid=provenance.study_instance_uid if provenance.headers else "",
            path=path,
            order=SENDING_ORDER["risk_assessment"],
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
        ),
    )


def _uid(provenance: Provenance) -> str:
    """The UID by which the node knows the resource: one for each job and each system of patient IDs.

    Made from the job's id alone: a UID that was made from a patient ID could be tried out against all of them.
    """
    profile = provenance.profile
    if not provenance.job:
        return provenance.uid("risk_assessment", profile.identifier_system)
    return uid(profile.uid_root, "risk_assessment", provenance.job, profile.identifier_system, software_version())


def risk_assessment(provenance: Provenance, result: Result, risk: RiskStatement) -> dict[str, Any]:
    """The resource, valid as FHIR R4.

    Parameters
    ----------
    provenance
        Whose risk it is, from which study if from any, and by which job.
    result
        What the pipeline found.
    risk
        The risk that it states.

    Raises
    ------
    EncodingError
        As `encode_risk_assessment`.
    """
    model = result.model
    resource: dict[str, Any] = {
        "resourceType": "RiskAssessment",
        "status": "preliminary",  # research use: nobody has confirmed it
        "subject": {"type": "Patient", "identifier": _patient(provenance)},
        "occurrenceDateTime": risk.index_date.isoformat(),
        "method": {"text": f"{model.name} {model.version}, weights {model.weights_digest[:12]}"},
        "code": {"text": result.title},
        "prediction": [_prediction(risk, prediction) for prediction in risk.predictions],
        "note": [{"text": text} for text in (*result.conclusion, model.trained_on, *result.remarks)],
        "meta": {"lastUpdated": provenance.created.astimezone(UTC).isoformat(timespec="seconds")},
    }
    if provenance.job:
        resource["identifier"] = [{"system": JOB_SYSTEM, "value": provenance.job}]
    if provenance.headers:
        study = {"system": DICOM_UID_SYSTEM, "value": f"urn:oid:{provenance.study_instance_uid}"}
        resource["basis"] = [{"type": "ImagingStudy", "identifier": study}]
    try:
        RiskAssessment.model_validate(resource)
    except ValidationError as error:  # its text quotes values
        where = ", ".join(sorted({".".join(map(str, one["loc"])) for one in error.errors()}))
        raise EncodingError(f"the RiskAssessment is not valid FHIR in: {where}") from None
    return resource


def _patient(provenance: Provenance) -> dict[str, str]:
    patient_id = str(provenance.header.get("PatientID") or "").strip()
    if not patient_id:
        raise EncodingError("a RiskAssessment needs a patient ID")
    system = provenance.profile.identifier_system
    return {"value": patient_id, **({"system": system} if system else {})}


def _prediction(risk: RiskStatement, prediction: Prediction) -> dict[str, Any]:
    outcome: dict[str, Any] = {"coding": [_coding(risk.outcome)]}
    years = prediction.horizon_years
    when = {"low": {"value": 0, **YEAR}, "high": {"value": int(years) if years == int(years) else years, **YEAR}}
    if prediction.probability is None:
        return {"outcome": outcome, "whenRange": when, "rationale": prediction.reason}
    found: dict[str, Any] = {
        "outcome": {**outcome, "text": risk.outcome_text},
        "probabilityDecimal": round(prediction.probability, 4),
        "whenRange": when,
    }
    if prediction.interval is not None:
        low, high = (round(end, 4) for end in prediction.interval)
        found["extension"] = [
            {"url": INTERVAL_EXTENSION, "valueRange": {"low": {"value": low}, "high": {"value": high}}}
        ]
        found["rationale"] = f"{prediction.interval_level:.0%} interval {low:.4f} to {high:.4f}"
    if prediction.relative_risk is not None:
        found["relativeRisk"] = prediction.relative_risk
    return found


def _coding(code: Code) -> dict[str, str]:
    system = CODE_SYSTEMS.get(code.scheme_designator)
    if system is None:
        raise EncodingError(f"FHIR has no name for the coding scheme {code.scheme_designator}")
    return {"system": system, "code": code.value, "display": code.meaning}
