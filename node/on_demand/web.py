"""POST /run takes a request; GET /run/{id} says how far the job has come, or the request whose study is fetched."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from node.config import Network, RunRequestSettings
from node.config.mistakes import mistakes
from node.errors import JobNotFound, MustWait, PeerUnavailable, ReadingFailed, StillArriving, StudyNotFound
from node.network.content_encoding import UnsuitableBody
from node.network.content_type import media_and_parameters
from node.network.http_answer import FEW_VALUES, UnsuitableAnswer, read_json
from node.network.request_body import body_of
from node.network.sign_in import UNAUTHORIZED, SignIn
from node.on_demand.requests import RunRequest, RunRequests
from node.route.by_hand import UnknownName
from node.route.reroute import ByHand

log = logging.getLogger(__name__)

REQUEST_BYTES = 256 * 2**10
ASK_AGAIN_S = "5"


class RunWeb:
    """The routes, for the application on the status page's port.

    Parameters
    ----------
    settings
        Whether requests are taken, and the token.
    requests
        Takes them.
    proxies
        Networks of trusted proxies.

    Raises
    ------
    ConfigurationError
        If the token file cannot be read, or holds no token.
    """

    def __init__(self, settings: RunRequestSettings, requests: RunRequests, proxies: Sequence[Network] = ()) -> None:
        self._settings, self._requests = settings, requests
        self._sign_in = SignIn("run_requests", settings, proxies)

    def routes(self) -> list[BaseRoute]:
        """None where requests are not taken."""
        if not self._settings.enabled:
            return []
        return [Route("/run", self.run, methods=["POST"]), Route("/run/{job}", self.state, methods=["GET"])]

    async def run(self, request: Request) -> Response:
        """Answer with the jobs (202), or why there are none."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            asked = RunRequest.model_validate(await _json(request))
            if asked.archive:
                return _taken(await run_in_threadpool(self._requests.submit_fetch, asked))
            made = await run_in_threadpool(self._requests.submit, asked)
        except UnsuitableBody as problem:
            return _error(problem.status, problem.sentence)
        except ValidationError as error:
            return _error(
                422, "; ".join(f"{one.key or 'the request'}: {one.sentence}" for one in mistakes(error, RunRequest))
            )
        except UnknownName as error:
            return _error(422, str(error))
        except StudyNotFound as error:
            return _error(404, str(error))
        except StillArriving as error:
            return _error(409, str(error), again=True)
        except (MustWait, ReadingFailed, PeerUnavailable) as error:
            return _error(503, str(error), again=True)
        except SQLAlchemyError as error:
            return _database_away(error)
        return _answer(made)

    async def state(self, request: Request) -> Response:
        """Answer with the state of the job, or of the request and its jobs, and how many objects are where."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            asked = request.path_params["job"]
            if (fetched := await run_in_threadpool(self._requests.fetch_state, asked)) is not None:
                return JSONResponse(asdict(fetched))
            return JSONResponse(asdict(await run_in_threadpool(self._requests.state, asked)))
        except JobNotFound as error:
            return _error(404, str(error))
        except SQLAlchemyError as error:
            return _database_away(error)

    def _refusal(self, request: Request) -> Response | None:
        """Why this caller may not, or None."""
        if (refusal := self._sign_in.refusal(request)) is None:
            return None
        response = _error(refusal.status, refusal.sentence)
        if refusal.status == UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response


async def _json(request: Request) -> object:
    """The body; a form of a web page is none, whoever's browser it comes from."""
    if (
        media_and_parameters(request.headers.get("content-type", "") or "application/octet-stream")[0]
        != "application/json"
    ):
        raise UnsuitableBody(415, "Only JSON is taken (application/json), and Content-Type has to say so")
    body = b"".join([piece async for piece in body_of(request, REQUEST_BYTES)])
    try:
        return read_json(body, FEW_VALUES)
    except UnsuitableAnswer:
        raise UnsuitableBody(400, "The body is not JSON, or nested too deeply") from None


def _taken(request_id: str) -> Response:
    return JSONResponse({"request": request_id}, 202, headers={"Location": f"/run/{request_id}"})


def _answer(made: Sequence[ByHand]) -> Response:
    jobs = [
        {"job": one.job_id, "about": one.about, "what": one.action.value}
        for one in made
        if one.job_id and not one.problem
    ]
    left_out = [{"about": one.about, "reason": one.problem} for one in made if one.problem]
    if not jobs:
        return JSONResponse({"error": "the pipeline runs on none of it", "not_run": left_out}, 422)
    return JSONResponse({"jobs": jobs, "not_run": left_out}, 202, headers={"Location": f"/run/{jobs[0]['job']}"})


def _error(status: int, sentence: str, *, again: bool = False) -> Response:
    return JSONResponse({"error": sentence}, status, headers={"Retry-After": ASK_AGAIN_S} if again else None)


def _database_away(error: SQLAlchemyError) -> Response:
    log.error("request not answered", extra={"reason": f"the database cannot be used: {type(error).__name__}"})
    return _error(503, "the database cannot be used now, ask again", again=True)
