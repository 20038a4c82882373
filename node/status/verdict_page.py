"""The form on the page by which a reader accepts, corrects or rejects a result; it works without JavaScript."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.config import Configuration
from node.data_folder import own_key
from node.database.connection import Database
from node.errors import JobNotFound
from node.network.content_encoding import UnsuitableBody
from node.network.content_type import media_and_parameters
from node.network.request_body import body_of
from node.verdicts import answers
from node.verdicts.answers import FormMistakes
from node.verdicts.giving import CannotBeJudged, PageVerdicts
from node.verdicts.questions import REASONS, Questions

KEY_FILE = "page-forms.key"  # in the data folder
FORM_BYTES, FORM_FIELDS = 512 * 2**10, 5000  # a report over two hands and two feet has some 400 fields
FORM = "application/x-www-form-urlencoded"

Show = Callable[[Request, str, dict[str, Any], int], Response]
Refuse = Callable[[Request], Response | None]
Say = Callable[[Request, int, str], Response]


class VerdictPage:
    """The routes of the form.

    Parameters
    ----------
    show
        Makes the page with the form: of the job, with what is asked and typed, and with a status.
    refusal
        Why a caller may not see the page, as an answer; None where they may.
    say
        Makes a page of one sentence.
    """

    def __init__(self, configuration: Configuration, database: Database, show: Show, refusal: Refuse, say: Say) -> None:
        self._verdicts = PageVerdicts(configuration, database)
        self._show, self._refusal, self._say = show, refusal, say
        self._enabled = configuration.verdicts.form
        self._key_file = configuration.node.data.absolute() / KEY_FILE
        self.can_be_judged = self._verdicts.can_be_judged

    def routes(self) -> list[BaseRoute]:
        """None where the page takes no verdicts."""
        if not self._enabled:
            return []
        return [
            Route("/jobs/{job_id}/verdict", self.form),
            Route("/jobs/{job_id}/verdict", self.take, methods=["POST"]),
        ]

    def form(self, request: Request) -> Response:
        """The form as it is before anything is said."""
        if (refused := self._refusal(request)) is not None:
            return refused
        return self._answered(request, lambda job_id: self._page(request, job_id, {}, (), HTTPStatus.OK))

    async def take(self, request: Request) -> Response:
        """Take the form; show it again, with what is wrong, where it cannot be taken."""
        if (refused := self._refusal(request)) is not None:
            return refused
        try:
            fields = await _fields(request)
        except UnsuitableBody as problem:
            return self._say(request, problem.status, f"{problem.sentence}.")
        return await run_in_threadpool(self._answered, request, lambda job_id: self._taken(request, job_id, fields))

    def _taken(self, request: Request, job_id: str, fields: Mapping[str, str]) -> Response:
        report = fields.get("report", "")
        if not hmac.compare_digest(fields.get("token", "").encode(), self._token(job_id, report).encode()):
            sentence = "This form is not one that this node gave out: open it anew, and fill it in there."
            return self._say(request, HTTPStatus.FORBIDDEN, sentence)
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
        content = {
            "asked": asked,
            "reasons": REASONS,
            "typed": fields,
            "mistakes": mistakes,
            "token": self._token(job_id, asked.report_uid),
            "fields": answers,
        }
        return self._show(request, job_id, content, status)

    def _answered(self, request: Request, answer: Callable[[str], Response]) -> Response:
        try:
            return answer(request.path_params["job_id"])
        except JobNotFound:
            return self._say(request, HTTPStatus.NOT_FOUND, "The node has no such job.")
        except CannotBeJudged as error:
            return self._say(request, HTTPStatus.CONFLICT, f"This cannot be judged: {error}.")

    def _token(self, job_id: str, report_uid: str) -> str:
        """What only a form that this node gave out has, so that no page of others can have one sent."""
        return hmac.digest(own_key(self._key_file), f"verdict|{job_id}|{report_uid}".encode(), "sha256").hex()


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a form.

    Raises
    ------
    UnsuitableBody
        If the body is no form, or too large for one.
    """
    if media_and_parameters(request.headers.get("content-type", ""))[0] != FORM:
        raise UnsuitableBody(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only the form of the page is taken")
    body = b"".join([piece async for piece in body_of(request, FORM_BYTES)])
    try:
        return dict(
            parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FORM_FIELDS, errors="strict")
        )
    except ValueError:
        raise UnsuitableBody(HTTPStatus.BAD_REQUEST, "The body is no form of the page") from None
