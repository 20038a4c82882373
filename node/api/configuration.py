"""The configuration is read anew, and the audit trail is read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from node.api.fields import LINE, UID, DryRun, Limit, Moment
from node.api.guard import ADMINISTRATOR, OPERATOR, GuardedRoute
from node.api.parts import Caller, PartsOf
from node.audit.listing import Filter, lines
from node.errors import ConfigurationError
from node.listings.actions import ActionListing
from node.listings.audit import AuditListing
from node.listings.listing import PageListing

router = APIRouter(tags=["node"], route_class=GuardedRoute)

Text = Annotated[str, Query(pattern=LINE, min_length=1, max_length=128)]


@router.post("/reload", openapi_extra=OPERATOR)
def reload(parts: PartsOf, caller: Caller, dry_run: DryRun = False) -> ActionListing:
    """Have the node read its configuration anew."""
    if dry_run:
        return ActionListing.would(parts.actions.reload.preview())
    found = parts.actions.reload.reload(caller.name)
    if not found.taken:
        raise ConfigurationError("\n".join(found.sentences))
    return ActionListing.did(*found.sentences)


@router.get("/audit", openapi_extra=ADMINISTRATOR)
def list_audit(
    parts: PartsOf,
    what: Text | None = None,
    who: Text | None = None,
    study: Annotated[str, Query(pattern=UID, description="Study Instance UID")] | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    before: Annotated[int, Query(ge=1, le=2**53, description="`next` of the page before")] | None = None,
    limit: Limit = 100,
) -> PageListing[AuditListing]:
    """Who did what, when; the latest first."""
    found = lines(parts.database, Filter(what or "", who or "", study or "", since, until, before), limit + 1)
    shown = found[:limit]
    more = str(shown[-1].id) if len(found) > limit else None
    return PageListing[AuditListing](items=[AuditListing.model_validate(row) for row in shown], next=more)
