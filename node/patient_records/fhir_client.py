"""A FHIR R4 server as a client sees it: ask for a patient's record, give an answer back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import httpx

from node.config import FhirServer
from node.errors import ConfigurationError, PeerRefused, PeerUnavailable

MAXIMUM_PAGES = 200
PAGE = 200
SEARCHES = (  # where a server has no $everything
    "Condition",
    "MedicationRequest",
    "MedicationDispense",
    "MedicationStatement",
    "Observation",
    "Procedure",
    "Encounter",
    "FamilyMemberHistory",
)
BUSY = {408, 429, 500, 502, 503, 504}
NOT_LET_IN = {401, 403}


class _NotLetIn(PeerRefused):
    """Not about what was asked but about who asks: a token that is missing, wrong or over."""


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


class Client:
    """Talks to one server; use it as a context manager.

    Raises
    ------
    ConfigurationError
        If the token file cannot be read.
    """

    def __init__(self, settings: FhirServer) -> None:
        self._settings = settings
        headers = {"Accept": "application/fhir+json"}
        if settings.token_file is not None:
            try:
                headers["Authorization"] = f"Bearer {settings.token_file.read_text(encoding='utf-8').strip()}"
            except OSError as error:
                raise ConfigurationError(f"records.fhir.token_file: {settings.token_file}: {error.strerror}") from error
        self._http = httpx.Client(base_url=settings.url.rstrip("/") + "/", headers=headers, timeout=settings.timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def record(self, patient_id: str) -> dict[str, Any] | None:
        """Everything about the patient with that identifier as one bundle; None if the server knows none.

        Raises
        ------
        PeerRefused
            If the server says no, or knows several patients by that identifier.
        PeerUnavailable
            If it cannot be reached.
        """
        system = self._settings.identifier_system
        identifier = f"{system}|{patient_id}" if system else patient_id
        try:
            found = list(self._search("Patient", {"identifier": identifier}))
        except _NotLetIn as error:  # to say that there is no record would be wrong
            raise PeerUnavailable(str(error)) from None
        patients = [resource for resource in found if resource.get("resourceType") == "Patient"]
        if not patients:
            return None
        if len(patients) > 1:
            raise PeerRefused(f"the FHIR server knows {len(patients)} patients by that identifier")
        logical_id = str(patients[0]["id"])
        whole = {f"{r.get('resourceType')}/{r.get('id')}": r for r in (*patients, *self._everything(logical_id))}
        entries = [{"fullUrl": name, "resource": resource} for name, resource in whole.items()]
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}

    def give(self, resource: dict[str, Any], unless: str = "") -> None:
        """Create a resource on the server.

        Parameters
        ----------
        unless
            A search, as a query; where it finds something, the server creates nothing (conditional create).

        Raises
        ------
        PeerRefused, PeerUnavailable
        """
        headers = {"Content-Type": "application/fhir+json", **({"If-None-Exist": unless} if unless else {})}
        try:
            self._sent("POST", str(resource["resourceType"]), content=json.dumps(resource), headers=headers)
        except _NotLetIn as error:  # a new token mends that, so nothing is given up
            raise PeerUnavailable(str(error)) from None

    def _everything(self, logical_id: str) -> Iterator[dict[str, Any]]:
        try:
            yield from self._search(f"Patient/{logical_id}/$everything", {})
        except PeerRefused:
            for kind in SEARCHES:
                yield from self._search(kind, {"patient": logical_id})

    def _search(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """The resources of all pages of a search."""
        answer = self._sent("GET", path, params={**query, "_count": str(PAGE)})
        for _ in range(MAXIMUM_PAGES):
            for entry in answer.get("entry", ()):
                if isinstance(entry.get("resource"), dict):
                    yield entry["resource"]
            following = next((link["url"] for link in answer.get("link", ()) if link.get("relation") == "next"), None)
            if following is None:
                return
            url = urljoin(str(self._http.base_url), following)
            if _origin(httpx.URL(url)) != _origin(self._http.base_url):  # the token is for this server only
                raise PeerRefused("the FHIR server's next page is on another server")
            answer = self._sent("GET", url)
        raise PeerRefused(f"the FHIR server's answer has more than {MAXIMUM_PAGES} pages")

    def _sent(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        # no URL in any message: it holds the patient's identifier
        try:
            answer = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise PeerUnavailable(f"the FHIR server cannot be reached: {type(error).__name__}") from None
        if answer.status_code in BUSY:
            raise PeerUnavailable(f"the FHIR server answered {answer.status_code}")
        if answer.status_code in NOT_LET_IN:
            raise _NotLetIn(f"the FHIR server answered {answer.status_code}: it does not take the node's token")
        if answer.is_error:
            raise PeerRefused(f"the FHIR server answered {answer.status_code}")
        try:
            content = answer.json() if answer.content else {}
        except ValueError:
            raise PeerRefused("the FHIR server's answer is not JSON") from None
        return content if isinstance(content, dict) else {}
