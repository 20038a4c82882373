"""A risk as an answer: the pipeline run on one record in a process of its own, its result as a FHIR RiskAssessment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from multiprocessing import get_context
from threading import Lock
from typing import Any

from fhir.resources.R4B.riskassessment import RiskAssessment

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Result
from dicom_sr.series import Study
from node.processes import end_when_orphaned
from pipelines.context import ClinicalContext
from pipelines.records.record import Identity
from pipelines.registry import pipeline_type

PIPELINE = "knee_oa_risk"
KNEE_OA = {"system": "http://snomed.info/sct", "code": "239873007", "display": "Osteoarthritis of knee"}
HORIZONS = {"OA-RISK-1Y": 1, "OA-RISK-3Y": 3, "OA-RISK-5Y": 5}
JOBS = "urn:condyle:job"
INTERVAL = "urn:condyle:fhir:probability-interval"
YEAR = {"unit": "year", "system": "http://unitsofmeasure.org", "code": "a"}

_loaded: dict[str, Any] = {}  # of the child process: pipelines by settings, warm


def _one_thread() -> None:
    """In the child, before torch: one patient is too little work for more than one thread. It ends with the node."""
    os.environ["OMP_NUM_THREADS"] = "1"
    end_when_orphaned()


def _run(settings: Mapping[str, Any], context: ClinicalContext) -> Result | str:
    """In the child: the result, or why there is none."""
    key = repr(sorted(settings.items()))
    if key not in _loaded:
        kind = pipeline_type(PIPELINE)
        _loaded[key] = kind(kind.settings_type(**settings))
        _loaded[key].load()
    try:
        result: Result = _loaded[key].run(Study("", ()), context)
    except UnsuitableInput as error:
        return str(error)
    return result


@dataclass
class Assessor:
    """Answers requests with a process of its own, started with the first one and kept warm.

    Parameters
    ----------
    settings
        Of the pipeline: those of its route, so that a request and a study are answered alike.
    """

    settings: Mapping[str, Any]
    _pool: ProcessPoolExecutor | None = None
    _lock: Lock = field(default_factory=Lock)

    def assess(self, context: ClinicalContext) -> Result:
        """Run the pipeline.

        Raises
        ------
        UnsuitableInput
            As the pipeline says.
        """
        try:
            answer = self.submit(context).result()
        except BrokenProcessPool:  # it was killed, for want of memory perhaps: a new one gets one more try
            self._renew()
            answer = self.submit(context).result()
        if isinstance(answer, str):
            raise UnsuitableInput(answer)
        return answer

    def submit(self, context: ClinicalContext) -> Future[Result | str]:
        with self._lock:
            if self._pool is None:
                # spawned: this process has threads, and torch must not come into it
                self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_one_thread)
            return self._pool.submit(_run, dict(self.settings), context)

    def _renew(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = None

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None


def route_settings(routes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the first route to the pipeline; its defaults where no route leads there."""
    return next((dict(route.settings) for route in routes.values() if route.pipeline == PIPELINE), {})


def risk_assessment(
    result: Result, who: Identity, index_date: date, system: str = "", job: str = "", study: str = ""
) -> dict[str, Any]:
    """The result as a FHIR R4 RiskAssessment, validated.

    Each prediction holds a probability, the time it speaks of, and its interval as an extension and in words. A model
    that held its tongue gives a prediction without a probability, and says why.

    Parameters
    ----------
    system
        Of the patient's identifier.
    job, study
        The job that found it and the StudyInstanceUID it found it for, where it is no answer to a request.
    """
    identifier = {"value": who.patient_id, **({"system": system} if system else {})}
    resource = {
        "resourceType": "RiskAssessment",
        "status": "preliminary",  # research use: nobody has confirmed it
        "subject": {"type": "Patient", "identifier": identifier},
        "occurrenceDateTime": index_date.isoformat(),
        "method": {"text": f"{result.model.name} {result.model.version}, weights {result.model.weights_digest[:12]}"},
        "code": {"text": result.title},
        "prediction": _predictions(result),
        "note": [{"text": text} for text in (*result.conclusion, result.model.trained_on, *result.limits)],
        "meta": {"lastUpdated": datetime.now(UTC).isoformat(timespec="seconds")},
    }
    if job:
        resource["identifier"] = [{"system": JOBS, "value": job}]
    if study:
        images = {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"}
        resource["basis"] = [{"type": "ImagingStudy", "identifier": images}]
    model = RiskAssessment.model_validate(resource)
    return {key: value for key, value in resource.items() if key in model.model_dump()} | {
        "resourceType": "RiskAssessment"
    }


def _predictions(result: Result) -> list[dict[str, Any]]:
    predictions: list[dict[str, Any]] = []
    measured = {m.name.value: m for finding in result.findings for m in finding.measurements}
    ratio = measured.get("OA-RISK-RATIO")
    for code, years in HORIZONS.items():
        when = {"low": {"value": 0, **YEAR}, "high": {"value": years, **YEAR}}
        number = measured.get(code)
        if number is None:
            continue
        prediction: dict[str, Any] = {
            "outcome": {"coding": [KNEE_OA], "text": "First diagnosis of knee osteoarthritis"},
            "probabilityDecimal": round(number.value / 100, 4),
            "whenRange": when,
        }
        if number.interval is not None:
            low, high = (round(end / 100, 4) for end in number.interval)
            bounds = {"low": {"value": low}, "high": {"value": high}}
            prediction["extension"] = [{"url": INTERVAL, "valueRange": bounds}]
            prediction["rationale"] = f"{number.interval_level:.0%} interval {low:.4f} to {high:.4f}"
        if ratio is not None and years == max(HORIZONS.values()):
            prediction["relativeRisk"] = ratio.value
        predictions.append(prediction)
    for missing in result.not_evaluable:
        years = HORIZONS[missing.what.value]
        when = {"low": {"value": 0, **YEAR}, "high": {"value": years, **YEAR}}
        predictions.append({"outcome": {"coding": [KNEE_OA]}, "whenRange": when, "rationale": missing.sentence})
    return predictions
