"""The form on the page by which a reader accepts, corrects or rejects a result; it works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.config import Configuration
from node.database.connection import Database
from node.errors import JobNotFound
from node.status.forms import NOT_OURS
from node.status.overview import Overview
from node.status.site import TOKEN, Site
from node.verdicts import answers
from node.verdicts.answers import FormMistakes
from node.verdicts.giving import CannotBeJudged, PageVerdicts
from node.verdicts.questions import REASONS, Questions

PURPOSE = "verdict"  # of the forms


class VerdictPage:
    """The routes of the form."""

    def __init__(self, site: Site, configuration: Configuration, database: Database, overview: Overview) -> None:
        self._verdicts = PageVerdicts(configuration, database)
        self._site, self._overview = site, overview
        self._enabled = configuration.verdicts.form
        site.templates.env.globals["can_be_judged"] = self._verdicts.can_be_judged

    def routes(self) -> list[BaseRoute]:
        """None where the page takes no verdicts."""
        if not self._enabled:
            return []
        return [
            Route("/jobs/{job_id}/verdict", self._site.guarded(self.form)),
            Route("/jobs/{job_id}/verdict", self._site.taking_form(self.take), methods=["POST"]),
        ]

    def form(self, request: Request) -> Response:
        """The form as it is before anything is said."""
        return self._answered(request, lambda job_id: self._page(request, job_id, {}, (), HTTPStatus.OK))

    def take(self, request: Request, fields: Mapping[str, str]) -> Response:
        """Take the form; show it again, with what is wrong, where it cannot be taken."""
        return self._answered(request, lambda job_id: self._taken(request, job_id, fields))

    def _taken(self, request: Request, job_id: str, fields: Mapping[str, str]) -> Response:
        report = fields.get("report", "")
        if not self._site.is_ours(request, fields.get(TOKEN, ""), PURPOSE, job_id, report):
            return self._site.sentence(request, HTTPStatus.FORBIDDEN, NOT_OURS)
        asked = self._verdicts.questions(job_id)
        if asked.report_uid != report:
            raise CannotBeJudged("the result is another one than when this page was opened; look at it again")
        try:
            name = answers.reader_in(fields)
            said = answers.answers_in(fields, asked)
        except FormMistakes as mistakes:
            return self._page(request, job_id, fields, mistakes.sentences, HTTPStatus.UNPROCESSABLE_ENTITY)
        self._verdicts.give(job_id, report, name, said)
        return RedirectResponse(f"/jobs/{job_id}", HTTPStatus.SEE_OTHER)

    def _page(
        self, request: Request, job_id: str, fields: Mapping[str, str], mistakes: tuple[str, ...], status: int
    ) -> Response:
        asked: Questions = self._verdicts.questions(job_id)
        return self._site.quiet_page(
            request,
            "verdict.html",
            status,
            job=self._overview.job(job_id),
            asked=asked,
            reasons=REASONS,
            typed=fields,
            mistakes=mistakes,
            token=self._site.form_token(request, PURPOSE, job_id, asked.report_uid),
            fields=answers,
        )

    def _answered(self, request: Request, answer: Callable[[str], Response]) -> Response:
        try:
            return answer(request.path_params["job_id"])
        except JobNotFound:
            return self._site.sentence(request, HTTPStatus.NOT_FOUND, "The node has no such job.")
        except CannotBeJudged as error:
            return self._site.sentence(request, HTTPStatus.CONFLICT, f"This cannot be judged: {error}.")
