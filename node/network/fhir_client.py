"""A FHIR R4 server as a client sees it: ask for a patient's record, create a resource, look whether it is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import httpx

from node.config import FhirDestination, FhirServer
from node.config.secret_files import bearer
from node.errors import PeerRefused, PeerUnavailable
from node.network.http_answer import HttpAnswer, HttpAsker, UnsuitableAnswer, url_segment

MAXIMUM_PAGES = 200
RECORD_BYTES = 128 * 2**20  # of all pages of one record
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # FHIR R4 2.24.0.1, and the underscore that some servers have
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
UNAUTHORISED = {401, 403}


class _TokenRefused(PeerRefused):
    """Not about what was asked but about who asks: a token that is missing, wrong or over."""


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


class FhirClient:
    """Talks to one server; use it as a context manager, or close it.

    Parameters
    ----------
    server
        Where it is, and with which token.
    key
        Where the server stands in the configuration, for messages.

    Raises
    ------
    ConfigurationError
        If the token file cannot be read, or holds no token.
    """

    def __init__(self, server: FhirServer | FhirDestination, key: str = "records.fhir") -> None:
        self._identifier_system = server.identifier_system
        headers = {"Accept": "application/fhir+json"}
        if server.token_file is not None:
            headers["Authorization"] = bearer(f"{key}.token_file", server.token_file)
        self._http = HttpAsker(server.timeout_s, base_url=server.url.rstrip("/") + "/", headers=headers)
        self._left = RECORD_BYTES

    def __enter__(self) -> FhirClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
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
        self._left = RECORD_BYTES
        system = self._identifier_system
        identifier = f"{system}|{patient_id}" if system else patient_id
        try:
            found = list(self._search("Patient", {"identifier": identifier}))
        except _TokenRefused as error:  # to say that there is no record would be wrong
            raise PeerUnavailable(str(error)) from None
        patients = [resource for resource in found if resource.get("resourceType") == "Patient"]
        if not patients:
            return None
        if len(patients) > 1:
            raise PeerRefused(f"the FHIR server knows {len(patients)} patients by that identifier")
        logical_id = patients[0].get("id")
        if not isinstance(logical_id, str) or not ID.fullmatch(logical_id) or not logical_id.strip("."):
            raise PeerRefused("the FHIR server's Patient has no id, or one that is none")
        whole = {f"{r.get('resourceType')}/{r.get('id')}": r for r in (*patients, *self._everything(logical_id))}
        # the address of each on the server, so that its references lead there and to no other server's
        base = str(self._http.base_url)
        entries = [{"fullUrl": f"{base}{name}", "resource": resource} for name, resource in whole.items()]
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}

    def create(self, resource: dict[str, Any], unless: str = "") -> str:
        """Create a resource on the server; what it answered, in a few words.

        Parameters
        ----------
        resource
            With its ``resourceType``.
        unless
            A search, as a query; where it finds something, the server creates nothing (conditional create).

        Raises
        ------
        PeerRefused, PeerUnavailable
        """
        headers = {"Content-Type": "application/fhir+json", **({"If-None-Exist": unless} if unless else {})}
        kind = str(resource["resourceType"])
        answer = self._asked_with_token("POST", kind, content=json.dumps(resource), headers=headers)
        if answer.status == httpx.codes.OK:
            return "HTTP 200: there already"
        made = re.search(
            rf"{kind}/[A-Za-z0-9.-]{{1,64}}", answer.headers.get("Location", "")
        )  # ids as of FHIR R4 2.24.0.1
        return f"HTTP {answer.status}: {made.group() if made else 'created'}"

    def has(self, kind: str, identifier: str) -> bool:
        """Whether the server has a resource of that kind with that identifier, a system and a value with a bar between.

        Raises
        ------
        PeerRefused, PeerUnavailable
        """
        answer = _json(self._asked_with_token("GET", kind, params={"identifier": identifier, "_count": "1"}))
        return any(resource.get("resourceType") == kind for resource in _resources(answer))

    def fhir_version(self) -> str:
        """The version that the server's capability statement names, such as 4.0.1.

        Raises
        ------
        PeerRefused, PeerUnavailable
        """
        version = _json(self._asked_with_token("GET", "metadata")).get("fhirVersion")
        if not isinstance(version, str):
            raise PeerRefused("the FHIR server's metadata names no FHIR version")
        return version

    def _asked_with_token(self, method: str, path: str, **more: Any) -> HttpAnswer:
        """As `_asked`; a token that the server does not take is a reason to try again, as a new one mends that."""
        try:
            return self._asked(method, path, **more)
        except _TokenRefused as error:
            raise PeerUnavailable(str(error)) from None

    def _everything(self, logical_id: str) -> Iterator[dict[str, Any]]:
        try:
            yield from self._search(f"Patient/{url_segment(logical_id)}/$everything", {})
        except PeerRefused:
            for kind in SEARCHES:
                yield from self._search(kind, {"patient": logical_id})

    def _search(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """The resources of all pages of a search."""
        answer = self._page(path, params={**query, "_count": str(PAGE)})
        for _ in range(MAXIMUM_PAGES):
            yield from _resources(answer)
            links = (link for link in _dicts(answer.get("link")) if link.get("relation") == "next")
            following = next((str(link["url"]) for link in links if link.get("url")), None)
            if following is None:
                return
            try:
                url = urljoin(str(self._http.base_url), following)
                origin = _origin(httpx.URL(url))
            except (ValueError, httpx.InvalidURL):
                raise PeerRefused("the FHIR server's next page has an address that is none") from None
            if origin != _origin(self._http.base_url):  # the token is for this server only
                raise PeerRefused("the FHIR server's next page is on another server")
            answer = self._page(url)
        raise PeerRefused(f"the FHIR server's answer has more than {MAXIMUM_PAGES} pages")

    def _page(self, path: str, **more: Any) -> dict[str, Any]:
        """One page of a record, whose pages together have a limit."""
        answer = self._asked("GET", path, **more)
        self._left -= len(answer.body)
        if self._left < 0:
            raise PeerRefused(f"the FHIR server's record has more than {RECORD_BYTES // 2**20} MB")
        return _json(answer)

    def _asked(self, method: str, path: str, **more: Any) -> HttpAnswer:
        # no URL in any message: it holds the patient's identifier
        try:
            answer = self._http.ask(method, path, **more)
        except UnsuitableAnswer as error:
            raise PeerRefused(f"the FHIR server's answer {error}") from None
        except httpx.HTTPError as error:
            raise PeerUnavailable(f"the FHIR server cannot be reached: {type(error).__name__}") from None
        if answer.status in BUSY:
            raise PeerUnavailable(f"the FHIR server answered {answer.status}")
        if answer.status in UNAUTHORISED:
            raise _TokenRefused(f"the FHIR server answered {answer.status}: it does not take the node's token")
        if answer.status >= 400:
            raise PeerRefused(f"the FHIR server answered {answer.status}")
        if not answer.is_success:  # it would count as created, and is not
            raise PeerUnavailable(f"the FHIR server answered {answer.status}: it is at another address")
        return answer


def _json(answer: HttpAnswer) -> dict[str, Any]:
    try:
        content = answer.json()
    except UnsuitableAnswer as error:
        raise PeerRefused(f"the FHIR server's answer {error}") from None
    return content if isinstance(content, dict) else {}


def _resources(bundle: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The resources of a bundle; what is none is left out."""
    return (entry["resource"] for entry in _dicts(bundle.get("entry")) if isinstance(entry.get("resource"), dict))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
