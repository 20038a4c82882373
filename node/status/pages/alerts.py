"""Alerts: what is wrong now and was, who is told, and of what; a test of a channel, and silence for a rule."""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from node.access.identity import Role, identity_of
from node.actions.preview import Preview
from node.alerts.operations import list_alerts, silence, test_channel
from node.config import Configuration
from node.database.connection import Database
from node.route.by_hand import UnknownName
from node.status.pages.confirmations import Confirmation, ConfirmationPages, Field, Typed
from node.status.site import Site

PAST_SHOWN = 50
HOURS = {"0": "no time: end the silence", "1": "an hour", "4": "4 hours", "24": "a day", "168": "a week"}


class AlertsPage:
    """Its routes."""

    def __init__(self, site: Site, configuration: Configuration, database: Database) -> None:
        self._site, self._configuration, self._database = site, configuration, database

    def routes(self) -> list[BaseRoute]:
        """The list for everybody who may look; what acts for operators."""
        acting = ConfirmationPages(self._site, [self._test(), self._silence()])
        return [Route("/alerts", self._site.guarded(self._show)), *acting.routes()]

    def _show(self, request: Request) -> Response:
        found = list_alerts(self._configuration, self._database, datetime.now(UTC), PAST_SHOWN)
        acts = identity_of(request).may(Role.OPERATOR)
        return self._site.page(request, "alerts.html", alerts=found, acts=acts)

    def _test(self) -> Confirmation:
        def preview(request: Request, _: Typed) -> Preview:
            name = _known(request, self._configuration.alerts.channels, "channel")
            sentence = "It gets one message that says that it is a test. If it does not take it, you are told why."
            return Preview(f"Send a test to {name}?", (sentence,))

        def act(request: Request, _: Typed, by: str) -> str:
            test_channel(self._configuration, self._database, _name(request), by, datetime.now(UTC))
            return "/alerts?done=tested"

        return Confirmation("/alerts/channels/{name}/test", "Send", preview, act, _back)

    def _silence(self) -> Confirmation:
        def preview(request: Request, _: Typed) -> Preview:
            name = _known(request, self._configuration.alerts.rules_in_force, "rule")
            sentence = "Nobody is told of what the rule finds. What still lasts when the time is over is told then."
            return Preview(f"Silence the rule {name}?", (sentence,))

        def act(request: Request, typed: Typed, by: str) -> str:
            if typed["hours"] not in HOURS:
                raise UnknownName("hours: should be one of those in the list")
            hours = timedelta(hours=int(typed["hours"])) or None
            silence(self._configuration, self._database, _name(request), hours, by, datetime.now(UTC))
            return f"/alerts?done={'silenced' if hours else 'heard'}"

        long = Field("hours", "For", "select", tuple(HOURS.items()))
        return Confirmation("/alerts/rules/{name}/silence", "Silence", preview, act, _back, lambda _: [long])


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


def _known(request: Request, names: Container[str], what: str) -> str:
    name = _name(request)
    if name not in names:
        raise UnknownName(f"{what} {name}: there is none of that name")
    return name


def _back(_: Request) -> str:
    return "/alerts"
