"""Sign-in by OpenID Connect: the authorization code flow with PKCE (OpenID Connect Core 1.0 3.1, RFC 7636).

What belongs to a sign-in that has begun lies in a cookie, encrypted: nobody fills the node's memory by beginning many.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from cryptography.fernet import Fernet, InvalidToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from dicom_sr.words import counted
from node.access.identity import RESERVED, RESERVED_BEGINNINGS, Identity, Role
from node.config.openid import OpenIdSettings
from node.config.secret_files import read_secret
from node.data_folder import own_key
from node.errors import ConfigurationError, NodeError
from node.network.http_answer import SMALL, HttpAnswer, HttpAsker, UnsuitableAnswer
from node.network.tls import server_trust

log = logging.getLogger(__name__)

BACK = "/sign-in/openid/back"  # where the provider sends the browser, below status.url
KEY_FILE = "sign-in.key"  # in the data folder; encrypts what belongs to a sign-in that has begun
BEGUN_S = 600  # how long one may take at the provider
KEPT_S = 3600.0  # what the provider says of itself, and its keys
AWAY_S = 5.0  # without asking again, so that many who try do not wait for it at a time
KEYS_AGAIN_S = 30.0  # not more often, however many tokens name a key that is not known
LEEWAY_S = 60  # between the two clocks
LONGEST_NAME = 128
# signatures that anybody can check by a public key; never one by a secret, or none
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")


class OpenIdProblem(NodeError):
    """Somebody cannot sign in by OpenID; the message says why, for them."""


class ProviderAway(OpenIdProblem):
    """The provider cannot be reached, or does not answer as one: try again later."""

    why = ""  # for the administrator


class OpenIdProvider:
    """The provider of the configuration.

    Parameters
    ----------
    settings
        Its section.
    url
        Of the page, as browsers ask for it.
    data
        The data folder, which holds the key of the cookie.
    clock
        Seconds since 1970.
    """

    def __init__(self, settings: OpenIdSettings, url: str, data: Path, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self._redirect_uri = url.rstrip("/") + BACK
        self._after_sign_out = url.rstrip("/") + "/sign-in"
        self._key_file = data.absolute() / KEY_FILE
        self._away_sentence = (
            f"The provider at {urlsplit(settings.issuer).netloc} does not answer as it should: try again later; "
            "the node's log says why"
        )
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] = {}
        self._metadata_at = self._keys_at = self._away_at = float("-inf")
        self._keys: KeySet | None = None

    # ---- to the provider and back
    def begin(self, afterwards: str) -> tuple[str, str]:
        """Where to send the browser, and the cookie that it is to bring back.

        Parameters
        ----------
        afterwards
            The path on the node that it is to go on to.

        Raises
        ------
        ProviderAway
            If the provider does not answer.
        """
        endpoint = self._endpoint("authorization_endpoint")
        begun = {
            "state": secrets.token_urlsafe(24),
            "nonce": secrets.token_urlsafe(24),
            "verifier": secrets.token_urlsafe(48),
            "afterwards": afterwards,
        }
        uri = prepare_grant_uri(
            endpoint,
            self._settings.client_id,
            "code",
            redirect_uri=self._redirect_uri,
            scope=" ".join(self._settings.scopes),
            state=begun["state"],
            nonce=begun["nonce"],
            code_challenge=create_s256_code_challenge(begun["verifier"]),
            code_challenge_method="S256",
        )
        return str(uri), self._fernet().encrypt_at_time(json.dumps(begun).encode(), int(self._clock())).decode()

    def finish(self, cookie: str, answer: Mapping[str, str]) -> tuple[Identity, str]:
        """Who came back from the provider, and the path to go on to.

        Parameters
        ----------
        cookie
            As `begin` gave it.
        answer
            The query with which the browser came back.

        Raises
        ------
        OpenIdProblem
            If they may not sign in, or it did not begin here.
        ProviderAway
            If the provider does not answer.
        """
        begun = self._begun(cookie)
        if not hmac.compare_digest(answer.get("state", "").encode(), begun["state"].encode()):
            raise OpenIdProblem("This sign-in was not begun in this browser, or another was begun since: try again")
        if "error" in answer:
            log.warning("openid sign-in refused", extra={"reason": answer["error"][:64]})
            raise OpenIdProblem("The provider did not let you sign in")
        metadata = self._provider()
        named = answer.get("iss", "")  # RFC 9207: against an answer of one provider that is passed off as another's
        if named != metadata["issuer"] and (
            named or metadata.get("authorization_response_iss_parameter_supported") is True
        ):
            raise OpenIdProblem("The answer is of another provider than the one that was asked")
        tokens = self._tokens(answer.get("code", ""), begun["verifier"])
        claims = self._claims(tokens, begun["nonce"])
        return self._identity(claims), begun["afterwards"]

    def ping(self) -> str:
        """What the provider answers, for a check.

        Raises
        ------
        ProviderAway
            If it does not answer as a provider.
        """
        for name in ("authorization_endpoint", "token_endpoint"):
            self._endpoint(name)
        return f"answers, with {counted(len(self._key_set().keys), 'key')}"

    def sign_out_url(self) -> str | None:
        """Where one signs out at the provider too (RP-Initiated Logout 1.0); None where it has no such place."""
        try:
            endpoint = self._provider().get("end_session_endpoint")
        except ProviderAway:
            return None
        if not isinstance(endpoint, str) or not self._is_fit(endpoint):
            return None
        query = httpx.QueryParams(
            {"client_id": self._settings.client_id, "post_logout_redirect_uri": self._after_sign_out}
        )
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    def _begun(self, cookie: str) -> dict[str, str]:
        try:
            text = self._fernet().decrypt_at_time(cookie.encode("ascii", "replace"), BEGUN_S, int(self._clock()))
            begun: dict[str, str] = json.loads(text)
        except (InvalidToken, ValueError):
            raise OpenIdProblem("This sign-in took too long, or was not begun in this browser: try again") from None
        return begun

    def _fernet(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(own_key(self._key_file)))

    # ---- what the provider says
    def _tokens(self, code: str, verifier: str) -> dict[str, Any]:
        if not code:
            raise OpenIdProblem("The provider's answer has no code")
        body = prepare_token_request(
            "authorization_code", code=code, redirect_uri=self._redirect_uri, code_verifier=verifier
        )
        secret = self._secret()
        auth = ClientAuth(self._settings.client_id, secret, self._auth_method(secret))
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        uri, headers, body = auth.prepare("POST", self._endpoint("token_endpoint"), headers, body)
        answer = self._ask("POST", uri, content=body, headers=headers)
        content = self._content(answer)
        if answer.status in (400, 401):
            log.warning("openid code not taken", extra={"reason": str(content.get("error", answer.phrase))[:64]})
            raise OpenIdProblem("The provider did not take the code that it gave: try again")
        if not answer.is_success or not isinstance(content.get("id_token"), str):
            raise self._away(f"its token endpoint answers {answer.phrase}")
        return content

    def _auth_method(self, secret: str | None) -> str:
        if secret is None:
            return "none"
        supported = self._provider().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return "client_secret_basic" if "client_secret_basic" in supported else "client_secret_post"

    def _secret(self) -> str | None:
        if (path := self._settings.client_secret_file) is None:
            return None
        try:
            return read_secret("status.openid.client_secret_file", path)  # each time: secrets are renewed
        except ConfigurationError as error:
            log.error("openid secret not read", extra={"reason": str(error)})
            raise ProviderAway("The node cannot read its secret for the provider; its log says why") from error

    def _claims(self, tokens: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """What the ID token says, and userinfo where that lacks a claim that is needed."""
        claims = self._verified(str(tokens["id_token"]), nonce, tokens.get("access_token"))
        needed = (self._settings.name_claim, self._settings.role_claim)
        endpoint = self._provider().get("userinfo_endpoint")
        if all(claim_of(claims, name) is not None for name in needed) or not isinstance(endpoint, str):
            return claims
        if not self._is_fit(endpoint) or not isinstance(tokens.get("access_token"), str):
            return claims
        answer = self._ask("GET", endpoint, headers={"Authorization": f"Bearer {tokens['access_token']}"})
        if not answer.is_success or "jwt" in answer.headers.get("content-type", ""):
            return claims
        more = self._content(answer)
        if more.get("sub") != claims["sub"]:  # OpenID Connect Core 5.3.2
            raise OpenIdProblem("The provider speaks of two persons: you are not signed in")
        return {**more, **claims}

    def _verified(self, id_token: str, nonce: str, access_token: object) -> dict[str, Any]:
        """The claims of an ID token, OpenID Connect Core 3.1.3.7."""
        try:
            token = self._decoded(id_token)
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": self._provider()["issuer"]},
                    "aud": {"essential": True, "value": self._settings.client_id},
                },
                params={"nonce": nonce, "client_id": self._settings.client_id, "access_token": access_token},
            )
            claims.validate(now=int(self._clock()), leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError) as error:
            log.warning("openid token not taken", extra={"reason": type(error).__name__})
            raise OpenIdProblem("The provider's token does not hold; are the clocks of both right?") from None
        return dict(claims)

    def _decoded(self, id_token: str) -> jwt.Token:
        try:
            return jwt.decode(id_token, self._key_set(), algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):  # the provider may have renewed its keys
            return jwt.decode(id_token, self._key_set(again=True), algorithms=list(ALGORITHMS))

    # ---- what is kept of it
    def _provider(self) -> dict[str, Any]:
        """Its metadata, OpenID Connect Discovery 1.0 4."""
        with self._lock:
            if self._clock() - self._metadata_at < KEPT_S:
                return self._metadata
            if self._clock() - self._away_at < AWAY_S:
                raise ProviderAway(self._away_sentence)
        found = self._content(self._asked(str(get_well_known_url(self._settings.issuer, external=True))))
        if str(found.get("issuer", "")).rstrip("/") != self._settings.issuer.rstrip("/"):
            raise self._away("it calls itself another issuer than status.openid.issuer")
        with self._lock:
            self._metadata, self._metadata_at = found, self._clock()
        return found

    def _key_set(self, *, again: bool = False) -> KeySet:
        with self._lock:
            age, keys = self._clock() - self._keys_at, self._keys
        if keys is not None and age < (KEYS_AGAIN_S if again else KEPT_S):
            return keys
        content = self._content(self._asked(self._endpoint("jwks_uri")))
        try:
            keys = KeySet.import_key_set({"keys": [key for key in content["keys"] if key.get("use", "sig") == "sig"]})
        except (JoseError, KeyError, ValueError, TypeError, AttributeError):
            raise self._away("its keys cannot be read") from None
        with self._lock:
            self._keys, self._keys_at = keys, self._clock()
        return keys

    def _endpoint(self, name: str) -> str:
        url = self._provider().get(name)
        if not isinstance(url, str) or not self._is_fit(url):
            raise self._away(f"it names no {name}")
        return url

    def _is_fit(self, url: str) -> bool:
        """Whether what is sent there is as safe as with the provider itself."""
        return urlsplit(url).scheme in ("https", urlsplit(self._settings.issuer).scheme)

    def _asked(self, url: str) -> HttpAnswer:
        answer = self._ask("GET", url)
        if not answer.is_success:
            raise self._away(f"it answers {answer.phrase}")
        return answer

    def _ask(self, method: str, url: str, **more: Any) -> HttpAnswer:
        try:
            asker = HttpAsker(self._settings.timeout_s, verify=server_trust(self._settings.trusted))
        except OSError as error:
            raise self._away(f"status.openid.trusted cannot be read: {error.strerror}") from error
        try:
            return asker.ask(method, url, largest=SMALL, **more)
        except UnsuitableAnswer as error:
            raise self._away(f"the answer {error}") from error
        except (httpx.HTTPError, OSError) as error:
            raise self._away(type(error).__name__) from error
        finally:
            asker.close()

    def _content(self, answer: HttpAnswer) -> dict[str, Any]:
        try:
            content = answer.json()
        except UnsuitableAnswer as error:
            raise self._away(f"the answer {error}") from error
        if not isinstance(content, dict):
            raise self._away("the answer is no JSON object")
        return content

    def _away(self, why: str) -> ProviderAway:
        log.error("openid provider away", extra={"issuer": self._settings.issuer, "reason": why})
        self._away_at = self._clock()
        away = ProviderAway(self._away_sentence)
        away.why = why
        return away

    # ---- who that is
    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        name = claim_of(claims, self._settings.name_claim)
        if not isinstance(name, str) or not name.strip():
            raise OpenIdProblem(f"The provider says no name of you (the claim {self._settings.name_claim})")
        name = name.strip()
        is_reserved = name.lower() in RESERVED or name.lower().startswith(RESERVED_BEGINNINGS)
        if len(name) > LONGEST_NAME or not name.isprintable() or is_reserved:
            raise OpenIdProblem("The provider gives you a name that the node does not take")
        values = set(values_of(claim_of(claims, self._settings.role_claim)))
        roles = [Role(role) for value, role in self._settings.roles.items() if value in values]
        if not roles:
            raise OpenIdProblem(
                "You are known to the provider, but none of your roles there may sign in here; ask the administrator"
            )
        sees_patients = bool(values & set(self._settings.patients))
        return Identity(name, max(roles, key=list(Role).index), sees_patients, "openid")


def claim_of(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, which may have dots in it, or lead through them to a claim in a claim."""
    if path in claims:
        return claims[path]
    first, dot, rest = path.partition(".")
    inner = claims.get(first)
    return claim_of(inner, rest) if dot and isinstance(inner, Mapping) else None


def values_of(claim: object) -> Iterator[str]:
    """What a claim holds: one value, or a list of them."""
    if isinstance(claim, str):
        yield claim
    elif isinstance(claim, list):
        yield from (value for value in claim if isinstance(value, str))
