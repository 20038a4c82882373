"""Signing in with a name and a password or by OpenID Connect, and signing out; all of it works without JavaScript."""

from __future__ import annotations

import math
import secrets
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.access.identity import Identity, identity_of
from node.access.openid import BACK, BEGUN_S, OpenIdProblem, OpenIdProvider, ProviderAway
from node.access.passwords import TooBusy
from node.access.users import folded
from node.access.users import identity_of as identity_of_user
from node.config import Configuration
from node.network.addresses import one_caller
from node.network.content_encoding import UnsuitableBody
from node.status.forms import NOT_OURS, fields_of
from node.status.site import TOKEN, Site

PURPOSE = "sign-in"  # of the form
FORM_COOKIE, OPENID_COOKIE = "condyle-form", "condyle-openid"
WRONG = "Name or password is wrong."
EMPTY = "Type your name and your password."
CHANGED = "Your account was changed a moment ago: sign in again."
LONGEST_PATH = 1000


class SignInPages:
    """Their routes."""

    def __init__(self, site: Site, configuration: Configuration) -> None:
        self._site, self._callers = site, site.callers
        settings = configuration.status
        self._provider: OpenIdProvider | None = None
        self._button = ""
        if settings.openid is not None and settings.url is not None:
            self._provider = OpenIdProvider(settings.openid, settings.url, configuration.node.data)
            self._button = settings.openid.button

    def routes(self) -> list[BaseRoute]:
        """Of the form, of the way to a provider and back, and of signing out."""
        routes: list[BaseRoute] = [
            Route("/sign-in", self._form),
            Route("/sign-in", self._take, methods=["POST"]),
            Route("/sign-out", self._site.guarded(self._confirm)),
            Route("/sign-out", self._site.guarded(self._sign_out), methods=["POST"]),
        ]
        if self._provider is not None:
            routes += [Route("/sign-in/openid", self._to_provider), Route(BACK, self._from_provider)]
        return routes

    # ---- the form
    def _form(self, request: Request) -> Response:
        return self._page(request)

    def _page(
        self,
        request: Request,
        problem: str = "",
        status: int = HTTPStatus.OK,
        *,
        name: str = "",
        afterwards: str | None = None,
        about_fields: bool = False,
    ) -> Response:
        cookie = request.cookies.get(self._callers.cookie(FORM_COOKIE)) or secrets.token_urlsafe(16)
        response = self._site.quiet_page(
            request,
            "sign_in.html",
            status,
            problem=problem,
            about_fields=about_fields,
            typed=name,
            afterwards=_own_path(request.query_params.get("next", "") if afterwards is None else afterwards),
            token=self._site.forms.token(PURPOSE, cookie),
            button=self._button,
            has_users=self._callers.users.any(),
            is_out="out" in request.query_params,
        )
        self._set(response, FORM_COOKIE, cookie)
        return response

    async def _take(self, request: Request) -> Response:
        """Take the form; show it again where nobody signs in by it."""
        try:
            fields = await fields_of(request)
        except UnsuitableBody as problem:
            return self._site.sentence(request, problem.status, f"{problem.sentence}.")
        cookie = request.cookies.get(self._callers.cookie(FORM_COOKIE), "")
        if not cookie or not self._site.forms.is_ours(fields.get(TOKEN, ""), PURPOSE, cookie):
            return await run_in_threadpool(self._again, request, fields, NOT_OURS, HTTPStatus.FORBIDDEN)
        name, password = folded(fields.get("name", "")), fields.get("password", "")
        if not name or not password:
            return await run_in_threadpool(self._again, request, fields, EMPTY, HTTPStatus.UNPROCESSABLE_ENTITY)
        return await self._attempt(request, fields, name, password)

    async def _attempt(self, request: Request, fields: dict[str, str], name: str, password: str) -> Response:
        address = self._callers.address(request)
        caller = str(one_caller(address))
        user = await run_in_threadpool(self._callers.users.named, name)
        known = "" if user is None else user.name
        attempts = self._callers.attempts
        if (wait_s := attempts.begin(name, caller)) > 0:
            await run_in_threadpool(self._callers.refused.add, "too many attempts", address, known)
            return await run_in_threadpool(self._must_wait, request, fields, wait_s)
        may = user if user is not None and user.disabled is None else None
        try:
            comparison = await self._callers.users.compare(may, password)
        except TooBusy as error:
            attempts.not_made(name, caller)
            return await run_in_threadpool(self._again, request, fields, f"{error}.", HTTPStatus.SERVICE_UNAVAILABLE)
        if may is None or not comparison.is_right:
            reason = "wrong name or password" if user is None or may is not None else "the user is disabled"
            await run_in_threadpool(self._callers.refused.add, reason, address, known)
            return await run_in_threadpool(self._again, request, fields, WRONG, HTTPStatus.UNPROCESSABLE_ENTITY)
        attempts.succeeded(name, caller)
        if comparison.renewed:
            may = await run_in_threadpool(self._callers.users.renew, may, comparison.renewed)
        response = await run_in_threadpool(
            self._begin, request, identity_of_user(may), fields.get("next", ""), may.password
        )
        if response is None:
            return await run_in_threadpool(self._again, request, fields, CHANGED, HTTPStatus.UNPROCESSABLE_ENTITY)
        return response

    def _again(self, request: Request, fields: dict[str, str], problem: str, status: int) -> Response:
        return self._page(
            request,
            problem,
            status,
            name=fields.get("name", ""),
            afterwards=fields.get("next", ""),
            about_fields=problem in (WRONG, EMPTY),
        )

    def _must_wait(self, request: Request, fields: dict[str, str], wait_s: float) -> Response:
        seconds = math.ceil(wait_s)
        told = f"{seconds} seconds" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"
        problem = f"Too many attempts failed. The next one can be made in {told}."
        response = self._again(request, fields, problem, HTTPStatus.TOO_MANY_REQUESTS)
        response.headers["Retry-After"] = str(seconds)
        return response

    # ---- by a provider
    def _to_provider(self, request: Request) -> Response:
        assert self._provider is not None
        try:
            url, cookie = self._provider.begin(_own_path(request.query_params.get("next", "")))
        except ProviderAway as error:
            return self._page(request, f"{error}.", HTTPStatus.SERVICE_UNAVAILABLE)
        response = RedirectResponse(url, HTTPStatus.SEE_OTHER)
        self._set(response, OPENID_COOKIE, cookie, max_age=BEGUN_S)
        return response

    def _from_provider(self, request: Request) -> Response:
        assert self._provider is not None
        cookie = request.cookies.get(self._callers.cookie(OPENID_COOKIE), "")
        try:
            identity, afterwards = self._provider.finish(cookie, request.query_params)
            if self._callers.users.named(identity.name) is not None:
                raise OpenIdProblem(
                    f"{identity.name} is the name of a user of the node itself too, so the audit trail could not tell "
                    "the two apart; the administrator has to remove that user"
                )
        except OpenIdProblem as error:
            away = isinstance(error, ProviderAway)
            self._callers.refused.add(
                "OpenID provider away" if away else "not let in by OpenID", self._callers.address(request)
            )
            status = HTTPStatus.SERVICE_UNAVAILABLE if away else HTTPStatus.FORBIDDEN
            response = self._page(request, f"{error}.", status)
        else:
            response = self._begin(request, identity, afterwards) or self._page(request, CHANGED)
        self._delete(response, OPENID_COOKIE)
        return response

    # ---- the session
    def _begin(self, request: Request, identity: Identity, afterwards: str, password: str = "") -> Response | None:
        """Begin a session, always with a new token, and end the one that this browser had."""
        token = self._callers.sessions.begin(
            identity,
            self._callers.address(request),
            request.headers.get("user-agent", ""),
            password=password,
        )
        if token is None:
            return None
        before = self._callers.sessions.identity_of(request.cookies.get(self._callers.cookie(), ""), is_active=False)
        if before is not None:
            self._callers.sessions.end(before)
        response = RedirectResponse(_own_path(afterwards), HTTPStatus.SEE_OTHER)
        self._set(response, None, token)
        return response

    def _confirm(self, request: Request) -> Response:
        return self._site.quiet_page(request, "sign_out.html", at_provider=None)

    def _sign_out(self, request: Request) -> Response:
        identity = identity_of(request)
        self._callers.sessions.end(identity)
        at_provider = self._provider.sign_out_url() if self._provider and identity.way == "openid" else None
        request.state.identity = None
        response: Response
        if at_provider is not None:
            response = self._site.quiet_page(request, "sign_out.html", at_provider=at_provider)
        else:
            response = RedirectResponse("/sign-in?out", HTTPStatus.SEE_OTHER)
        self._delete(response, None)
        return response

    def _set(self, response: Response, name: str | None, value: str, max_age: int | None = None) -> None:
        """Set a cookie that no script reads, and that comes with links from elsewhere but not with forms of others."""
        response.set_cookie(
            self._callers.cookie() if name is None else self._callers.cookie(name),
            value,
            max_age=max_age,
            secure=self._callers.is_secure,
            httponly=True,
            samesite="lax",
        )

    def _delete(self, response: Response, name: str | None) -> None:
        response.delete_cookie(
            self._callers.cookie() if name is None else self._callers.cookie(name),
            secure=self._callers.is_secure,
            httponly=True,
            samesite="lax",
        )


def _own_path(text: str) -> str:
    """A path of the node, as it came with a request; the start page where it leads anywhere else."""
    parts = urlsplit(text) if text.isprintable() and len(text) <= LONGEST_PATH and "\\" not in text else None
    if parts is None or parts.scheme or parts.netloc or not text.startswith("/") or text.startswith("//"):
        return "/"
    return "/" if parts.path.startswith(("/sign-in", "/sign-out")) else text
