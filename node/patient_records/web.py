"""Records and risks over HTTP: POST /fhir takes a bundle; POST /risk, and GET /risk/{job} again, a RiskAssessment."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import anyio
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dicom_sr.errors import UnsuitableInput
from dicom_sr.words import counted
from node.config import Network, RecordSettings
from node.errors import JobNotFound, NodeError, ReadingFailed
from node.network.content_encoding import UnsuitableBody
from node.network.content_type import media_and_parameters
from node.network.request_body import BodyBrokenOff, body_of
from node.network.room import Room, Share
from node.network.sign_in import UNAUTHORIZED, SignIn, caller_address
from node.patient_records.intake import Intake, IntakeSummary
from node.patient_records.reading import NotJson, json_object
from node.patient_records.refused import RefusedRecords
from node.patient_records.requests import LONGEST_NAME, LOOK_S, Answer, AnswerState, RecordRequests
from pipelines.records.record import IdentityMismatch

log = logging.getLogger(__name__)

REFUSED = "record refused"
MAXIMUM_BYTES = 64 * 2**20
REQUEST_BYTES = 64 * 2**10  # of a request for a risk
LONGEST_WAIT_S = 600.0
MOST_WAITING = 32  # for answers: each holds a place at the port, of which an address has 64; further ones ask again
FHIR_JSON = "application/fhir+json"
QUESTION = {  # what may be left out of one for a risk
    "issuer": "the issuer of the patient ID",
    "index_date": "a day such as 2026-01-31",
    "pipeline": "the name of a pipeline",
}
STATUS = {
    AnswerState.UNDER_WAY: 202,
    AnswerState.UNSUITABLE: 422,
    AnswerState.FAILED: 500,
    AnswerState.WITHDRAWN: 410,
    AnswerState.NOT_KEPT: 410,
}


class RecordsWeb:
    """The routes, for the application on the status page's port.

    Parameters
    ----------
    settings
        The token, and how long a request waits for its answer.
    intake
        Takes bundles in.
    requests
        Takes requests and finds their answers.
    refused
        Told of what is not taken.
    proxies
        Networks of trusted proxies.
    room
        For what is being received; None: of its own.

    Raises
    ------
    ConfigurationError
        If the token file cannot be read, or holds no token.
    """

    def __init__(
        self,
        settings: RecordSettings,
        intake: Intake,
        requests: RecordRequests,
        refused: RefusedRecords,
        proxies: Sequence[Network] = (),
        room: Room | None = None,
    ) -> None:
        self._settings, self._intake, self._requests, self._refused = settings, intake, requests, refused
        self._proxies = proxies
        self._waiting = 0
        self._room = room or Room()
        self._sign_in = SignIn("records", settings, proxies)

    def routes(self) -> list[BaseRoute]:
        """All routes about records."""
        return [
            Route("/fhir", self.bundle, methods=["POST"]),
            Route("/fhir/Bundle", self.bundle, methods=["POST"]),
            Route("/risk", self.risk, methods=["POST"]),
            Route("/risk/{job}", self.risk_of_job, methods=["GET"]),
        ]

    async def bundle(self, request: Request) -> Response:
        """Keep a bundle's records; answers with an OperationOutcome."""
        try:
            async with self._body(request, MAXIMUM_BYTES) as body:
                summary = await run_in_threadpool(self._intake.bundle, body)
        except _Refused as refused:
            return refused.response
        except NotJson as error:
            self._refused.add(REFUSED, self._sender(request), str(error))
            return _outcome(400, "error", str(error))
        except (UnsuitableInput, IdentityMismatch) as error:
            self._refused.add(REFUSED, self._sender(request), str(error))
            return _outcome(422, "error", str(error))
        except ReadingFailed as error:
            await run_in_threadpool(self._refused.not_read, "FHIR", self._sender(request), error)
            return _outcome(422, "error", str(error))
        except (OSError, NodeError) as error:
            log.error("record not stored", extra={"reason": getattr(error, "strerror", None) or str(error)})
            return _outcome(503, "error", "cannot be stored now, send again")
        return _outcome(200, "information", _sentence(summary))

    async def risk(self, request: Request) -> Response:
        """Answer ``{"patient_id": ..., "issuer": ..., "index_date": "YYYY-MM-DD", "pipeline": ...}``.

        All but the patient ID may be left out. The answer is a RiskAssessment (200), or why there is none. If it takes
        longer than ``Prefer: wait=SECONDS`` says (RFC 7240; else `records.answer_wait_s`), it is 202 and
        ``Content-Location`` says where to ask.
        """
        try:
            async with self._body(request, REQUEST_BYTES) as body:
                job = await run_in_threadpool(self._submitted, json_object(body))
        except _Refused as refused:
            return refused.response
        except NotJson as error:
            return _outcome(400, "error", str(error))
        except UnsuitableInput as error:
            return _outcome(422, "error", str(error))
        except (NodeError, OSError) as error:  # the FHIR server is away, a stored record is damaged, the disk is full
            return _outcome(503, "error", getattr(error, "strerror", None) or str(error))
        except SQLAlchemyError as error:
            return _database_away(error)
        return await self._answered(request, job, _wait_s(request, self._settings.answer_wait_s))

    async def risk_of_job(self, request: Request) -> Response:
        """Answer as `risk` did, or would have; waits only where ``Prefer: wait=SECONDS`` says so."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        return await self._answered(request, request.path_params["job"], _wait_s(request, 0.0))

    async def _answered(self, request: Request, job: str, wait_s: float) -> Response:
        deadline = time.monotonic() + (wait_s if self._waiting < MOST_WAITING else 0.0)
        self._waiting += 1
        try:
            while True:
                answer = await run_in_threadpool(self._requests.answer, job)
                if answer.state is not AnswerState.UNDER_WAY or time.monotonic() >= deadline:
                    return _response(answer)
                if await request.is_disconnected():  # it leaves its place to one that waits
                    return _response(answer)
                await anyio.sleep(LOOK_S)
        except JobNotFound as error:
            return _outcome(404, "error", str(error))
        except NodeError as error:  # the key of a sealed answer is gone
            return _outcome(503, "error", str(error))
        except SQLAlchemyError as error:
            response = _database_away(error)
            response.headers["Content-Location"] = f"/risk/{job}"
            return response
        finally:
            self._waiting -= 1

    def _submitted(self, content: dict[str, Any]) -> str:
        patient_id = content.get("patient_id")
        if patient_id is None:
            raise _Refused(_outcome(400, "error", "patient_id: is missing; should be the ID of the patient as a text"))
        if isinstance(patient_id, bool) or not isinstance(patient_id, str | int):
            raise _Refused(_outcome(400, "error", "patient_id: should be the ID of the patient as a text"))
        for name, what in QUESTION.items():
            if content.get(name) is not None and not isinstance(content[name], str):
                raise _Refused(_outcome(400, "error", f"{name}: should be {what} as a text, or be left out"))
        for name in ("patient_id", "issuer"):
            if any("\ud800" <= character <= "\udfff" for character in str(content.get(name))):
                raise _Refused(
                    _outcome(400, "error", f"{name}: has half of a character (a surrogate); should be a text")
                )
        asked = content.get("index_date") or str(date.today())
        try:
            day = date.fromisoformat(asked)
        except ValueError:
            sentence = f"index_date: {asked[:LONGEST_NAME]!r}: should be {QUESTION['index_date']}, or be left out"
            raise _Refused(_outcome(400, "error", sentence)) from None
        return self._requests.submit(str(patient_id), content.get("issuer"), day, content.get("pipeline") or "")

    @asynccontextmanager
    async def _body(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """The body, unpacked; its room is free again afterwards.

        Raises
        ------
        _Refused
            If the sender may not, it is no JSON or too large, or too many send at a time.
        """
        if (refusal := self._refusal(request)) is not None:
            raise _Refused(refusal)
        received, share, has_room = bytearray(), Share(self._room), True
        try:
            _require_json(request.headers.get("content-type", ""))
            async for chunk in body_of(request, most):
                if has_room and (has_room := share.hold(len(received) + len(chunk))):
                    received += chunk
                else:  # the rest is passed over: many clients look for an answer when they have sent everything
                    received.clear()
                    share.hold(0)
            if not has_room:
                self._refused.add(REFUSED, self._sender(request), "too much is sent at the same time")
                raise _Refused(_outcome(503, "error", "too much is sent at the same time, send again"))
            body = bytes(received)
            received.clear()  # so that it is there once
            yield body
        except UnsuitableBody as problem:
            if isinstance(problem, BodyBrokenOff):  # of which nobody else hears
                self._refused.add(REFUSED, self._sender(request), problem.sentence)
            raise _Refused(_outcome(problem.status, "error", problem.sentence)) from None
        finally:
            share.hold(0)

    def _sender(self, request: Request) -> str:
        return caller_address(request, self._proxies) or (request.client.host if request.client else "")

    def _refusal(self, request: Request) -> Response | None:
        """Why this sender may not, or None."""
        if (refusal := self._sign_in.refusal(request)) is None:
            return None
        response = _outcome(refusal.status, "error", refusal.sentence)
        if refusal.status == UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response


class _Refused(Exception):
    """A body that is not taken, with the answer that says why."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def _require_json(content_type: str) -> None:
    """Refuse a media type that is none of JSON's, which is also what a form of a web page would send."""
    media, parameters = media_and_parameters(content_type or "application/octet-stream")
    charset = parameters.get("charset", "utf-8").lower()
    if media.split("/")[1].split("+")[-1] != "json":
        given = f"not {media}" if content_type else "and Content-Type has to say so"
        raise UnsuitableBody(415, f"Only JSON is taken ({FHIR_JSON}), {given}")
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise UnsuitableBody(415, "JSON is taken in UTF-8 only (RFC 8259 8.1)")


