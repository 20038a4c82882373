"""What somebody sees of themselves: role, password, and the browsers in which they are signed in."""

from __future__ import annotations

import math
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.access.identity import identity_of
from node.access.passwords import SHORTEST, TooBusy
from node.access.users import NotDone
from node.network.addresses import one_caller
from node.status.site import Site, form_of

# by what browsers call themselves; each also says what those below it say
BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
SYSTEMS = ("Windows", "Android", "iPhone", "iPad", "Mac OS X", "Linux")


class AccountPage:
    """Its routes."""

    def __init__(self, site: Site) -> None:
        self._site, self._callers = site, site.callers

    def routes(self) -> list[BaseRoute]:
        """Of the page, and of what can be changed on it."""
        guarded = self._site.guarded
        return [
            Route("/account", guarded(self._show)),
            Route("/account/password", guarded(self._change_password), methods=["POST"]),
            Route("/account/sessions/{number}/end", guarded(self._end), methods=["POST"]),
            Route("/account/sessions/end-others", guarded(self._end_others), methods=["POST"]),
        ]

    def _show(self, request: Request) -> Response:
        return self._page(request)

    def _page(self, request: Request, problem: str = "", status: int = HTTPStatus.OK, done: str = "") -> Response:
        identity = identity_of(request)
        sessions = self._callers.sessions.of(identity) if identity.session else []
        return self._site.quiet_page(
            request,
            "account.html",
            status,
            problem=problem,
            done=done or ("Your password is changed." if "changed" in request.query_params else ""),
            sessions=sessions,
            described=described,
            shortest=SHORTEST,
        )

    async def _change_password(self, request: Request) -> Response:
        identity, fields = identity_of(request), form_of(request)
        if identity.way != "password":
            raise HTTPException(HTTPStatus.NOT_FOUND, "You have no password here.")
        wrong = HTTPStatus.UNPROCESSABLE_ENTITY
        if fields.get("new", "") != fields.get("again", ""):
            return await run_in_threadpool(self._page, request, "The two new passwords differ.", wrong)
        caller = str(one_caller(self._callers.address(request)))
        attempts = self._callers.attempts
        if (wait_s := attempts.begin(identity.name, caller)) > 0:
            sentence = f"Too many attempts failed. The next one can be made in {math.ceil(wait_s)} seconds."
            return await run_in_threadpool(self._page, request, sentence, HTTPStatus.TOO_MANY_REQUESTS)
        user = await run_in_threadpool(self._callers.users.named, identity.name)
        try:
            comparison = await self._callers.users.compare(user, fields.get("current", ""))
        except TooBusy as error:
            attempts.not_made(identity.name, caller)
            return await run_in_threadpool(self._page, request, f"{error}.", HTTPStatus.SERVICE_UNAVAILABLE)
        if not comparison.is_right:
            return await run_in_threadpool(self._page, request, "Your present password is another one.", wrong)
        attempts.succeeded(identity.name, caller)
        return await run_in_threadpool(self._store_password, request, fields.get("new", ""))

    def _store_password(self, request: Request, password: str) -> Response:
        identity = identity_of(request)
        try:
            self._callers.users.set_password(identity.name, password, identity.name, stays=identity)
        except NotDone as error:
            return self._page(request, f"Not changed: {error}.", HTTPStatus.UNPROCESSABLE_ENTITY)
        return RedirectResponse("/account?changed", HTTPStatus.SEE_OTHER)

    def _end(self, request: Request) -> Response:
        number = request.path_params["number"]
        is_one = number.isascii() and number.isdecimal() and len(number) < 19
        if not is_one or not self._callers.sessions.end(identity_of(request), int(number)):
            raise HTTPException(HTTPStatus.NOT_FOUND, "You have no such session; it may have ended.")
        return RedirectResponse("/account", HTTPStatus.SEE_OTHER)

    def _end_others(self, request: Request) -> Response:
        self._callers.sessions.end_others(identity_of(request))
        return RedirectResponse("/account", HTTPStatus.SEE_OTHER)


def described(agent: str) -> str:
    """A browser in two or three words, by its User-Agent."""
    browser = next((name for sign, name in BROWSERS.items() if sign in agent), agent.partition(" ")[0] or "not named")
    system = next((f" on {name}" for name in SYSTEMS if name in agent), "")
    return f"{browser}{system}"
