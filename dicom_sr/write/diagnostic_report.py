"""A result as a FHIR R4 DiagnosticReport with its Observations, as one transaction Bundle in a JSON file.

After the guide "DICOM SR to FHIR Resource Mapping" 1.0.0 (hl7.fhir.uv.dicom-sr), which is written for R5: what R4 has
no element for is said here in R4's own way. The codes are those of the measurement report::

    DiagnosticReport
      result -> Observation of each measurement group: the finding, its site, why it could not be judged
                  hasMember -> Observation of each number (its uncertainty as components), and of each evaluation
    Device: the algorithm

Every resource is found again by an identifier that stays the same when a job revises another, so that a server that is
given a Bundle twice, or a revised one, has one report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC
from html import escape
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from fhir.resources.R4B.bundle import Bundle
from pydicom.sr.codedict import codes as standard

from dicom_sr import codes
from dicom_sr.findings import Evaluation, Finding, Measurement, NotEvaluable, NotRun, Site
from dicom_sr.profile import EncodedObject
from dicom_sr.provenance import Provenance
from dicom_sr.uids import uid
from dicom_sr.words import capital
from dicom_sr.write import statements
from dicom_sr.write.equipment import algorithm_uid, algorithms, manufacturer
from dicom_sr.write.fhir import (
    DICOM_UID_SYSTEM,
    JOB_SYSTEM,
    check,
    coding,
    concept,
    patient_reference,
    quantity,
    study_reference,
    uid_value,
    write_json,
)

REPORT_SYSTEM = "urn:condyle:report"  # identifier system of reports, and tag of their Observations
ALGORITHM_SYSTEM = "urn:condyle:algorithm"
BODY_SITE = "http://hl7.org/fhir/StructureDefinition/bodySite"  # R4's extension for a BodyStructure
OBSERVATION_UID = {
    "coding": [
        {"system": "http://hl7.org/fhir/uv/dicom-sr/CodeSystem/dicom-identifier-type", "code": "observation-uid"}
    ]
}
ACCESSION = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
RADIOLOGY = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD", "display": "Radiology"}]
}
IMAGING = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "imaging"}]}
ABSENT_SYSTEM = "http://terminology.hl7.org/CodeSystem/data-absent-reason"

Resource = dict[str, Any]


def encode_diagnostic_report(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the result, or that there is none, as ``diagnostic_report.json``.

    Raises
    ------
    EncodingError
        If the result names no patient, uses a coding scheme that FHIR has no name for, or makes no valid Bundle.
    """
    profile = provenance.profile
    # with another device UID, places are tracked by other UIDs
    form = (profile.report_status, str(profile.snomed_licence), profile.institution, profile.device_uid)
    return (write_json(provenance, "diagnostic_report", ReportBundle(provenance).bundle, folder, *form),)


