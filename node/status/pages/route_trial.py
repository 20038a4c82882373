"""Try a change of the routes: edit them, see their mistakes and what the last days' studies would have come to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from node.access.identity import Role, identity_of
from node.actions.reloading import NoAnswer, Reload, will_change, will_end
from node.config import Configuration
from node.config.routes_section import NoRoutes, RoutesSection, routes_in, with_route, without_route
from node.database.connection import Database
from node.errors import ConfigurationError, NodeError
from node.reading import Reader
from node.route.changes import route_changes
from node.route.draft import Draft, Remark, draft
from node.route.known import Known
from node.route.recorded import RecordedStudies, recorded_studies
from node.route.stored_facts import StoredFacts
from node.route.trial import Comparing, Failed, Place, Trial, with_read
from node.route.trial_cost import PipelineCost, trial_costs
from node.route.trial_reading import TrialReader
from node.status.completions import in_text, of_field
from node.status.forms import NOT_OURS
from node.status.route_form import LEVELS, RouteForm, WrongField, form_of, values_of
from node.status.site import Site
from pipelines.monai_bundle.settings import PREFIX
from pipelines.registry import names

DAYS = (1, 2, 3, 7, 14, 30)
DEFAULT_DAYS = 7
SHOWN = 100  # differences
KEPT_S = 30.0  # for how long what the records say is taken as it was: a form is sent at every pause in typing
PURPOSE = "apply routes"
NEW_ROUTE: Mapping[str, Any] = {"when": {"Modality": "MR"}, "pipeline": "", "destinations": []}

ApplyRoutes = Callable[[str, str, str], Reload]
"""Puts other routes in force: the text of the section, who says so, and the digest of the file that they were made for.

