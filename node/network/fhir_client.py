"""A FHIR R4 server as a client sees it: ask for a patient's record, create a resource, look whether it is there.

The pages of a record stay as they came: `read_page` and `record_bundle` are for a reader process.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import httpx

from node.config import FhirDestination, FhirServer
from node.config.secret_files import bearer
from node.errors import PeerRefused, PeerUnavailable
from node.network.http_answer import (
    SMALL,
    VALUES,
    HttpAnswer,
    HttpAsker,
    UnsuitableAnswer,
    count_values,
    read_json,
    url_segment,
)

# of all pages of one record together
MAXIMUM_PAGES = 1000
RECORD_BYTES = 32 * 2**20  # a record of 1,000,000 values, which is as much as is read, has some 20 MB
RECORD_S = 600.0

LONGEST_ADDRESS = 8000  # characters
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # FHIR R4 2.24.0.1, and the underscore that some servers have
VERSION = re.compile(r"[\w.-]{1,64}", re.ASCII)
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


class RecordTooLarge(PeerRefused):
    """The record is larger than is read: to ask for it in another way would not make it smaller."""


@dataclass(frozen=True)
class FhirPage:
    """What one page of a search says to whoever asks for the next."""

    following: str  # the address of the next page; empty: it is the last one
    patients: int  # that are on it
    patient_id: str  # of the first of them; empty where it has none that is one


@dataclass(frozen=True)
class FhirRecord:
    """A patient's record as a server gave it, in pages."""

    base: str  # address of the server
    patients: tuple[bytes, ...]  # what the search for the patient found
    pages: tuple[bytes, ...]  # everything about the patient


class _Budget:
    """What the pages of one record may still take."""

    def __init__(self) -> None:
        self._bytes, self._values, self._pages = RECORD_BYTES, VALUES, MAXIMUM_PAGES
        self._end = time.monotonic() + RECORD_S

    def take(self, body: bytes) -> None:
        """Count one page more.

        Raises
        ------
        RecordTooLarge
            If all of them are more than is read.
        PeerUnavailable
            If they take too long.
        """
        self._bytes -= len(body)
        self._values -= count_values(body)
        self._pages -= 1
        if self._bytes < 0:
            raise RecordTooLarge(f"the FHIR server's record has more than {RECORD_BYTES // 2**20} MB")
        if self._values < 0:
            raise RecordTooLarge(f"the FHIR server's record has more than {VALUES:,} values")
        if self._pages < 0:
            raise RecordTooLarge(f"the FHIR server's record has more than {MAXIMUM_PAGES} pages")
        if time.monotonic() > self._end:
            raise PeerUnavailable(f"the FHIR server's record takes more than {RECORD_S:.0f} s")


def read_page(body: bytes) -> FhirPage:
    """What a page says of the next one, and of patients.

    Raises
    ------
    UnsuitableAnswer
        If it is no JSON that is read, or names a next page in a way that is none.
    """
    page = _object(read_json(body))
    patients = [resource for resource in _resources(page) if resource.get("resourceType") == "Patient"]
    patient_id = patients[0].get("id") if patients else None
    is_one = isinstance(patient_id, str) and ID.fullmatch(patient_id) and patient_id.strip(".")
    links = (link for link in _dicts(page.get("link")) if link.get("relation") == "next")
    following = next((str(link["url"]) for link in links if link.get("url")), "")
    if len(following) > LONGEST_ADDRESS or not following.isprintable():
        raise UnsuitableAnswer("has a next page with an address that is none")
    return FhirPage(following, len(patients), str(patient_id) if is_one else "")


def record_bundle(base: str, patients: Sequence[bytes], pages: Sequence[bytes]) -> dict[str, Any]:
    """One bundle of all that is on the pages of a `FhirRecord`, whose parts the arguments are; each resource once.

    Raises
    ------
    UnsuitableAnswer
        If they are no JSON, or have too many values together.
    """
    if sum(map(count_values, (*patients, *pages))) > VALUES:
        raise UnsuitableAnswer(f"has more than {VALUES:,} values")
    found = (resource for page in patients for resource in _resources(_object(read_json(page))))
    whole = {_name(resource): resource for resource in found if resource.get("resourceType") == "Patient"}
    for page in pages:
        whole.update((_name(resource), resource) for resource in _resources(_object(read_json(page))))
    # the address of each on the server, so that its references lead there and to no other server's
    entries = [{"fullUrl": f"{base}{name}", "resource": resource} for name, resource in whole.items()]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _name(resource: dict[str, Any]) -> str:
    return f"{resource.get('resourceType')}/{resource.get('id')}"


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