class ReportBundle:
    """The Bundle of one result."""

    def __init__(self, provenance: Provenance) -> None:
        self._provenance, self._result = provenance, provenance.result
        self._root = (provenance.earlier_jobs or (provenance.job or provenance.uid("diagnostic_report"),))[-1]
        self._moment = provenance.created.astimezone(UTC).isoformat(timespec="seconds")
        self._status = _status(provenance)
        self._subject = patient_reference(provenance, "DiagnosticReport")
        self._entries: list[Resource] = []
        self._seen: Counter[str] = Counter()
        self._device = self._add_device()
        results = [self._group(found) for found in statements.findings(provenance)]
        self._add(self._report(results), f"identifier={REPORT_SYSTEM}|{self._root}")
        self.bundle: Resource = {"resourceType": "Bundle", "type": "transaction", "entry": self._entries}
        check(self.bundle, Bundle)

    # ---- entries
    def _add(self, resource: Resource, search: str, *, update: bool = True) -> Resource:
        """Add a resource that takes the place of the one that the search finds, or is left out for it."""
        kind = resource["resourceType"]
        request = (
            {"method": "PUT", "url": f"{kind}?{search}"}
            if update
            else {"method": "POST", "url": kind, "ifNoneExist": search}
        )
        address = f"urn:uuid:{uuid5(NAMESPACE_OID, f'{kind}?{search}')}"
        self._entries.append({"fullUrl": address, "resource": resource, "request": request})
        return {"reference": address}

    def _add_device(self) -> Resource:
        model, algorithm = self._provenance.model, algorithms(self._provenance)[0]
        value = f"{model.name}-{model.version}-{model.weights_digest[:16]}"
        properties = [("weights sha256", model.weights_digest), ("trained on", model.trained_on)]
        if model.configuration_digest:
            properties.append(("configuration sha256", model.configuration_digest))
            value += f"-{model.configuration_digest[:16]}"
        device: Resource = {
            "resourceType": "Device",
            "identifier": [
                {"system": ALGORITHM_SYSTEM, "value": value},
                {"system": DICOM_UID_SYSTEM, "value": uid_value(algorithm_uid(self._provenance, algorithm))},
            ],
            "manufacturer": manufacturer(algorithm),
            "deviceName": [{"name": model.name, "type": "model-name"}],
            "type": concept(codes.ARTIFICIAL_INTELLIGENCE),
            "version": [{"value": model.version}],
            "property": [{"type": {"text": name}, "valueCode": [{"text": text}]} for name, text in properties],
        }
        return self._add(device, f"identifier={ALGORITHM_SYSTEM}|{value}", update=False)

    # ---- report
    def _report(self, results: list[Resource]) -> Resource:
        provenance = self._provenance
        jobs = [provenance.job] if provenance.job else []
        identifiers = [{"system": REPORT_SYSTEM, "value": self._root}]
        identifiers += [{"system": JOB_SYSTEM, "value": job} for job in jobs]
        identifiers += [{"use": "old", "system": JOB_SYSTEM, "value": job} for job in provenance.earlier_jobs]
        texts = [text for _, text in statements.sentences(provenance)]
        report: Resource = {
            "resourceType": "DiagnosticReport",
            "identifier": identifiers,
            "status": self._status,
            "category": [RADIOLOGY],
            "code": {**concept(statements.title(provenance)), "text": self._result.title},
            "subject": self._subject,
            "effectiveDateTime": self._moment,
            "issued": self._moment,
            "result": results,
            "conclusion": "\n".join(texts),
            "text": {"status": "generated", "div": _narrative(self._result.title, texts)},
        }
        if provenance.profile.institution:
            report["performer"] = [{"type": "Organization", "display": provenance.profile.institution}]
        if provenance.headers:
            report["imagingStudy"] = [self._study]
            report |= self._request
        return report

    @property
    def _study(self) -> Resource:
        reference = study_reference(self._provenance)
        kind = {"coding": [coding(statements.STUDY_INSTANCE_UID)]}
        return {**reference, "identifier": {"type": kind, **reference["identifier"]}}

    @property
    def _request(self) -> Resource:
        """The order, by the accession number."""
        accession = str(self._provenance.header.get("AccessionNumber") or "").strip()
        if not accession:
            return {}
        return {"basedOn": [{"type": "ServiceRequest", "identifier": {"type": ACCESSION, "value": accession}}]}

    # ---- observations
    def _observation(self, key: str, site: Site | None, tracking_id: str) -> Resource:
        """What every Observation of a finding has."""
        self._seen[key] += 1
        number = "" if self._seen[key] == 1 else str(self._seen[key])
        own = uid(self._provenance.profile.uid_root, "observation", self._root, key, number)
        made: Resource = {
            "resourceType": "Observation",
            "meta": {"tag": [{"system": REPORT_SYSTEM, "code": self._root}]},
            "contained": [self._body_structure(tracking_id, site)],
            "extension": [{"url": BODY_SITE, "valueReference": {"reference": "#site"}}],
            "identifier": [{"type": OBSERVATION_UID, "system": DICOM_UID_SYSTEM, "value": uid_value(own)}],
            "status": self._status,
            "category": [IMAGING],
            "subject": self._subject,
            "effectiveDateTime": self._moment,
            "issued": self._moment,
            "device": self._device,
        }
        if site is not None:
            made["bodySite"] = {"coding": [coding(site.region)], "text": statements.site_in_words(site)}
        if self._provenance.headers:
            made["partOf"] = [self._study]
            made |= self._request
        return made

    def _add_observation(self, observation: Resource) -> Resource:
        (identifier,) = observation["identifier"]
        return self._add(observation, f"identifier={identifier['system']}|{identifier['value']}")

    def _body_structure(self, tracking_id: str, site: Site | None) -> Resource:
        """Where it is, and by which name and UID the same place is known in every study of the patient."""
        unique = uid_value(self._provenance.tracking_uid(tracking_id))
        made: Resource = {
            "resourceType": "BodyStructure",
            "id": "site",
            "identifier": [
                {"type": {"coding": [coding(standard.DCM.TrackingIdentifier)]}, "value": tracking_id},
                {
                    "type": {"coding": [coding(standard.DCM.TrackingUniqueIdentifier)]},
                    "system": DICOM_UID_SYSTEM,
                    "value": unique,
                },
            ],
            "patient": self._subject,
        }
        if site is not None:
            side = None if site.laterality is None else codes.LATERALITY[site.laterality]
            made["location"] = concept(site.region)
            if qualifiers := [concept(one) for one in (side, site.modifier) if one is not None]:
                made["locationQualifier"] = qualifiers
        return made

    def _group(self, found: Finding | NotEvaluable) -> Resource:
        """A measurement group: its members first, then itself."""
        reported = self._provenance.reported
        members: list[Resource] = []
        key = found.tracking_id
        if isinstance(found, NotEvaluable):
            group = self._observation(key, found.site, key)
            group["dataAbsentReason"] = {
                "coding": [{"system": ABSENT_SYSTEM, "code": "unknown"}, coding(reported(found.reason))],
                "text": found.sentence,
            }
            group["component"] = [
                {"code": concept(codes.NOT_EVALUABLE), "valueCodeableConcept": concept(reported(found.what))}
            ]
        else:
            members += [self._number(key, found.site, one) for one in found.measurements]
            members += [self._evaluation(key, found.site, one) for one in found.evaluations]
            group = self._observation(key, found.site, key)
            group["valueCodeableConcept"] = concept(reported(found.finding))
        if isinstance(self._result, NotRun):
            group["note"] = [{"text": self._result.reason}]
        group["category"] = [{"coding": [coding(standard.DCM.MeasurementGroup)]}]
        group["code"] = {**concept(statements.FINDING), "text": key}
        if members:
            group["hasMember"] = members
        return self._add_observation(group)

    def _number(self, key: str, site: Site | None, measurement: Measurement) -> Resource:
        name = self._provenance.reported(measurement.name)
        derivation = measurement.derivation
        observation = self._observation(
            f"{key}|{name.value}|{'' if derivation is None else derivation.value}", site, key
        )
        observation["code"] = concept(name)
        observation["valueQuantity"] = quantity(measurement.value, measurement.unit)
        if derivation is not None:
            observation["method"] = concept(derivation)
        if components := list(self._uncertainty(measurement)):
            observation["component"] = components
            observation["note"] = [{"text": capital(statements.uncertainty_in_words(measurement))}]
        return self._add_observation(observation)

    def _uncertainty(self, measurement: Measurement) -> Iterator[Resource]:
        for one in statements.uncertainties(measurement, self._provenance):
            yield {"code": concept(one.name), "valueQuantity": quantity(one.value, measurement.unit)}

    def _evaluation(self, key: str, site: Site | None, evaluation: Evaluation) -> Resource:
        name = self._provenance.reported(evaluation.name)
        observation = self._observation(f"{key}|{name.value}|", site, key)
        observation["code"] = concept(name)
        observation["valueCodeableConcept"] = concept(self._provenance.reported(evaluation.value))
        return self._add_observation(observation)


def _status(provenance: Provenance) -> str:
    """Nobody has confirmed what a machine says, unless the site has it otherwise."""
    if isinstance(provenance.result, NotRun):
        return "cancelled"
    if provenance.profile.report_status == "preliminary":
        return "preliminary"
    return "corrected" if provenance.earlier_jobs else "final"


def _narrative(title: str, texts: list[str]) -> str:
    lines = "".join(f"<p>{escape(text)}</p>" for text in texts)
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><h1>{escape(title)}</h1>{lines}</div>'
