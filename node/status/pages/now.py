"""The first page: what comes, runs and goes out now, and what went wrong lately."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from node.config import Configuration
from node.database.connection import Database
from node.receive.files_not_taken import files_not_taken
from node.status.asked_for import AskedFor
from node.status.health import Health
from node.status.overview import Overview
from node.status.site import Site

LIVE_S = 5  # between two looks of an open page
STUDIES_SHOWN = 25
REFUSALS_SHOWN = 10
REQUESTS_SHOWN = 10


class NowPage:
    """Its routes."""

    def __init__(
        self, site: Site, configuration: Configuration, database: Database, overview: Overview, health: Health
    ) -> None:
        self._site, self._overview, self._health = site, overview, health
        self._asked_for = AskedFor(database)
        self._data = configuration.node.data
        self._watched = [folder.path for folder in configuration.receive.watched_folders]

    def routes(self) -> list[BaseRoute]:
        """The start of the site."""
        return [Route("/", self._site.guarded(self._show))]

    def _show(self, request: Request) -> Response:
        not_stored, more_not_stored = self._overview.not_stored(REFUSALS_SHOWN)
        fetches, more_fetches = self._asked_for.fetches(REQUESTS_SHOWN)
        failing_callbacks, more_failing_callbacks = self._asked_for.callbacks_that_fail(REQUESTS_SHOWN)
        files, files_count = files_not_taken(self._data, self._watched)
        return self._site.page(
            request,
            "overview.html",
            live_s=LIVE_S,
            totals=self._overview.totals(datetime.now(UTC)),
            under_way=self._overview.under_way(),
            studies=self._overview.studies(STUDIES_SHOWN),
            requests=self._overview.requests(REQUESTS_SHOWN),
            fetches=fetches,
            more_fetches=more_fetches,
            failing_callbacks=failing_callbacks,
            more_failing_callbacks=more_failing_callbacks,
            destinations=self._overview.destinations(),
            refused=self._overview.refused_associations(REFUSALS_SHOWN),
            records_not_read=self._overview.records_not_read(REFUSALS_SHOWN),
            files=files[:REFUSALS_SHOWN],
            more_files=files_count - len(files[:REFUSALS_SHOWN]),
            not_stored=not_stored,
            more_not_stored=more_not_stored,
            disk=self._health.disk,
        )
