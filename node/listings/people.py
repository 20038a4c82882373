"""Users, and tokens of programs; nothing of it is secret."""

from __future__ import annotations

from datetime import UTC, datetime

from node.access.api_tokens import holds
from node.access.identity import Role, Scope
from node.database.tables import ApiTokenRow
from node.listings.listing import Listing


class UserListing(Listing):
    """A user of the node."""

    name: str
    role: Role
    sees_patients: bool
    created: datetime
    disabled: datetime | None
    last_sign_in: datetime | None


class TokenListing(Listing):
    """A token of a program."""

    name: str
    scopes: list[Scope]
    state: str
    made_by: str
    created: datetime
    expires: datetime | None
    last_used: datetime | None
    revoked: datetime | None

    @classmethod
    def of(cls, row: ApiTokenRow) -> TokenListing:
        """The listing of a row."""
        state = "revoked" if row.revoked else "holds" if holds(row, datetime.now(UTC)) else "expired"
        names = ("name", "scopes", "made_by", "created", "expires", "last_used", "revoked")
        return cls(state=state, **{name: getattr(row, name) for name in names})


class NewTokenListing(Listing):
    """A token that was made."""

    name: str
    token: str  # it is shown here only