def _wait_s(request: Request, default_s: float) -> float:
    """How long the sender wants to wait, by its Prefer header (RFC 7240 4.1 and 4.3)."""
    prefer = request.headers.get("prefer", "").lower()
    if (asked := re.search(r"\bwait\s*=\s*\"?(\d{1,9})", prefer)) is not None:
        return min(float(asked.group(1)), LONGEST_WAIT_S)
    return 0.0 if "respond-async" in prefer else default_s


def _response(answer: Answer) -> Response:
    if answer.resource is not None:
        response: Response = JSONResponse(answer.resource, media_type=FHIR_JSON)
    elif answer.state is AnswerState.UNDER_WAY:
        response = _outcome(202, "information", f"job {answer.job_id} is under way; ask GET /risk/{answer.job_id}")
        response.headers["Retry-After"] = "1"
    else:
        response = _outcome(STATUS[answer.state], "error", answer.reason)
    response.headers["Content-Location"] = f"/risk/{answer.job_id}"
    return response


def _sentence(summary: IntakeSummary) -> str:
    text = f"{counted(summary.records, 'record')}, {counted(summary.events, 'event')}"
    return f"{text}; not used: {summary.left_out}" if summary.refused else text


def _database_away(error: SQLAlchemyError) -> Response:
    log.error("request not answered", extra={"reason": f"the database cannot be used: {type(error).__name__}"})
    return _outcome(503, "error", "the database cannot be used now, ask again")


def _outcome(status: int, severity: str, text: str) -> Response:
    code = "informational" if severity == "information" else "invalid"
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return JSONResponse({"resourceType": "OperationOutcome", "issue": [issue]}, status, media_type=FHIR_JSON)
