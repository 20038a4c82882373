"""All routes: as they are configured, how often each matched lately, and what its jobs cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from node.config import Configuration
from node.database.connection import Database
from node.status.route_hits import route_views
from node.status.site import Site


def nothing_paused() -> Mapping[str, str]:
    """Of a node on which no route can be paused."""
    return {}


class RoutesPage:
    """Its route.

    Parameters
    ----------
    configuration
        The one in force.
    paused
        By route: who paused it, and why.
    tries
        Whether there is a page on which a change is tried.
    """

    def __init__(
        self,
        site: Site,
        configuration: Configuration,
        database: Database,
        *,
        paused: Callable[[], Mapping[str, str]] | None = None,
        tries: bool = False,
    ) -> None:
        self._site, self._configuration, self._database, self._tries = site, configuration, database, tries
        self._paused = nothing_paused if paused is None else paused
        self._pauses = paused is not None

    def routes(self) -> list[BaseRoute]:
        """The page."""
        return [Route("/routes", self._site.guarded(self._show))]

    def _show(self, request: Request) -> Response:
        now = datetime.now(UTC)
        return self._site.page(
            request,
            "routes.html",
            views=route_views(self._configuration, self._database, now, self._paused()),
            can_try=self._tries,
            can_pause=self._pauses,
        )
