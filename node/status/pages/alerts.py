"""Alerts: what is wrong now and was, who is told, and of what."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from node.alerts.operations import list_alerts
from node.config import Configuration
from node.database.connection import Database
from node.status.site import Site

PAST_SHOWN = 50


class AlertsPage:
    """Its routes."""

    def __init__(self, site: Site, configuration: Configuration, database: Database) -> None:
        self._site, self._configuration, self._database = site, configuration, database

    def routes(self) -> list[BaseRoute]:
        """For everybody who may look."""
        return [Route("/alerts", self._site.guarded(self._show))]

    def _show(self, request: Request) -> Response:
        found = list_alerts(self._configuration, self._database, datetime.now(UTC), PAST_SHOWN)
        return self._site.page(request, "alerts.html", alerts=found)