IN_ERROR = "entered-in-error"  # status of DiagnosticReport, Observation and RiskAssessment (FHIR R4)


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

    def __enter__(self) -> FhirClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def record(self, patient_id: str, read: Callable[[bytes], FhirPage]) -> FhirRecord | None:
        """Everything about the patient with that identifier; None if the server knows none.

        Parameters
        ----------
        read
            Calls `read_page` where it may be called.

        Raises
        ------
        RecordTooLarge
            If the server gives more than is read.
        PeerRefused
            If it says no, or knows several patients by that identifier.
        PeerUnavailable
            If it cannot be reached, or is too slow.
        """
        system, budget = self._identifier_system, _Budget()

        def search(path: str, query: dict[str, str]) -> Iterator[tuple[bytes, FhirPage]]:
            return self._search(path, query, read, budget)

        try:
            found = list(search("Patient", {"identifier": f"{system}|{patient_id}" if system else patient_id}))
        except _TokenRefused as error:  # to say that there is no record would be wrong
            raise PeerUnavailable(str(error)) from None
        patients = sum(page.patients for _, page in found)
        if not patients:
            return None
        if patients > 1:
            raise PeerRefused(f"the FHIR server knows {patients} patients by that identifier")
        logical_id = "".join(page.patient_id for _, page in found)
        if not logical_id:
            raise PeerRefused("the FHIR server's Patient has no id, or one that is none")
        pages: list[bytes] = []
        try:
            pages.extend(body for body, _ in search(f"Patient/{url_segment(logical_id)}/$everything", {}))
        except RecordTooLarge:
            raise
        except PeerRefused:
            for kind in SEARCHES:
                pages.extend(body for body, _ in search(kind, {"patient": logical_id}))
        return FhirRecord(str(self._http.base_url), tuple(body for body, _ in found), tuple(pages))

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

    def transact(self, bundle: dict[str, Any], kind: str) -> str:
        """Have the server do all that a transaction asks for, or nothing; what it answered, in a few words.

        Parameters
        ----------
        bundle
            Of type transaction (FHIR R4 3.1.0.11).
        kind
            The resource whose place is told.

        Raises
        ------
        PeerRefused, PeerUnavailable
        """
        headers = {"Content-Type": "application/fhir+json", "Prefer": "return=minimal"}
        answer = self._asked_with_token("POST", "", content=json.dumps(bundle), headers=headers)
        try:
            told = _object(answer.json())
        except UnsuitableAnswer:  # it has said by its status that all is done
            told = {}
        places = [str(response.get("location", "")) for response in _responses(told)]
        found = next(filter(None, (re.search(rf"{kind}/[A-Za-z0-9.-]{{1,64}}", place) for place in places)), None)
        return f"HTTP {answer.status}: {found.group() if found else 'taken'}"

    def has(self, kind: str, identifier: str, *, taken_back_too: bool = True) -> bool:
        """Whether the server has a resource of that kind with that identifier, a system and a value with a bar between.

        Parameters
        ----------
        taken_back_too
            Whether one counts that is marked as entered in error.

        Raises
        ------
        PeerRefused, PeerUnavailable
        """
        answer = _json(
            self._asked_with_token("GET", kind, params={"identifier": identifier, "_count": "1"}, largest=SMALL)
        )
        found = [resource for resource in _resources(answer) if resource.get("resourceType") == kind]
        return any(taken_back_too or resource.get("status") != IN_ERROR for resource in found)

    def search(self, kind: str, query: dict[str, str]) -> list[dict[str, Any]]:
        """The resources of that kind that a search finds, of all pages.

        Raises
        ------
        PeerRefused, PeerUnavailable
        """
        found: list[dict[str, Any]] = []
        path, more, budget = kind, {"params": {**query, "_count": str(PAGE)}}, _Budget()
        while path:
            answer = self._asked_with_token("GET", path, **more)
            budget.take(answer.body)
            page = _json(answer)
            found += [resource for resource in _resources(page) if resource.get("resourceType") == kind]
            links = (link for link in _dicts(page.get("link")) if link.get("relation") == "next")
            try:
                path, more = self._on_this_server(next((str(link.get("url", "")) for link in links), "")), {}
            except UnsuitableAnswer as error:
                raise PeerRefused(f"the FHIR server's answer {error}") from None
        return found

    def fhir_version(self) -> str:
        """The version that the server's capability statement names, such as 4.0.1.

        Raises
        ------
        PeerRefused, PeerUnavailable
        """
        version = _json(self._asked_with_token("GET", "metadata")).get("fhirVersion")
        if not isinstance(version, str) or not VERSION.fullmatch(version):
            raise PeerRefused("the FHIR server's metadata names no FHIR version")
        return version

    def _asked_with_token(self, method: str, path: str, **more: Any) -> HttpAnswer:
        """As `_asked`; a token that the server does not take is a reason to try again, as a new one mends that."""
        try:
            return self._asked(method, path, **more)
        except _TokenRefused as error:
            raise PeerUnavailable(str(error)) from None

    def _search(
        self, path: str, query: dict[str, str], read: Callable[[bytes], FhirPage], budget: _Budget
    ) -> Iterator[tuple[bytes, FhirPage]]:
        """All pages of a search."""
        more: dict[str, Any] = {"params": {**query, "_count": str(PAGE)}}
        while path:
            body = self._asked("GET", path, **more).body
            budget.take(body)
            try:
                page = read(body)
                path, more = self._on_this_server(page.following), {}
            except UnsuitableAnswer as error:
                raise PeerRefused(f"the FHIR server's answer {error}") from None
            yield body, page

    def _on_this_server(self, following: str) -> str:
        """The address of the next page; empty where there is none."""
        if not following:
            return ""
        try:
            url = urljoin(str(self._http.base_url), following)
            origin = _origin(httpx.URL(url))
        except (ValueError, httpx.InvalidURL):
            raise UnsuitableAnswer("has a next page with an address that is none") from None
        if origin != _origin(self._http.base_url):  # the token is for this server only
            raise UnsuitableAnswer("has its next page on another server")
        return url

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
    return _object(content)


def _object(content: Any) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}


def _resources(bundle: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The resources of a bundle; what is none is left out."""
    return (entry["resource"] for entry in _dicts(bundle.get("entry")) if isinstance(entry.get("resource"), dict))


def _responses(bundle: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a transaction's answer says of each entry."""
    return (entry["response"] for entry in _dicts(bundle.get("entry")) if isinstance(entry.get("response"), dict))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
