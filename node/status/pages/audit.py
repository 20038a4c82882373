"""The audit trail: who did what, and when."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from node.access.identity import Role
from node.audit.listing import Filter, in_words, kinds, lines
from node.audit.trail import head_of
from node.database.connection import Database
from node.status.site import Site
from node.status.study_search import YEARS

SHOWN = 100


class AuditPage:
    """Its routes."""

    def __init__(self, site: Site, database: Database) -> None:
        self._site, self._database = site, database
        site.templates.env.filters["in_words"] = in_words

    def routes(self) -> list[BaseRoute]:
        """For administrators: the lines say what everybody did."""
        return [Route("/audit", self._site.guarded(self._show, Role.ADMINISTRATOR))]

    def _show(self, request: Request) -> Response:
        asked = {name: request.query_params.get(name, "").strip() for name in ("what", "who", "study", "from", "to")}
        first, last = _day(asked["from"]), _day(asked["to"])
        older = request.query_params.get("before", "")
        wanted = Filter(
            asked["what"],
            asked["who"],
            asked["study"],
            first,
            last + timedelta(days=1) if last else None,
            int(older) if older.isascii() and older.isdecimal() and len(older) < 19 else None,
        )
        found = lines(self._database, wanted, SHOWN + 1)
        shown = found[:SHOWN]
        given = {name: value for name, value in asked.items() if value}
        next_page = urlencode({**given, "before": shown[-1].id}) if len(found) > SHOWN else ""
        return self._site.page(
            request,
            "audit.html",
            lines=shown,
            kinds=kinds(self._database),
            asked=asked,
            wrong_days=[asked[name] for name, day in (("from", first), ("to", last)) if asked[name] and day is None],
            next_page=next_page,
            first_page=urlencode(given) if older else None,
            head=head_of(self._database),
        )


def _day(text: str) -> datetime | None:
    """The beginning of a day where the node stands; None where the text is none, or of a year that nobody means."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime.combine(day, time()).astimezone(UTC) if day.year in YEARS else None
