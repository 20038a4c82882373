"""That there is a result, or none, as a JSON file: what an e-mail or a webhook tells people and other systems.

It names neither the patient nor the study, unless the profile of the destination lists what it may say of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom.sr.coding import Code

from dicom_sr.findings import Finding, Measurement, NotRun, Result, Site
from dicom_sr.lawful import is_uid
from dicom_sr.profile import RESEARCH_USE, EncodedObject
from dicom_sr.provenance import Provenance
from dicom_sr.write.foreign_file import write_file

FORMAT = "condyle-notification-1"
HEADERS = {"accession_number": "AccessionNumber", "patient_id": "PatientID", "patient_name": "PatientName"}
LONGEST = 200  # findings that are listed


def encode_notification(provenance: Provenance, folder: Path) -> tuple[EncodedObject, ...]:
    """Write ``notification.json``. The UID, by which the node knows it, follows from its content."""
    content = json.dumps(notification(provenance), indent=1).encode()  # ASCII: a name may be no valid Unicode
    # what is told of a job that failed and of the same job when it is done are two
    digest = hashlib.sha256(content).hexdigest()
    return (write_file(provenance, "notification", content, folder / "notification.json", digest),)


def notification(provenance: Provenance) -> dict[str, Any]:
    """What is told: the job, what was found in words and codes, and what the profile lets it say of the patient."""
    result, profile = provenance.result, provenance.profile
    told: dict[str, Any] = {
        "format": FORMAT,
        "job": provenance.job,
        "pipeline": {"name": result.model.name, "version": result.model.version, "title": result.title},
        "state": "done" if isinstance(result, Result) else "not run",
        "research_use": RESEARCH_USE,
    }
    if profile.page_url:
        told["link"] = f"{profile.page_url.rstrip('/')}/jobs/{provenance.job}"
    if profile.patient_details:
        told["patient"] = dict(_details(provenance))
    return told | (_not_run(result) if isinstance(result, NotRun) else _result(result))


def _details(provenance: Provenance) -> Iterator[tuple[str, str]]:
    for detail in provenance.profile.patient_details:
        if detail == "study_instance_uid":
            study = provenance.study_instance_uid if provenance.headers else ""
            yield detail, study if is_uid(study) else ""
        else:
            yield detail, str(provenance.whose.get(HEADERS[detail]) or "").strip()


def _not_run(result: NotRun) -> dict[str, Any]:
    return {"sentences": [result.reason]}


def _result(result: Result) -> dict[str, Any]:
    return {
        "sentences": [*result.conclusion, *result.remarks, result.model.trained_on],
        "findings": [_finding(one) for one in result.findings[:LONGEST]],
        "findings_left_out": max(0, len(result.findings) - LONGEST),
        "not_evaluable": [
            {"what": _code(one.what), "reason": _code(one.reason), **_site(one.site)}
            for one in result.not_evaluable[:LONGEST]
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "finding": _code(finding.finding),
        **_site(finding.site),
        "measurements": [_measurement(one) for one in finding.measurements],
        "evaluations": [{"name": _code(one.name), "value": _code(one.value)} for one in finding.evaluations],
    }


def _measurement(one: Measurement) -> dict[str, Any]:
    measured: dict[str, Any] = {"name": _code(one.name), "value": one.value, "unit": one.unit.value}
    if one.interval is not None:
        measured["interval"] = list(one.interval)
    return measured


def _site(site: Site | None) -> dict[str, Any]:
    if site is None:
        return {}
    return {"site": _code(site.modifier or site.region), "laterality": site.laterality or ""}


def _code(code: Code) -> dict[str, str]:
    return {"scheme": code.scheme_designator, "code": code.value, "meaning": code.meaning}
