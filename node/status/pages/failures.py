"""What went wrong lately, the same fault as one line; failed jobs of one can be restarted together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.access.identity import Role, identity_of
from node.config import Configuration
from node.database.connection import Database
from node.errors import NodeError
from node.receive.files_not_taken import FileNotTaken, files_not_taken
from node.status.failures import ALARMING, JOBS_KEPT, Failures, Group, Kind
from node.status.forms import NOT_OURS
from node.status.site import Site

DAYS = (1, 7, 30)
DEFAULT_DAYS = 7
ON_PAGE = 50
PURPOSE = "restart failed jobs"

RestartJob = Callable[[str, str], object]
"""Has a job run again: its id, and who says so; raises `NodeError` with why not."""


class FailuresPage:
    """Its routes.

    Parameters
    ----------
    configuration
        The one in force.
    restart_job
        Has a failed job run again; None: nothing does.
    """

    def __init__(
        self, site: Site, configuration: Configuration, database: Database, restart_job: RestartJob | None = None
    ) -> None:
        self._site, self._restart_job = site, restart_job
        self._data = configuration.node.data
        self._watched = [folder.path for folder in configuration.receive.watched_folders]
        self._failures = Failures(database, list(configuration.destinations), self._files)

    def routes(self) -> list[BaseRoute]:
        """The page, and the restart of a group."""
        return [
            Route("/failures", self._site.guarded(self._show)),
            Route("/failures/restart", self._site.guarded(self._ask, Role.OPERATOR)),
            Route("/failures/restart", self._site.taking_form(self._restarted, Role.OPERATOR), methods=["POST"]),
        ]

    def _files(self) -> list[FileNotTaken]:
        files, _ = files_not_taken(self._data, self._watched)
        return list(files)

    def _show(self, request: Request) -> Response:
        days, kind, page = _asked(request.query_params)
        groups = self._failures.groups(datetime.now(UTC) - timedelta(days=days))
        shown = [group for group in groups if kind is None or group.kind is kind]
        first = page * ON_PAGE
        return self._site.page(
            request,
            "failures.html",
            groups=shown[first : first + ON_PAGE],
            number=len(shown),
            totals=_totals(groups),
            alarming=ALARMING,
            kind=kind,
            days=days,
            all_days=DAYS,
            before=_address(days, kind, page - 1) if page else "",
            after=_address(days, kind, page + 1) if len(shown) > first + ON_PAGE else "",
            address=lambda days=days, kind=kind: _address(days, kind, 0),
            place=f"{first + 1} to {min(first + ON_PAGE, len(shown))} of {len(shown)}",
            restarts=self._restart_job is not None,
            done=request.query_params.get("restarted", ""),
        )

    # ---- restart
    def _group(self, key: str, days: int) -> Group | None:
        found = self._failures.groups(datetime.now(UTC) - timedelta(days=days), Kind.FAILED)
        return next((group for group in found if group.key == key and group.jobs), None)

    def _ask(self, request: Request) -> Response:
        days, _, _ = _asked(request.query_params)
        group = self._group(request.query_params.get("group", ""), days)
        if group is None or self._restart_job is None:
            return self._site.sentence(request, HTTPStatus.NOT_FOUND, "There is no such failed job any more.")
        return self._site.page(
            request,
            "failures_restart.html",
            group=group,
            days=days,
            most=JOBS_KEPT,
            token=self._site.form_token(request, PURPOSE, group.key),
        )

    def _restarted(self, request: Request, fields: Mapping[str, str]) -> Response:
        key, who = fields.get("group", ""), identity_of(request).name
        if not self._site.is_ours(request, fields.get("token", ""), PURPOSE, key):
            return self._site.sentence(request, HTTPStatus.FORBIDDEN, NOT_OURS)
        days, _, _ = _asked(fields)
        group = self._group(key, days)
        if group is None or self._restart_job is None:
            return self._site.sentence(request, HTTPStatus.NOT_FOUND, "There is no such failed job any more.")
        done, problems = 0, Counter[str]()
        for job in group.jobs:
            try:
                self._restart_job(job, who)
                done += 1
            except NodeError as error:
                problems[str(error)] += 1
        if problems and not done:
            return self._site.sentence(request, HTTPStatus.CONFLICT, f"No job was restarted: {next(iter(problems))}.")
        return RedirectResponse(f"/failures?{urlencode({'days': days, 'restarted': done})}", HTTPStatus.SEE_OTHER)


def _totals(groups: list[Group]) -> dict[Kind, int]:
    """By kind, how often."""
    found = dict.fromkeys(Kind, 0)
    for group in groups:
        found[group.kind] += group.times
    return found


def _asked(query: Mapping[str, str]) -> tuple[int, Kind | None, int]:
    """Days, kind and page that were asked for; what cannot be meant is as by default."""
    days = query.get("days", "")
    kind = query.get("kind", "")
    page = query.get("page", "")
    return (
        int(days) if days.isdecimal() and len(days) < 4 and int(days) in DAYS else DEFAULT_DAYS,
        Kind(kind) if kind in list(Kind) else None,
        int(page) if page.isdecimal() and len(page) < 6 else 0,
    )


def _address(days: int, kind: Kind | None, page: int) -> str:
    asked = {"days": days, **({"kind": kind.value} if kind else {}), **({"page": page} if page else {})}
    return f"/failures?{urlencode(asked)}"
