"""The models that routes run: versions, cards, and how far a shadow agrees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from node.config import Configuration
from node.database.connection import Database
from node.status.model_list import ModelList
from node.status.pages.now import Workers
from node.status.shadow_agreement import agreement
from node.status.site import Site

AGREEMENT_DAYS = (7, 30, 90)
DEFAULT_DAYS = 30


class ModelPages:
    """Their routes.

    Parameters
    ----------
    configuration
        The one in force.
    workers
        What each inference process is at, and which pipelines it has in memory.
    """

    def __init__(self, site: Site, configuration: Configuration, database: Database, workers: Workers = tuple) -> None:
        self._site, self._configuration, self._database, self._workers = site, configuration, database, workers
        self._list = ModelList(configuration, database)

    def routes(self) -> list[BaseRoute]:
        """Of all models, of a card, and of a shadow's agreement."""
        guarded = self._site.guarded
        return [
            Route("/models", guarded(self._all)),
            Route("/models/{route}/card", guarded(self._card)),
            Route("/models/{route}/agreement", guarded(self._agreement)),
        ]

    def _all(self, request: Request) -> Response:
        warm: dict[str, list[int]] = {}
        workers = self._workers()
        for worker in workers:
            for pipeline in worker.warm:
                warm.setdefault(pipeline, []).append(worker.slot + 1)
        return self._site.page(
            request,
            "models.html",
            models=self._list.models(),
            run=self._configuration.run,
            warm=warm,
            workers=len(workers),
        )

    def _card(self, request: Request) -> Response:
        route, number = request.path_params["route"], request.query_params.get("number", "0")
        found = self._list.card(route, int(number)) if number.isdecimal() and len(number) < 4 else None
        if found is None:
            raise HTTPException(404, "There is no such model card.")
        name, lines = found
        return self._site.page(request, "model_card.html", route=route, name=name, lines=lines)

    def _agreement(self, request: Request) -> Response:
        name = request.path_params["route"]
        shadow = self._configuration.routes.get(name)
        if shadow is None or shadow.shadow_of is None:
            raise HTTPException(404, "No such route runs in the shadow of another.")
        asked = request.query_params.get("days", "")
        days = int(asked) if asked.isdecimal() and len(asked) < 4 and int(asked) in AGREEMENT_DAYS else DEFAULT_DAYS
        since = datetime.now(UTC) - timedelta(days=days)
        return self._site.page(
            request,
            "agreement.html",
            view=agreement(self._configuration, self._database, shadow.shadow_of, name, since),
            days=days,
            all_days=AGREEMENT_DAYS,
        )
