"""A running node with an API, a token for each role, and some jobs and studies to ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from node.access.api_tokens import ApiTokens
from node.access.identity import Role, Scope
from node.access.passwords import Passwords
from node.access.sessions import Sessions
from node.access.users import Users
from node.config import StatusSettings
from tests.node.access.quick import PASSWORD, QUICK
from tests.node.actions.acting import DESTINATIONS, ROUTES
from tests.node.send.outgoing import Outgoing
from tests.running import RunningNode

SCOPES = {
    "viewer": (Scope.READ,),
    "operator": (Scope.OPERATE,),
    "administrator": (Scope.ADMINISTER,),
    "seeing": (Scope.READ, Scope.PATIENTS),
}


@dataclass
class Asked:
    """A node, and its tokens by role."""

    node: RunningNode
    tokens: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.node.page}"

    def by(self, who: str) -> httpx.Client:
        """Somebody with the token of a role."""
        return httpx.Client(
            base_url=f"{self.url}/api/v1", headers={"authorization": f"Bearer {self.tokens[who]}"}, timeout=30
        )

    def sessions(self, settings: StatusSettings) -> Sessions:
        """The sessions of its people."""
        return Sessions(self.node.database, settings)

    @cached_property
    def outgoing(self) -> Outgoing:
        """Makes jobs that are being sent."""
        return Outgoing(self.node.folder / "data", self.node.database)


@contextmanager
def asked(folder: Path, **settings: Any) -> Iterator[Asked]:
    """A running node in a folder, with a user, so that everybody has to sign in."""
    given = {"destinations": DESTINATIONS, "routes": ROUTES, **settings}
    with RunningNode(folder, **given) as node:
        Users(node.database, Passwords(QUICK)).add("anna", PASSWORD, Role.ADMINISTRATOR, "root")
        tokens = ApiTokens(node.database)
        yield Asked(node, {who: tokens.new(who, scopes, None, "root") for who, scopes in SCOPES.items()})
