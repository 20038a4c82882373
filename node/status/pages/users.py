"""The node's own users, for administrators: who there is, and what may be changed about them."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.access.identity import Role, identity_of
from node.access.passwords import SHORTEST
from node.access.users import NotDone, folded
from node.database.tables import UserRow
from node.status.site import Site, form_of

YOURSELF = "that is you: another administrator has to do it, so that one is always left"
YOUR_PASSWORD = "that is you: change your password on the page Account (/account), which asks for the present one"


class UserPages:
    """Their routes."""

    def __init__(self, site: Site) -> None:
        self._site, self._users = site, site.callers.users

    def routes(self) -> list[BaseRoute]:
        """Of the list, of one user, and of what is done about them."""

        def administrators(view: Callable[[Request], Response]) -> Callable[..., object]:
            return self._site.guarded(view, Role.ADMINISTRATOR)

        return [
            Route("/users", administrators(self._list)),
            Route("/users", administrators(self._add), methods=["POST"]),
            Route("/users/{name}", administrators(self._show)),
            Route("/users/{name}/{what}", administrators(self._change), methods=["POST"]),
        ]

    def _list(self, request: Request) -> Response:
        return self._list_page(request)

    def _list_page(self, request: Request, problem: str = "", status: int = HTTPStatus.OK) -> Response:
        typed = form_of(request) if problem else {}
        return self._site.quiet_page(
            request,
            "users.html",
            status,
            users=self._users.all(),
            problem=problem,
            typed=typed,
            roles=list(Role),
            shortest=SHORTEST,
        )

    def _add(self, request: Request) -> Response:
        fields, by = form_of(request), identity_of(request)
        try:
            role = _role_in(fields.get("role", ""))
            self._site.callers.require_fit_for_first(role)
            name, password = folded(fields.get("name", "")), fields.get("password", "")
            self._users.add(name, password, role, by.name, sees_patients="patients" in fields)
        except NotDone as error:
            return self._list_page(request, f"Not added: {error}.", HTTPStatus.UNPROCESSABLE_ENTITY)
        return RedirectResponse("/users", HTTPStatus.SEE_OTHER)

    def _show(self, request: Request) -> Response:
        return self._user_page(request, self._named(request))

    def _user_page(self, request: Request, user: UserRow, problem: str = "", status: int = HTTPStatus.OK) -> Response:
        return self._site.quiet_page(
            request,
            "user.html",
            status,
            user=user,
            problem=problem,
            roles=list(Role),
            shortest=SHORTEST,
            is_self=_is_self(request, user),
            tokens=self._users.live_tokens(user.name),
        )

    def _change(self, request: Request) -> Response:
        user, what, by = self._named(request), request.path_params["what"], identity_of(request).name
        fields = form_of(request)
        try:
            if _is_self(request, user):
                raise NotDone(YOUR_PASSWORD if what == "password" else YOURSELF)
            match what:
                case "role":
                    role = _role_in(fields.get("role", ""))
                    self._users.set_role(user.name, role, by, sees_patients="patients" in fields)
                case "password":
                    self._users.set_password(user.name, fields.get("password", ""), by)
                case "disable":
                    self._users.disable(user.name, by)
                case "enable":
                    self._users.enable(user.name, by)
                case "remove":
                    self._users.remove(user.name, by)
                case _:
                    raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such page.")
        except NotDone as error:
            return self._user_page(request, user, f"Not done: {error}.", HTTPStatus.UNPROCESSABLE_ENTITY)
        return RedirectResponse("/users" if what == "remove" else f"/users/{user.name}", HTTPStatus.SEE_OTHER)

    def _named(self, request: Request) -> UserRow:
        user = self._users.named(request.path_params["name"])
        if user is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "The node has no such user.")
        return user


def _is_self(request: Request, user: UserRow) -> bool:
    identity = identity_of(request)
    return (identity.way, identity.name) == ("password", user.name)


def _role_in(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise NotDone(f"should have one of the roles {', '.join(Role)}") from None
