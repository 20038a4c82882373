"""The list of studies, with its search; every list has an address of its own, without a number of a patient in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.access.identity import identity_of
from node.config import Configuration
from node.database.connection import Database
from node.network.content_encoding import UnsuitableBody
from node.status.forms import fields_of
from node.status.site import Site
from node.status.study_search import (
    LOOKED_THROUGH,
    REASONS_LOOKED_THROUGH,
    STATES,
    Mistake,
    Page,
    Place,
    Search,
    StudySearch,
)
from node.study.patients import accession_digest, marking_key, patient_id_digest

MODALITIES = ("CR", "CT", "DX", "MR", "US", "PT", "NM", "XA", "MG")  # that are offered; others can be typed
LABELS = {
    "accession": "Accession number",
    "patient": "Patient ID",
    "uid": "Study Instance UID",
    "since": "Received from",
    "until": "Received until",
    "modality": "Modality",
    "state": "State",
    "route": "Route",
    "reason": "Reason",
}
NUMBERS = ("accession", "patient")  # of which addresses hold digests
NOT_YOURS = "Patients are found by their ID only by those who may see patients."


@dataclass(frozen=True)
class Chip:
    """Something that is asked for, and the address without it."""

    label: str
    value: str
    without: str


class StudiesPage:
    """Its routes."""

    def __init__(self, site: Site, configuration: Configuration, database: Database) -> None:
        self._site, self._search = site, StudySearch(database)
        self._data: Path = configuration.node.data
        self._routes = tuple(configuration.routes)

    def routes(self) -> list[BaseRoute]:
        """The list, and the form that finds studies by their numbers."""
        return [
            Route("/studies", self._site.guarded(self._show)),
            Route("/studies", self._by_number, methods=["POST"]),
        ]

    def _show(self, request: Request) -> Response:
        asked = dict(request.query_params)
        if "" in asked.values():  # as a form sends what was left empty
            filled = {name: value for name, value in asked.items() if value}
            return RedirectResponse(str(request.url.replace(query="").include_query_params(**filled)), 303)
        try:
            search = Search.of(asked)
        except Mistake as mistake:
            return self._page(request, Search(), Page(), asked, str(mistake), HTTPStatus.UNPROCESSABLE_ENTITY)
        if search.patient and not identity_of(request).sees_patients:
            return self._page(request, replace(search, patient=""), Page(), asked, NOT_YOURS, HTTPStatus.FORBIDDEN)
        before, after = (Place.of_text(asked.get(name, "")) for name in ("before", "after"))
        return self._page(request, search, self._search.page(search, before, None if before else after), asked)

    def _page(
        self,
        request: Request,
        search: Search,
        found: Page,
        asked: Mapping[str, str],
        mistake: str = "",
        status: int = HTTPStatus.OK,
    ) -> Response:
        return self._site.page(
            request,
            "studies.html",
            status,
            search=search,
            found=found,
            typed=asked,
            mistake=mistake,
            chips=[
                Chip(LABELS[name], "as typed" if name in NUMBERS else value, search.without(name))
                for name, value in search.asked.items()
            ],
            newer=search.path(after=str(found.newer)) if found.newer else "",
            older=search.path(before=str(found.older)) if found.older else "",
            states=STATES,
            routes=dict.fromkeys([*self._routes, *([search.route] if search.route else [])]),
            modalities=MODALITIES,
            looked_through=LOOKED_THROUGH,
            reasons_looked_through=REASONS_LOOKED_THROUGH,
        )

    async def _by_number(self, request: Request) -> Response:
        """Lead to the address of the studies with a number: it holds a digest of it, and no number.

        It is posted so that no proxy's log has the number; it changes nothing, and needs no token of the form.
        """
        if (refused := await run_in_threadpool(self._site.refusal, request)) is not None:
            return refused
        try:
            fields = await fields_of(request)
        except UnsuitableBody as problem:
            return self._site.sentence(request, problem.status, f"{problem.sentence}.")
        return await run_in_threadpool(self._found, request, fields)

    def _found(self, request: Request, fields: Mapping[str, str]) -> Response:
        key = marking_key(self._data)
        accession, patient = (fields.get(name, "").strip() for name in NUMBERS)
        if patient and not identity_of(request).sees_patients:
            return self._site.sentence(request, HTTPStatus.FORBIDDEN, NOT_YOURS)
        search = Search(
            accession=accession_digest(accession, key) if accession else "",
            patient=patient_id_digest(patient, key) if patient else "",
        )
        return RedirectResponse(search.path(), HTTPStatus.SEE_OTHER)
