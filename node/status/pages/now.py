"""The first page: what comes, runs and goes out now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from node.config import Configuration
from node.database.connection import Database
from node.run.pool import WorkerView
from node.status.asked_for import AskedFor
from node.status.health import Health
from node.status.places import where
from node.status.present import Present
from node.status.receivers import receivers
from node.status.site import Site
from node.status.study_search import Search, StudySearch

LIVE_S = 5  # between two looks of an open page
STUDIES_SHOWN = 12
REQUESTS_SHOWN = 10

Workers = Callable[[], Sequence[WorkerView]]


class NowPage:
    """Its routes.

    Parameters
    ----------
    workers
        What each inference process is at.
    acts
        Whether destinations can be paused, and sent to again.
    """

    def __init__(
        self,
        site: Site,
        configuration: Configuration,
        database: Database,
        health: Health,
        workers: Workers,
        *,
        acts: bool = False,
    ) -> None:
        self._acts = acts
        self._site, self._health, self._workers = site, health, workers
        destinations = {name: where(of) for name, of in configuration.destinations.items()}
        self._present = Present(database, destinations, configuration.run.workers)
        self._asked_for, self._search = AskedFor(database), StudySearch(database)
        self._receivers = tuple(receivers(configuration))

    def routes(self) -> list[BaseRoute]:
        """The start of the site."""
        return [Route("/", self._site.guarded(self._show))]

    def _show(self, request: Request) -> Response:
        now = datetime.now(UTC)
        queues, destinations = self._present.queues(), self._present.destinations(now)
        fetches, more_fetches = self._asked_for.fetches(REQUESTS_SHOWN)
        failing_callbacks, more_failing_callbacks = self._asked_for.callbacks_that_fail(REQUESTS_SHOWN)
        return self._site.page(
            request,
            "now.html",
            live_s=LIVE_S,
            acting=self._acts,
            numbers=self._present.numbers(queues, destinations, now),
            reception=self._present.reception(now),
            receivers=self._receivers,
            queues=queues,
            under_way=self._present.under_way(),
            workers=self._workers(),
            destinations=destinations,
            studies=self._search.page(Search()).lines[:STUDIES_SHOWN],
            requests=self._present.requests(),
            fetches=fetches,
            more_fetches=more_fetches,
            failing_callbacks=failing_callbacks,
            more_failing_callbacks=more_failing_callbacks,
            disk=self._health.disk,
        )