It tells what became of that. It raises `NodeError` with why not, and `NoAnswer` where the file is written and the node
does not tell."""


@dataclass(frozen=True)
class Editing:
    """What somebody is writing."""

    text: str  # the section of routes
    days: int
    mode: str  # form or yaml
    route: str  # the one in the form
    seen: str = ""  # digest of the file that it was made for
    wrong: str = ""  # a field of the form that means nothing


@dataclass(frozen=True)
class Judged:
    """What is said of it."""

    draft: Draft
    trial: Trial | None = None
    costs: tuple[PipelineCost, ...] = ()
    reading: bool = False  # headers are being read for it
    read: int = 0  # series, so far
    days: int = DEFAULT_DAYS


class RouteTrialPage:
    """Its routes.

    Parameters
    ----------
    configuration
        The one in force.
    config_file
        Whose routes are changed.
    reader
        Reads headers.
    apply_routes
        Puts other routes in force; None: nothing does.
    """

    def __init__(
        self,
        site: Site,
        configuration: Configuration,
        database: Database,
        config_file: Path,
        reader: Reader,
        apply_routes: ApplyRoutes | None = None,
    ) -> None:
        self._site, self._configuration, self._database, self._file = site, configuration, database, config_file
        self._apply_routes = apply_routes
        facts = StoredFacts(configuration.node.data, database, lambda: datetime.now(UTC), reader)
        self._reader = TrialReader(facts, database)
        self._lock = threading.Lock()
        self._recorded: dict[tuple[int, frozenset[str] | None], tuple[float, RecordedStudies]] = {}

    def routes(self) -> list[BaseRoute]:
        """The page, and what its forms are sent to."""
        post = ["POST"]
        return [
            Route("/routes/try", self._site.guarded(self._open, Role.OPERATOR)),
            Route("/routes/try", self._taken(self._edit), methods=post),
            Route("/routes/try/judged", self._taken(self._judge), methods=post),
            Route("/routes/try/completions", self._taken(self._complete), methods=post),
            Route("/routes/try/routes.yaml", self._taken(self._download), methods=post),
            Route("/routes/try/apply", self._taken(self._apply, Role.ADMINISTRATOR), methods=post),
        ]

    def stop(self, timeout_s: float) -> None:
        """Read no more headers; waits so long for the series that is being read."""
        self._reader.stop(timeout_s)

    # ---- answers
    def _taken(
        self, answer: Callable[[Request, Mapping[str, str]], Response], role: Role = Role.OPERATOR
    ) -> Callable[[Request], Any]:
        """A view of a form that was sent, for those who have the role."""

        return self._site.taking_form(lambda request, fields: self._answered(answer, request, fields), role)

    def _answered(
        self,
        answer: Callable[[Request, Mapping[str, str]], Response],
        request: Request,
        fields: Mapping[str, str],
    ) -> Response:
        try:
            return answer(request, fields)
        except ConfigurationError as error:  # of the file around the routes
            return self._site.sentence(request, HTTPStatus.CONFLICT, f"The configuration file cannot be used: {error}.")

    def _open(self, request: Request) -> Response:
        try:
            section = RoutesSection.of(self._file)
        except ConfigurationError as error:
            return self._site.sentence(request, HTTPStatus.CONFLICT, f"The configuration file cannot be used: {error}.")
        query = request.query_params
        mode = "yaml" if query.get("as") == "yaml" else "form"
        editing = Editing(section.text, _days(query.get("days", "")), mode, query.get("route", ""), section.digest)
        return self._page(request, editing, None)

    def _edit(self, request: Request, fields: Mapping[str, str]) -> Response:
        """One of the buttons: the form, or another one, with what is said of it."""
        editing = self._editing(fields)
        do, _, about = fields.get("do", "try").partition(":")
        if do == "edit":
            editing = replace(editing, mode="form", route=about)
        elif do in ("form", "yaml"):
            editing = replace(editing, mode=do)
        elif do in ("new", "remove"):
            editing = _with_other_routes(editing, do)
        return self._page(request, editing, self._judged(editing))

    def _judge(self, request: Request, fields: Mapping[str, str]) -> Response:
        """What is said of the form, without the form."""
        editing = self._editing(fields)
        return self._site.quiet_page(
            request, "route_judged.html", **self._about(request, editing, self._judged(editing))
        )

    def _complete(self, request: Request, fields: Mapping[str, str]) -> Response:
        """What may be meant by what was typed."""
        field = fields.get("field", "")
        if field == "draft":
            at = fields.get("at", "")
            text = fields.get("draft", "").replace("\r\n", "\n")
            typed, found = in_text(text, int(at) if at.isdecimal() and len(at) < 10 else len(text), self._configuration)
        else:
            typed = fields.get(field, "")
            found = of_field(field.partition(".")[0], typed, fields.get("pipeline", ""), self._configuration)
        return self._site.quiet_page(request, "completions.html", typed=typed, found=found, as_options=field != "draft")

    def _download(self, request: Request, fields: Mapping[str, str]) -> Response:
        """The whole configuration with the routes in it, as a file."""
        editing = self._editing(fields)
        if editing.wrong:
            return self._page(request, editing, self._judged(editing))
        return Response(
            editing.text,
            media_type="application/yaml",
            headers={"Content-Disposition": 'attachment; filename="routes.yaml"'},
        )

    def _apply(self, request: Request, fields: Mapping[str, str]) -> Response:
        """Ask once more, then put the routes in force."""
        if self._apply_routes is None:
            return self._site.sentence(request, HTTPStatus.NOT_FOUND, "Routes cannot be put in force from this page.")
        editing = self._editing(fields)
        judged = self._judged(editing)
        who = identity_of(request).name
        if judged.draft.configuration is None or editing.wrong:
            return self._page(request, editing, judged)
        problem = ""
        if "sure" in fields:
            if not self._site.is_ours(request, fields.get("token", ""), PURPOSE):
                return self._site.sentence(request, HTTPStatus.FORBIDDEN, NOT_OURS)
            try:
                outcome = self._apply_routes(judged.draft.text, who, editing.seen)
            except NoAnswer as error:
                return self._site.sentence(request, HTTPStatus.SERVICE_UNAVAILABLE, self._unanswered(error))
            except NodeError as error:
                problem = str(error)
            else:
                return self._outcome(request, outcome)
        return self._site.page(
            request,
            "route_apply.html",
            HTTPStatus.CONFLICT if problem else HTTPStatus.OK,
            token=self._site.form_token(request, PURPOSE),
            problem=problem,
            changes=route_changes(self._configuration, judged.draft.configuration),
            others=[
                *will_change(self._configuration, judged.draft.configuration, but="routes"),
                *will_end(self._database, self._configuration, judged.draft.configuration),
            ],
            **self._about(request, editing, judged),
        )

    def _outcome(self, request: Request, outcome: Reload) -> Response:
        """The routes where all of it is in force; what is not, otherwise."""
        if outcome.taken and not (outcome.waiting or outcome.ending):
            return Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": "/routes"})
        status = HTTPStatus.OK if outcome.taken else HTTPStatus.UNPROCESSABLE_ENTITY
        return self._site.quiet_page(request, "reloaded.html", status, outcome=outcome, written=self._file.name)

    def _unanswered(self, error: NoAnswer) -> str:
        return (
            f"{self._file.name} has the new routes, but whether the node goes by them is not known: {error}. "
            "Look into the log, then read the configuration anew: /reload, or condyle reload."
        )

    # ---- what is shown
    def _page(self, request: Request, editing: Editing, judged: Judged | None) -> Response:
        wrong = judged is not None and (judged.draft.mistakes or editing.wrong)
        return self._site.page(
            request,
            "route_trial.html",
            HTTPStatus.UNPROCESSABLE_ENTITY if wrong else HTTPStatus.OK,
            form=self._form(editing),
            routes=_names_in(editing.text),
            pipelines=[*names(), *(f"{PREFIX}{name}" for name in self._configuration.bundles)],
            levels=LEVELS,
            all_days=DAYS,
            **self._about(request, editing, judged),
        )

    def _about(self, request: Request, editing: Editing, judged: Judged | None) -> dict[str, Any]:
        return {
            "editing": editing,
            "judged": judged,
            "lines": editing.text.splitlines(),
            "shown": SHOWN,
            "may_apply": self._apply_routes is not None and identity_of(request).may(Role.ADMINISTRATOR),
        }

    def _form(self, editing: Editing) -> RouteForm | None:
        if editing.mode != "form":
            return None
        try:
            routes = routes_in(editing.text)
        except NoRoutes:
            return None
        if editing.route not in routes and not routes:
            return None
        name = editing.route if editing.route in routes else next(iter(routes))
        return form_of(name, routes[name], list(self._configuration.destinations))

    def _editing(self, fields: Mapping[str, str]) -> Editing:
        """What the fields say: the text, with the route of the form in it."""
        text = fields.get("draft", "").replace("\r\n", "\n")
        mode = "form" if fields.get("mode") == "form" else "yaml"
        route, wrong = fields.get("route", ""), ""
        if mode == "form" and route:
            try:
                text, route = _with_form(text, route, fields)
            except WrongField as error:
                wrong = str(error)
            except NoRoutes:
                mode = "yaml"  # where its mistake can be seen
        return Editing(text, _days(fields.get("days", "")), mode, route, fields.get("seen", ""), wrong)

    def _judged(self, editing: Editing) -> Judged:
        said = draft(RoutesSection.of(self._file), editing.text)
        if editing.wrong:
            said = Draft(said.text, None, (Remark(0, editing.route, editing.wrong), *said.mistakes))
        if said.configuration is None:
            return Judged(said, days=editing.days)
        comparing = Comparing(self._configuration, said.configuration)
        now = datetime.now(UTC)
        if not comparing.changes:
            return Judged(said, comparing.trial(RecordedStudies((), now - timedelta(days=editing.days)), {}))
        trial, read = self._trial(comparing, editing.days)
        if trial.to_read:
            self._reader.begin(trial.to_read, trial.keys)
        return Judged(
            said, trial, trial_costs(self._database, trial, now), bool(trial.to_read), len(read), editing.days
        )

    def _trial(self, comparing: Comparing, days: int) -> tuple[Trial, Mapping[Place, Known | Failed]]:
        """By what the changed routes noted, then by what all did, then by what was read."""
        read = self._reader.found(comparing.read_keys)
        for routes in (comparing.names, None):
            recorded = with_read(self._database, self._records(days, routes), comparing.keys, read)
            trial = comparing.trial(recorded, read)
            if trial.is_whole:
                break
        return trial, read

    def _records(self, days: int, routes: frozenset[str] | None) -> RecordedStudies:
        with self._lock:
            now = time.monotonic()
            for old in [key for key, (at, _) in self._recorded.items() if now - at > KEPT_S]:
                del self._recorded[old]
            key = (days, routes)
            if key not in self._recorded:
                self._recorded[key] = (
                    now,
                    recorded_studies(
                        self._database,
                        datetime.now(UTC) - timedelta(days=days),
                        fetch_ae_title=self._configuration.run_requests.move_ae_title,
                        routes=routes,
                    ),
                )
            return self._recorded[key][1]


def _days(text: str) -> int:
    return min(max(int(text), DAYS[0]), DAYS[-1]) if text.isdecimal() and len(text) < 4 else DEFAULT_DAYS


def _names_in(text: str) -> list[str]:
    try:
        return list(routes_in(text))
    except NoRoutes:
        return []


def _with_form(text: str, route: str, fields: Mapping[str, str]) -> tuple[str, str]:
    """The text with the route as the form has it, and its name; lines that say the same stay as they are."""
    routes = routes_in(text)
    if route not in routes:
        return text, route
    name = fields.get("name", "").strip() or route
    values = values_of(fields, routes[route])
    if values == routes[route] and name == route:
        return text, route
    if name != route and name in routes:
        raise WrongField(f"name: {name}: another route is called so")
    return with_route(text, name, values, before=route), name


def _with_other_routes(editing: Editing, do: str) -> Editing:
    """With a new route, or without the one in the form."""
    try:
        routes = routes_in(editing.text)
        if do == "remove":
            text = without_route(editing.text, editing.route)
            return replace(editing, text=text, route=next((name for name in routes if name != editing.route), ""))
        name = next(f"new_route{n or ''}" for n in range(len(routes) + 1) if f"new_route{n or ''}" not in routes)
        return replace(editing, text=with_route(editing.text, name, NEW_ROUTE), route=name)
    except NoRoutes:
        return editing
