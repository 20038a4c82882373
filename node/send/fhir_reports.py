"""Reports on a FHIR server: which they are, what a later one leaves behind, and how they are taken back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dicom_sr.write.diagnostic_report import REPORT_SYSTEM
from dicom_sr.write.fhir import JOB_SYSTEM
from node.errors import PeerRefused
from node.network.fhir_client import IN_ERROR, FhirClient

Resource = dict[str, Any]


def main_resource(sent: Resource) -> Resource:
    """The resource that stands for all that are sent: of a transaction the last, its report."""
    report: Resource = sent["entry"][-1]["resource"] if sent["resourceType"] == "Bundle" else sent
    return report


def identifier(resource: Resource) -> str:
    """A resource's identifier as a search wants it: the job's, where others may take its place under the first."""
    chosen = next(iter(_of_jobs(resource, old=False)), resource["identifier"][0])
    return _token(chosen)


def with_patient(client: FhirClient, sent: Resource) -> Resource | None:
    """What is sent, with references to the server's own Patient beside the patient ID; None where it has none.

    Raises
    ------
    PeerRefused
        If the server has several with that ID, or does not let them be searched for.
    PeerUnavailable
    """
    of: Resource = main_resource(sent)["subject"]
    patient_id = of["identifier"]
    token = _token(patient_id) if "system" in patient_id else str(patient_id["value"])
    places = {f"Patient/{one['id']}" for one in client.search("Patient", {"identifier": token}) if one.get("id")}
    if not places:
        return None
    if len(places) > 1:
        raise PeerRefused(f"the FHIR server has {len(places)} patients with that ID")
    found: Resource = _replaced(sent, of, {**of, "reference": places.pop()})
    return found


def _replaced(within: Any, old: Resource, new: Resource) -> Any:
    if within == old:
        return new
    if isinstance(within, dict):
        return {key: _replaced(value, old, new) for key, value in within.items()}
    return [_replaced(value, old, new) for value in within] if isinstance(within, list) else within


def with_what_it_leaves_behind(client: FhirClient, bundle: Resource) -> Resource:
    """A report's transaction, which also takes back Observations that only the report before it had.

    Raises
    ------
    PeerRefused, PeerUnavailable
    """
    report = main_resource(bundle)
    if not _of_jobs(report, old=True):
        return bundle
    kept = {_token(one) for entry in bundle["entry"] for one in entry["resource"].get("identifier", ())}
    left = [one for one in _observations(client, report) if not kept & set(map(_token, one.get("identifier", ())))]
    return {**bundle, "entry": [*map(_in_error, left), *bundle["entry"]]}


def withdrawal(client: FhirClient, sent: Resource) -> Resource | None:
    """A transaction that takes back what was sent; None where the server has none of it, or a later one in its place.

    Raises
    ------
    PeerRefused, PeerUnavailable
    """
    main = main_resource(sent)
    of = identifier(main)
    found = [one for one in client.search(str(main["resourceType"]), {"identifier": of}) if identifier(one) == of]
    reports = [one for one in found if one.get("status") != IN_ERROR]
    if not reports:
        return None
    observations = _observations(client, main) if main["resourceType"] == "DiagnosticReport" else ()
    entries = [_in_error(one) for one in (*observations, *reports)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _observations(client: FhirClient, report: Resource) -> Iterator[Resource]:
    """Those on the server that are of a report or of one that it replaces, and are not taken back."""
    root = next(one["value"] for one in report["identifier"] if one["system"] == REPORT_SYSTEM)
    found = client.search("Observation", {"_tag": f"{REPORT_SYSTEM}|{root}"})
    return (one for one in found if one.get("status") != IN_ERROR)


def _in_error(resource: Resource) -> Resource:
    if not resource.get("id"):
        raise PeerRefused(f"the FHIR server's {resource['resourceType']} has no id, so that it cannot be marked")
    place = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": {**resource, "status": IN_ERROR}, "request": {"method": "PUT", "url": place}}


def _of_jobs(resource: Resource, *, old: bool) -> list[Resource]:
    named: Iterable[Resource] = resource.get("identifier", ())
    return [one for one in named if one.get("system") == JOB_SYSTEM and (one.get("use") == "old") is old]


def _token(of: Resource) -> str:
    return f"{of.get('system', '')}|{of.get('value', '')}"
