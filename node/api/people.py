"""Users, and tokens of programs; for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from node.access.api_tokens import LONGEST_DAYS
from node.access.identity import Identity, Role, Scope
from node.access.passwords import LONGEST, SHORTEST
from node.access.users import NotDone, folded
from node.api.fields import Asked, NamePath, Whole
from node.api.guard import ADMINISTRATOR, GuardedRoute
from node.api.parts import Caller, Parts, PartsOf
from node.api.problems import Refused
from node.listings.actions import ActionListing
from node.listings.people import NewTokenListing, TokenListing, UserListing

router = APIRouter(tags=["people"], route_class=GuardedRoute)

USER = r"^[a-z0-9][a-z0-9._@-]{0,63}$"
TOKEN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
YOURSELF = "that is you: another administrator has to do it, so that one is always left"
OneRole = Annotated[Role, Field(strict=False)]
Password = Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST, json_schema_extra={"format": "password"})]


class NewUser(Asked):
    """A user to be added."""

    name: str = Field(pattern=USER)
    password: Password
    role: OneRole
    sees_patients: bool = False


class UserChange(Asked):
    """What is to be another way with a user; what is not said stays."""

    role: OneRole | None = None
    sees_patients: bool | None = None
    password: Password | None = None
    disabled: bool | None = None


class NewToken(Asked):
    """A token to be made."""

    name: str = Field(pattern=TOKEN)
    scopes: list[Annotated[Scope, Field(strict=False)]] = Field(min_length=1, max_length=len(Scope))
    days: Annotated[Whole, Field(ge=1, le=LONGEST_DAYS)] | None = Field(
        default=365, description="That it holds; null: until it is revoked"
    )


@router.get("/users", openapi_extra=ADMINISTRATOR)
def list_users(parts: PartsOf) -> list[UserListing]:
    """All users, by name."""
    return [UserListing.model_validate(row) for row in parts.callers.users.all()]


@router.post("/users", status_code=201, openapi_extra=ADMINISTRATOR)
def add_user(parts: PartsOf, caller: Caller, body: NewUser) -> UserListing:
    """Add a user."""
    parts.callers.require_fit_for_first(body.role)
    parts.callers.users.add(body.name, body.password, body.role, caller.name, sees_patients=body.sees_patients)
    return _user(parts, body.name)


@router.get("/users/{name}", openapi_extra=ADMINISTRATOR)
def show_user(parts: PartsOf, name: NamePath) -> UserListing:
    """One user."""
    return _user(parts, name)


@router.patch("/users/{name}", openapi_extra=ADMINISTRATOR)
def change_user(parts: PartsOf, caller: Caller, name: NamePath, body: UserChange) -> UserListing:
    """Give a user another role or password, or have them sign in no more, or again."""
    found, users = _user(parts, name), parts.callers.users
    if (body.role, body.sees_patients, body.disabled) != (None, None, None) and _is_self(caller, found):
        raise NotDone(YOURSELF)
    if body.password is not None:
        users.set_password(found.name, body.password, caller.name, stays=caller)
    if body.role is not None or body.sees_patients is not None:
        users.set_role(found.name, body.role or found.role, caller.name, sees_patients=body.sees_patients)
    if body.disabled is not None:
        if body.disabled:
            users.disable(found.name, caller.name)
        else:
            users.enable(found.name, caller.name)
    return _user(parts, name)


@router.delete("/users/{name}", openapi_extra=ADMINISTRATOR)
def remove_user(parts: PartsOf, caller: Caller, name: NamePath) -> ActionListing:
    """Remove a user; tokens that they have made stay."""
    found, users = _user(parts, name), parts.callers.users
    if _is_self(caller, found):
        raise NotDone(YOURSELF)
    ended = users.remove(found.name, caller.name)
    return ActionListing.did(f"The user is removed, {ended} sessions ended.")


def _user(parts: Parts, name: str) -> UserListing:
    if (row := parts.callers.users.named(name)) is None:
        raise Refused(404, "the node has no such user")
    return UserListing.model_validate(row)


def _is_self(caller: Identity, user: UserListing) -> bool:
    return (caller.way, caller.name) == ("password", folded(user.name))


@router.get("/tokens", openapi_extra=ADMINISTRATOR)
def list_tokens(parts: PartsOf) -> list[TokenListing]:
    """All tokens of programs, the latest first."""
    return [TokenListing.of(row) for row in parts.callers.api_tokens.all()]


@router.post("/tokens", status_code=201, openapi_extra=ADMINISTRATOR)
def make_token(parts: PartsOf, caller: Caller, body: NewToken) -> NewTokenListing:
    """Make a token; this answer alone has it."""
    token = parts.callers.api_tokens.new(body.name, body.scopes, body.days, caller.name)
    return NewTokenListing(name=body.name, token=token)


@router.delete("/tokens/{name}", openapi_extra=ADMINISTRATOR)
def revoke_token(parts: PartsOf, caller: Caller, name: NamePath) -> ActionListing:
    """Have a token hold no more."""
    if all(row.name != name for row in parts.callers.api_tokens.all()):
        raise Refused(404, "the node has no such token")
    parts.callers.api_tokens.revoke(name, caller.name)
    return ActionListing.did("The token holds no more.")
