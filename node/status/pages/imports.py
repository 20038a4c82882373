"""Files are imported by upload: chosen or dropped in a browser, streamed to disk, taken one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus

from anyio import to_thread
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from node.access.identity import Role, identity_of
from node.actions.importing import NoMoreRoom, Upload, note
from node.database.connection import Database
from node.database.states import AssociationOutcome
from node.files import free_bytes
from node.network.content_encoding import UnsuitableBody
from node.network.content_type import media_and_parameters
from node.network.multipart import MultipartParts, PartEvent, boundary_of
from node.network.request_body import BodyBrokenOff, body_of
from node.receive.importer import ImportReport
from node.status.forms import NOT_OURS
from node.status.site import Site

PATH = "/import"
FORM = "multipart/form-data"
MAXIMUM_FILES = 50_000  # of one upload; a packed file is one
TOKEN, FILES = "token", "files"  # fields of the form; the token comes first
TOKEN_BYTES = 1024
SHOWN = 200  # files that were not taken, in the answer
NOT_A_FORM = "Only the form of the page is taken"


class ImportPage:
    """Its routes.

    Parameters
    ----------
    begin
        Begins an upload.
    database
        For the audit trail.
    """

    def __init__(self, site: Site, begin: Callable[[], Upload], database: Database) -> None:
        self._site, self._begin, self._database = site, begin, database

    def routes(self) -> list[BaseRoute]:
        """The form, and where it is sent to."""
        return [Route(PATH, self._site.guarded(self._form, Role.OPERATOR)), Route(PATH, self._take, methods=["POST"])]

    def _form(self, request: Request) -> Response:
        return self._site.quiet_page(request, "import.html", token=self._site.form_token(request))

    async def _take(self, request: Request) -> Response:
        if (refused := await to_thread.run_sync(self._site.refusal, request, Role.OPERATOR)) is not None:
            return refused
        by = identity_of(request).name
        taking = _Taking(self._begin, lambda token: self._site.is_ours(request, token))
        outcome, reason, status = AssociationOutcome.RELEASED, "", HTTPStatus.OK
        try:
            await self._read(request, taking)
        except BodyBrokenOff as problem:
            outcome, reason = AssociationOutcome.LOST, problem.sentence
        except UnsuitableBody as problem:
            outcome, reason, status = AssociationOutcome.ABORTED, problem.sentence, HTTPStatus(problem.status)
        except NoMoreRoom as problem:
            reason = f"The rest was not taken: {problem}"
            outcome, status = AssociationOutcome.ABORTED, HTTPStatus.INSUFFICIENT_STORAGE
        except BaseException:
            await to_thread.run_sync(taking.close, AssociationOutcome.ABORTED, "The request was broken off")
            raise
        return await to_thread.run_sync(self._answer, request, taking, by, outcome, reason, status)

    async def _read(self, request: Request, taking: _Taking) -> None:
        media, parameters = media_and_parameters(request.headers.get("content-type", ""))
        if media != FORM:
            raise UnsuitableBody(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, NOT_A_FORM)
        parts = MultipartParts(boundary_of(parameters))
        try:
            async for chunk in body_of(request, await to_thread.run_sync(self._most)):
                if events := parts.feed(chunk):
                    await to_thread.run_sync(taking.take, events)
        except MultipartParseError as error:
            raise UnsuitableBody(HTTPStatus.BAD_REQUEST, f"The form is broken in part {parts.count}") from error
        if not parts.finished:
            raise UnsuitableBody(HTTPStatus.BAD_REQUEST, "The form does not end")

    def _most(self) -> int:
        """Bytes that an upload may have: what there is room for."""
        return free_bytes(self._site.data)

    def _answer(
        self, request: Request, taking: _Taking, by: str, outcome: AssociationOutcome, reason: str, status: HTTPStatus
    ) -> Response:
        report = taking.close(outcome, reason)
        if report is None:  # not even begun
            if not reason and not taking.is_ours:
                return self._site.sentence(request, HTTPStatus.FORBIDDEN, NOT_OURS)
            status, reason = (status, reason) if reason else (HTTPStatus.BAD_REQUEST, "No file was chosen")
            return self._site.sentence(request, status, f"{reason}.")
        note(self._database, by, report)
        if status == HTTPStatus.OK and report.not_taken and not report.stored:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
        not_taken = report.not_taken
        return self._site.quiet_page(
            request,
            "imported.html",
            status,
            report=report,
            studies=report.studies.most_common(),
            not_taken=not_taken[:SHOWN],
            more=len(not_taken) - len(not_taken[:SHOWN]),
            reason=reason,
        )


class _Taking:
    """The parts of a form on their way: the token, then files; without the token nothing is begun.

    Parameters
    ----------
    begin
        Begins the upload.
    is_ours
        Whether a token is one of the page.
    """

    def __init__(self, begin: Callable[[], Upload], is_ours: Callable[[str], bool]) -> None:
        self._begin, self._ask = begin, is_ours
        self.is_ours = False
        self._upload: Upload | None = None
        self._token: bytes | None = None  # as far as it has come, while it comes
        self._in_file = False
        self._files = 0

    def take(self, events: Iterable[PartEvent]) -> None:
        """Write what has come, and take each file that ends.

        Raises
        ------
        NoMoreRoom
        UnsuitableBody
            If it is no form of the page.
        """
        for kind, data in events:
            if kind == "headers":
                self._headed(data.get("content-disposition", ""))
            elif kind == "data":
                self._more(data)
            elif kind == "end":
                self._ended()

    def close(self, outcome: AssociationOutcome, reason: str) -> ImportReport | None:
        """What became of the files; None where none has begun."""
        return None if self._upload is None else self._upload.close(outcome, reason)

    def _headed(self, disposition: str) -> None:
        _, options = parse_options_header(disposition.encode("latin-1", "replace"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name == TOKEN:
            self._token = b""
        elif name == FILES and (file := options.get(b"filename", b"").decode("utf-8", "replace")):
            if not self.is_ours:
                raise UnsuitableBody(HTTPStatus.FORBIDDEN, NOT_OURS.rstrip("."))
            self._files += 1
            if self._files > MAXIMUM_FILES:
                sentence = f"More than {MAXIMUM_FILES:,} files: pack them, or use condyle import"
                raise UnsuitableBody(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
            self._upload = self._upload or self._begin()
            self._upload.begin(file)
            self._in_file = True

    def _more(self, data: bytes) -> None:
        if self._token is not None:
            self._token += data
            if len(self._token) > TOKEN_BYTES:
                raise UnsuitableBody(HTTPStatus.BAD_REQUEST, NOT_A_FORM)
        elif self._in_file and self._upload is not None:
            self._upload.write(data)

    def _ended(self) -> None:
        if self._token is not None:
            self.is_ours, self._token = self._ask(self._token.decode("ascii", "replace")), None
        elif self._in_file and self._upload is not None:
            self._in_file = False
            self._upload.end()
