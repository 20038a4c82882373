"""Alerts: listed, silenced, and channels tried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from pydantic import Field

from node.alerts.operations import list_alerts, silence, test_channel
from node.api.fields import Asked, NamePath, Whole
from node.api.guard import OPERATOR, GuardedRoute
from node.api.parts import Caller, PartsOf
from node.listings.actions import ActionListing
from node.listings.alerts import AlertsListing

router = APIRouter(tags=["alerts"], route_class=GuardedRoute)


class Silence(Asked):
    """For how long nobody is told."""

    minutes: Whole = Field(ge=0, le=60 * 24 * 365, description="From now on; 0: everybody is told again")


@router.get("/alerts")
def show_alerts(parts: PartsOf) -> AlertsListing:
    """What is wrong and what was, with rules and channels."""
    return AlertsListing.model_validate(list_alerts(parts.configuration, parts.database, datetime.now(UTC)))


@router.post("/alerts/rules/{name}/silence", openapi_extra=OPERATOR)
def silence_rule(parts: PartsOf, caller: Caller, name: NamePath, body: Silence) -> ActionListing:
    """Have nobody told of what a rule finds, for so long."""
    long = timedelta(minutes=body.minutes) if body.minutes else None
    until = silence(parts.configuration, parts.database, name, long, caller.name, datetime.now(UTC))
    told = (
        "Everybody is told again." if until is None else f"Nobody is told until {until.isoformat(timespec='seconds')}."
    )
    return ActionListing.did(told)


@router.post("/alerts/channels/{name}/test", openapi_extra=OPERATOR)
def try_channel(parts: PartsOf, caller: Caller, name: NamePath) -> ActionListing:
    """Send a channel a test message."""
    answer = test_channel(parts.configuration, parts.database, name, caller.name, datetime.now(UTC))
    return ActionListing.did("The message is sent.", *([answer] if answer else []))
