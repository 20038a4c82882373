"""Routes and destinations: listed, paused, resumed, changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import Field

from node.api.fields import Asked, DryRun, Moment, NamePath, Reason
from node.api.guard import ADMINISTRATOR, OPERATOR, GuardedRoute
from node.api.parts import Caller, Parts, PartsOf
from node.api.problems import Refused
from node.config.routes_section import RoutesSection
from node.database.pauses import PauseKind, sentence
from node.errors import ConfigurationError
from node.listings.actions import ActionListing
from node.listings.pauses import PauseListing
from node.listings.routes import (
    DecidingListing,
    HitsListing,
    MistakeListing,
    RouteListing,
    RoutesDraftListing,
    RoutesFileListing,
    TimesListing,
)
from node.route.by_hand import UnknownName
from node.route.changes import route_changes
from node.route.draft import draft
from node.status.route_hits import RouteView, route_views

router = APIRouter(tags=["routes"], route_class=GuardedRoute)

LONGEST_ROUTES = 2**20  # characters


class Since(Asked):
    """Since when something counts."""

    since: Moment


class RoutesText(Asked):
    """The section of routes."""

    text: str = Field(max_length=LONGEST_ROUTES, description="As YAML, with the line `routes:`")


class RoutesChange(RoutesText):
    """Other routes, for the file as it was read."""

    seen: str = Field(pattern="^[0-9a-f]{64}$", description="`digest` of the file that they were made for")


@contextmanager
def _of_path() -> Iterator[None]:
    """A name in the address that there is none of: 404."""
    try:
        yield
    except UnknownName as error:
        raise Refused(404, str(error)) from error


@router.get("/routes")
def list_routes(parts: PartsOf) -> list[RouteListing]:
    """Routes in the order of the configuration, with what they did."""
    pauses = {one.name: sentence(one) for one in parts.actions.pauses.every() if one.kind == PauseKind.ROUTE}
    return [_listed(one) for one in route_views(parts.configuration, parts.database, datetime.now(UTC), pauses)]


def _listed(view: RouteView) -> RouteListing:
    return RouteListing(
        name=view.name,
        pipeline=view.route.pipeline,
        destinations=list(view.route.destination_names),
        shadow=view.route.shadow,
        priority=view.route.priority,
        day=HitsListing.model_validate(view.day),
        week=HitsListing.model_validate(view.week),
        last_hit=view.last_hit,
        deciding=[DecidingListing.model_validate(one) for one in view.deciding],
        jobs=dict(view.jobs),
        times=None if view.times is None else TimesListing.model_validate(view.times),
        share=view.share,
        paused=view.paused,
    )


@router.get("/routes-file", openapi_extra=OPERATOR)
def show_routes_file(parts: PartsOf) -> RoutesFileListing:
    """The section of the configuration file, with its comments."""
    section = RoutesSection.of(parts.config_file)
    return RoutesFileListing(text=section.text, digest=section.digest)


@router.post("/routes-file/try", openapi_extra=OPERATOR)
def try_routes(parts: PartsOf, body: RoutesText) -> RoutesDraftListing:
    """What is wrong with other routes, and what they would change; nothing is written."""
    found = draft(RoutesSection.of(parts.config_file), body.text)
    changes = () if found.configuration is None else route_changes(parts.configuration, found.configuration)
    return RoutesDraftListing(
        fit=found.configuration is not None,
        mistakes=[MistakeListing(**asdict(one)) for one in found.mistakes],
        doubts=[MistakeListing(**asdict(one)) for one in found.doubts],
        changes=[sentence for change in changes for sentence in change.sentences],
    )


@router.put("/routes-file", openapi_extra=ADMINISTRATOR)
def apply_routes(parts: PartsOf, caller: Caller, body: RoutesChange, dry_run: DryRun = False) -> ActionListing:
    """Write other routes into the configuration file, and have the node go by them."""
    if dry_run:
        tried = try_routes(parts, body)
        wrong = "\n".join(f"{one.line}: {one.key}: {one.sentence}" for one in tried.mistakes)
        return ActionListing(done=False, sentences=tried.changes, refusal=wrong)
    reload = parts.actions.apply_routes(body.text, caller.name, body.seen)
    if not reload.taken:
        raise ConfigurationError("\n".join(reload.sentences))
    return ActionListing.did(*reload.sentences)


# ---- pauses
@router.get("/pauses")
def list_pauses(parts: PartsOf) -> list[PauseListing]:
    """All that is paused."""
    return [PauseListing.model_validate(one) for one in parts.actions.pauses.every()]


@router.post("/routes/{name}/pause", openapi_extra=OPERATOR)
def pause_route(parts: PartsOf, caller: Caller, name: NamePath, body: Reason, dry_run: DryRun = False) -> ActionListing:
    """Begin none of a route's jobs until it is resumed."""
    return _pause(parts, PauseKind.ROUTE, name, body.why, caller.name, dry_run=dry_run)


@router.post("/routes/{name}/resume", openapi_extra=OPERATOR)
def resume_route(parts: PartsOf, caller: Caller, name: NamePath, dry_run: DryRun = False) -> ActionListing:
    """End the pause of a route."""
    return _resume(parts, PauseKind.ROUTE, name, caller.name, dry_run=dry_run)


@router.post("/destinations/{name}/pause", openapi_extra=OPERATOR)
def pause_destination(
    parts: PartsOf, caller: Caller, name: NamePath, body: Reason, dry_run: DryRun = False
) -> ActionListing:
    """Send nothing to a destination until it is resumed."""
    return _pause(parts, PauseKind.DESTINATION, name, body.why, caller.name, dry_run=dry_run)


@router.post("/destinations/{name}/resume", openapi_extra=OPERATOR)
def resume_destination(parts: PartsOf, caller: Caller, name: NamePath, dry_run: DryRun = False) -> ActionListing:
    """End the pause of a destination."""
    return _resume(parts, PauseKind.DESTINATION, name, caller.name, dry_run=dry_run)


def _pause(parts: Parts, kind: PauseKind, name: str, why: str, by: str, *, dry_run: bool) -> ActionListing:
    with _of_path():
        if dry_run:
            return ActionListing.would(parts.actions.pauses.preview_pause(kind, name))
        parts.actions.pauses.pause(kind, name, why, by)
    return ActionListing.did(f"The {kind} is paused until somebody resumes it.")


def _resume(parts: Parts, kind: PauseKind, name: str, by: str, *, dry_run: bool) -> ActionListing:
    if dry_run:
        return ActionListing.would(parts.actions.pauses.preview_resume(kind, name))
    parts.actions.pauses.resume(kind, name, by)
    return ActionListing.did("What waited begins.")


@router.post("/destinations/{name}/resend", openapi_extra=OPERATOR)
def resend(parts: PartsOf, caller: Caller, name: NamePath, body: Since, dry_run: DryRun = False) -> ActionListing:
    """Give a destination again what it took since a time, such as after it was restored from an older copy."""
    with _of_path():
        if dry_run:
            return ActionListing.would(parts.actions.resending.preview(name, body.since))
        taken = parts.actions.resending.send_again(name, body.since, caller.name)
    return ActionListing.did(f"{taken.objects} objects are sent again.", jobs=list(taken.jobs))
