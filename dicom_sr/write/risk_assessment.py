"""A risk as a FHIR R4 RiskAssessment, in a JSON file: for a FHIR server, and for whoever asked the node for it.

One prediction for each horizon: a probability, the time it is about, and its interval, as an extension and in words. A
model that gives no probability gives the reason in its place.
"""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

from fhir.resources.R4B.riskassessment import RiskAssessment

from dicom_sr.findings import Prediction, Result, RiskStatement
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance
from dicom_sr.write.fhir import JOB_SYSTEM, UCUM_SYSTEM, check, coding, patient_reference, study_reference, write_json

INTERVAL_EXTENSION = "urn:condyle:fhir:probability-interval"
YEAR = {"unit": "year", "system": UCUM_SYSTEM, "code": "a"}


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
    return (write_json(provenance, "risk_assessment", resource, folder),)


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
        "subject": patient_reference(provenance, "RiskAssessment"),
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
        resource["basis"] = [study_reference(provenance)]
    check(resource, RiskAssessment)
    return resource


def _prediction(risk: RiskStatement, prediction: Prediction) -> dict[str, Any]:
    outcome: dict[str, Any] = {"coding": [coding(risk.outcome)]}
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
