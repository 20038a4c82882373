"""Who is asking, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection


class Role(StrEnum):
    """What somebody may do; each may all that those before it may."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # act: restart, cancel, send, pause, withdraw, import
    ADMINISTRATOR = "administrator"  # change routes, users and tokens

    def includes(self, other: Role) -> bool:
        """Whether this role may all that the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Scope(StrEnum):
    """What a token of a program is good for."""

    READ = "read"  # look, as a viewer
    PATIENTS = "patients"  # see patients' names, IDs and accession numbers
    OPERATE = "operate"  # act, as an operator
    ADMINISTER = "administer"  # all that an administrator may


@dataclass(frozen=True)
class Identity:
    """Who is asking."""

    name: str  # for the audit trail
    role: Role
    sees_patients: bool = False  # patients' names, IDs and accession numbers
    way: str = "machine"  # how they showed who they are: machine, certificate, token, password, openid
    session: str = ""  # digest of the session's token, to which forms are bound; empty where there is no session

    def may(self, role: Role) -> bool:
        """Whether they have this role, or one that includes it."""
        return self.role.includes(role)


THIS_MACHINE = Identity("this machine", Role.ADMINISTRATOR, sees_patients=True)
"""Whoever sits at the machine, where no sign-in is configured."""
SHARED_TOKEN = Identity("the shared token", Role.VIEWER, way="token")
"""Whoever shows the token of `status.token_file`, which many may have."""
RESERVED = (THIS_MACHINE.name, SHARED_TOKEN.name)
RESERVED_BEGINNINGS = ("token ", "certificate ")  # of names of programs; no person is called so


def identity_of(request: HTTPConnection) -> Identity:
    """Who is asking; for views that are guarded by `node.status.site.Site.guarded`."""
    identity: Identity = request.state.identity
    return identity
