"""A small FHIR server on a real socket: what the node asks for records and gives risks to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvicorn
from fhir.resources.R4B.riskassessment import RiskAssessment
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from node.config.checks import listening_socket


class Prediction(NamedTuple):
    """One prediction of a RiskAssessment."""

    years: int
    risk: float
    rationale: str


def predictions(assessment: RiskAssessment) -> list[Prediction]:
    """What a RiskAssessment predicts, in its own order; every prediction has a horizon, a risk and a rationale."""
    assert assessment.prediction is not None
    found = []
    for prediction in assessment.prediction:
        assert prediction.whenRange is not None
        assert prediction.whenRange.high is not None
        assert prediction.whenRange.high.value is not None
        assert prediction.probabilityDecimal is not None
        assert prediction.rationale is not None
        years = int(prediction.whenRange.high.value)
        found.append(Prediction(years, float(prediction.probabilityDecimal), prediction.rationale))
    return found


@contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """The address of `app`, served by a thread."""
    with listening_socket("127.0.0.1", port) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class FhirPeer:
    """Patients by identifier, $everything in pages or searches per type, RiskAssessment created, conditionally too;
    of a transaction it keeps all resources as they come.

    Parameters
    ----------
    bundle
        Its only patient, first, and what it knows of them.
    everything
        Whether it offers $everything.
    statuses
        What it answers the first times something is to be created, in place of creating it.
    """

    def __init__(self, bundle: dict[str, Any], everything: bool = True, statuses: tuple[int, ...] = ()) -> None:
        self.resources = [dict(entry["resource"]) for entry in bundle["entry"]]
        for number, resource in enumerate(self.resources[1:]):
            resource.update(id=f"r{number}", subject={"reference": "Patient/patient"})
        self.everything, self.patients, self.statuses = everything, 1, list(statuses)
        self.tokens: set[str | None] = set()  # that it was given
        self.given: list[dict[str, Any]] = []
        self.transactions: list[dict[str, Any]] = []
        self.forgetful = False  # whether it loses what it is given
        self.searchable = True  # whether it lets risks be searched for
        self.url = ""
        self.pages = ""  # where its next pages are said to be, if not here
        self.busy: list[int] = []  # what it answers the first times somebody is looked for
        self.app = Starlette(
            routes=[
                HttpRoute("/r4/Patient", self.patient),
                HttpRoute("/r4/Patient/patient/$everything", self.all),
                HttpRoute("/r4/metadata", self.metadata),
                HttpRoute("/r4/RiskAssessment", self.take, methods=["POST"]),
                HttpRoute("/r4/RiskAssessment", self.find, methods=["GET"]),
                HttpRoute("/r4/DiagnosticReport", self.find, methods=["GET"]),
                HttpRoute("/r4/", self.transact, methods=["POST"]),
                HttpRoute("/r4/{kind}", self.search),
            ]
        )

    def patient(self, request: Request) -> Response:
        self.tokens.add(request.headers.get("authorization"))
        if self.busy:
            return Response(status_code=self.busy.pop(0))
        found = self.resources[:1] * self.patients if request.query_params["identifier"] == "urn:h|P-1" else []
        return JSONResponse({"resourceType": "Bundle", "entry": [{"resource": r} for r in found]})

    def all(self, request: Request) -> Response:
        self.tokens.add(request.headers.get("authorization"))
        if not self.everything:
            return Response(status_code=404)
        start = int(request.query_params.get("start", "0"))
        page = {"resourceType": "Bundle", "entry": [{"resource": r} for r in self.resources[start : start + 40]]}
        if start + 40 < len(self.resources):
            page["link"] = [
                {
                    "relation": "next",
                    "url": f"{self.pages or request.base_url}r4/Patient/patient/$everything?start={start + 40}",
                }
            ]
        return JSONResponse(page)

    def search(self, request: Request) -> Response:
        found = [r for r in self.resources if r["resourceType"] == request.path_params["kind"]]
        return JSONResponse({"resourceType": "Bundle", "entry": [{"resource": r} for r in found]})

    def metadata(self, request: Request) -> Response:
        self.tokens.add(request.headers.get("authorization"))
        return JSONResponse({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})

    async def take(self, request: Request) -> Response:
        self.tokens.add(request.headers.get("authorization"))
        if self.statuses:
            return Response(status_code=self.statuses.pop(0))
        unless = request.headers.get("if-none-exist", "").removeprefix("identifier=")
        if unless and self._with(unless):
            return Response(status_code=200)
        content = await request.json()
        if not self.forgetful:
            self.given.append(content)
        return Response(
            status_code=201, headers={"Location": f"{request.base_url}r4/RiskAssessment/{len(self.given)}/_history/1"}
        )

    async def transact(self, request: Request) -> Response:
        if self.statuses:
            return Response(status_code=self.statuses.pop(0))
        bundle = await request.json()
        self.transactions.append(bundle)
        if not self.forgetful:
            for entry in bundle["entry"]:
                self._keep(entry["resource"])
        locations = [{"response": {"location": f"{e['resource']['resourceType']}/1"}} for e in bundle["entry"]]
        return JSONResponse({"resourceType": "Bundle", "type": "transaction-response", "entry": locations})

    def _keep(self, resource: dict[str, Any]) -> None:
        """A resource of a transaction, with an id of its own; one that has it already takes the place of the former."""
        if "id" in resource:
            self.given[int(resource["id"])] = resource
        else:
            self.given.append({**resource, "id": str(len(self.given))})

    def find(self, request: Request) -> Response:
        if not self.searchable:
            return Response(status_code=404)
        found = [{"resource": resource} for resource in self._with(request.query_params["identifier"])]
        return JSONResponse({"resourceType": "Bundle", "entry": found})

    def _with(self, identifier: str) -> list[dict[str, Any]]:
        return [r for r in self.given if any(f"{i['system']}|{i['value']}" == identifier for i in r["identifier"])]
