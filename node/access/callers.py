"""Who is asking by HTTP: the one place where a request gets its `Identity`.

In this order: the cookie of a session; a token, as a bearer or as a password; this machine, where nobody has to sign
in; a client certificate.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import HTTPConnection

from node.access.api_tokens import ApiTokens
from node.access.attempts import Attempts
from node.access.identity import SHARED_TOKEN, THIS_MACHINE, Identity, Role
from node.access.refused import RefusedSignIns
from node.access.sessions import Sessions
from node.access.users import NotDone, Users
from node.config import Configuration
from node.config.secret_files import read_token
from node.database.connection import Database
from node.network.addresses import is_loopback
from node.network.sign_in import FORBIDDEN, UNAUTHORIZED, Refusal, caller_address, seen, shown_token

COOKIE = "condyle-session"
SECURE_PREFIX = "__Host-"  # a browser takes such a cookie only by TLS, for all paths, and from this host alone
SIGN_IN = "Sign in first"
FIRST = "the first user should be an administrator: from now on everybody signs in, and one has to add the others"


class Callers:
    """Tells who is asking; holds the users, sessions and tokens by which it does.

    Parameters
    ----------
    clock
        The time, with its zone.
    attempts
        Counts sign-ins that failed; None: from now on.
    refused
        Has them counted in the audit trail; None: a counter of its own.

    Raises
    ------
    ConfigurationError
        If `status.token_file` cannot be read, or holds no token.
    """

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        attempts: Attempts | None = None,
        refused: RefusedSignIns | None = None,
    ) -> None:
        settings = self._settings = configuration.status
        token = read_token("status", settings.token, settings.token_file)
        self._token = None if token is None else token.encode()
        self._certified = settings.tls is not None and settings.tls.trusted is not None
        self.users = Users(database, clock=clock)
        self.sessions = Sessions(database, settings, clock)
        self.api_tokens = ApiTokens(database, clock)
        self.refused = RefusedSignIns(database, clock) if refused is None else refused
        self.attempts = Attempts() if attempts is None else attempts

    @property
    def is_secure(self) -> bool:
        """Whether browsers come by TLS, to the node or to a proxy before it."""
        return self._settings.tls is not None or (self._settings.url or "").startswith("https:")

    def cookie(self, name: str = COOKIE) -> str:
        """The whole name of a cookie."""
        return f"{SECURE_PREFIX}{name}" if self.is_secure else name

    def address(self, request: HTTPConnection) -> str:
        """Where a request came from, as far as anybody who is trusted says."""
        sender = request.client.host if request.client else ""
        return caller_address(request, self._settings.trusted_proxies) or sender

    def people_sign_in(self) -> bool:
        """Whether there is a page to sign in on: there are users, or a provider knows them."""
        return self._settings.openid is not None or self.users.any()

    def require_fit_for_first(self, role: Role) -> None:
        """Raise `NotDone` for a first user who is no administrator: nobody could add the others then."""
        if role != Role.ADMINISTRATOR and not self.people_sign_in():
            raise NotDone(FIRST)

    def identified(self, request: HTTPConnection) -> Identity | Refusal:
        """Who is asking, or why they may not ask."""
        self.refused.write_if_due()
        if (session := self._session(request)) is not None:
            return session
        scheme, shown = shown_token(request)
        if scheme == "bearer" or (scheme == "basic" and self._token is not None):
            return self._holder(request, scheme, shown)
        people = self.people_sign_in()
        needs_nothing = self._settings.open_loopback or (self._token is None and not people)
        if needs_nothing and is_loopback(caller_address(request, self._settings.trusted_proxies)):
            return THIS_MACHINE
        if self._certified:
            return self._certificate(request)
        if people:
            return Refusal(UNAUTHORIZED, SIGN_IN)
        if self._token is not None:
            return Refusal(UNAUTHORIZED, "The token of status.token_file is needed")
        only = (
            "Only this machine may, as the configuration sets no status.token_file and there is no user "
            "(condyle user add NAME --role administrator)"
        )
        return Refusal(FORBIDDEN, f"{only}; {seen(request, self._settings.trusted_proxies)}")

    def _session(self, request: HTTPConnection) -> Identity | None:
        token = request.cookies.get(self.cookie())
        return self.sessions.identity_of(token, is_active=not is_by_itself(request)) if token else None

    def _holder(self, request: HTTPConnection, scheme: str, shown: bytes) -> Identity | Refusal:
        """Who holds the token that is shown."""
        if self._token is not None and hmac.compare_digest(shown, self._token):
            return SHARED_TOKEN
        if scheme == "bearer":
            identity = self.api_tokens.identity_of(shown.decode("utf-8", "replace"))
            if identity is not None:
                return identity
        self.refused.add("no such token", self.address(request))
        return Refusal(UNAUTHORIZED, "That is no token of this node, or it holds no more")

    def _certificate(self, request: HTTPConnection) -> Identity:
        """Whoever shows a certificate that the site's own authorities have issued: all who get so far have."""
        name = request.scope.get("state", {}).get("certificate", "")
        return Identity(f"certificate {name}".strip(), Role(self._settings.certificate_role), way="certificate")


def is_by_itself(request: HTTPConnection) -> bool:
    """Whether a page asks for something, as one does that keeps itself fresh or shows pictures, and not its reader."""
    headers = request.headers
    if request.scope.get("method") != "GET" or "hx-boosted" in headers:
        return False
    of_a_page = headers.get("sec-fetch-dest", "document") != "document"  # over plain HTTP browsers do not say
    by_a_script = "hx-request" in headers or "x-requested-with" in headers
    return of_a_page or by_a_script or "text/html" not in headers.get("accept", "text/html")
