"""Sign-in by OpenID Connect: the provider, and what its claims say of somebody."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from node.config.values import FilePath, Section, Url

RoleName = Literal["viewer", "operator", "administrator"]  # of `node.access.identity.Role`


class OpenIdSettings(Section):
    """An OpenID provider, such as Keycloak or Entra ID."""

    issuer: Url  # as its ID tokens name it
    client_id: str = Field(min_length=1)
    client_secret_file: FilePath | None = None  # None: a public client, which PKCE alone protects
    scopes: tuple[str, ...] = ("openid", "profile")
    name_claim: str = "preferred_username"
    role_claim: str = "roles"  # with dots for a claim in a claim, such as realm_access.roles
    roles: dict[str, RoleName] = Field(default_factory=dict)  # value of role_claim -> role; the highest counts
    patients: tuple[str, ...] = ()  # values of role_claim that may see patients
    button: str = "Sign in with OpenID"
    trusted: FilePath | None = None  # CA bundle of the provider's certificate; None: the system's
    timeout_s: float = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _somebody_may(self) -> Self:
        if not self.roles:
            raise ValueError(
                f"needs roles beside it, which say what values of {self.role_claim} are which role: "
                "without them nobody may sign in"
            )
        if "openid" not in self.scopes:
            raise ValueError("scopes: should have openid among them, or the provider gives no ID token")
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("issuer: should begin with https://, or everybody on the way could sign in")
        return self
