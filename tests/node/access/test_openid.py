"""Sign-in by OpenID Connect with a provider that somebody else has written; its answers are believed no further."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from node.access.identity import Identity, Role
from node.access.openid import BEGUN_S, OpenIdProblem, OpenIdProvider, ProviderAway, claim_of, values_of
from node.config.openid import OpenIdSettings
from node.demo.orthanc_process import free_port
from tests.oidc_provider import PEOPLE, provider, signed_in_at

URL = "https://condyle.example.org"
ROLES = {
    "condyle-administrators": "administrator",
    "condyle-operators": "operator",
    "condyle-viewers": "viewer",
}
SECRET = "a secret of the client, with / and : in it"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with provider(tmp_path_factory.mktemp("provider"), free_port(), URL) as issuer:
        yield issuer


def settings(issuer: str, **more: Any) -> OpenIdSettings:
    values = {"issuer": issuer, "client_id": "condyle", "roles": ROLES, "patients": ["condyle-patients"], **more}
    return OpenIdSettings.model_validate(values)


@pytest.fixture
def node(issuer: str, tmp_path: Path) -> OpenIdProvider:
    return OpenIdProvider(settings(issuer), URL, tmp_path)


def came_back(node: OpenIdProvider, name: str) -> tuple[str, dict[str, str]]:
    """The cookie of a sign-in and the query with which the browser comes back."""
    url, cookie = node.begin("/studies/1")
    with httpx.Client(timeout=30) as browser:
        back = signed_in_at(browser, url, name)
    assert back.startswith(f"{URL}/sign-in/openid/back?")
    return cookie, dict(parse_qsl(urlsplit(back).query))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anna", Identity("anna", Role.ADMINISTRATOR, sees_patients=True, way="openid")),
        ("otto", Identity("otto", Role.OPERATOR, way="openid")),  # the highest of two roles
    ],
)
def test_whoever_signs_in_at_the_provider_has_the_role_of_their_groups(
    node: OpenIdProvider, name: str, expected: Identity
) -> None:
    assert node.finish(*came_back(node, name)) == (expected, "/studies/1")


def test_whom_no_role_is_given_may_not_sign_in(node: OpenIdProvider) -> None:
    cookie, answer = came_back(node, "stranger")
    with pytest.raises(OpenIdProblem, match="none of your roles there may sign in here"):
        node.finish(cookie, answer)


def test_a_client_with_a_secret_and_roles_in_the_id_token_work_too(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n", encoding="utf-8")
    with provider(tmp_path / "provider", free_port(), URL, secret=SECRET, in_id_token=True) as issuer:
        node = OpenIdProvider(settings(issuer, client_secret_file=file), URL, tmp_path)
        cookie, answer = came_back(node, "vera")
        assert node.finish(cookie, answer)[0].role == Role.VIEWER
        with pytest.raises(OpenIdProblem, match="did not take the code"):
            node.finish(cookie, answer)  # a code is good once
        file.write_text("another secret", encoding="utf-8")
        with pytest.raises(OpenIdProblem, match="did not take the code"):
            node.finish(*came_back(node, "vera"))


Change = Callable[[str, dict[str, str]], tuple[str, dict[str, str]]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda cookie, answer: ("", answer), "was not begun in this browser"),
        (lambda cookie, answer: (cookie[:-8] + "AAAAAAA=", answer), "was not begun in this browser"),
        (lambda cookie, answer: (cookie, answer | {"state": "other"}), "was not begun in this browser"),
        (lambda cookie, answer: (cookie, answer | {"iss": "https://other.example.org"}), "of another provider"),
        (lambda cookie, answer: (cookie, {k: v for k, v in answer.items() if k != "iss"}), "of another provider"),
        (lambda cookie, answer: (cookie, answer | {"code": "other"}), "did not take the code"),
        (lambda cookie, answer: (cookie, answer | {"code": ""}), "has no code"),
        (lambda cookie, answer: (cookie, answer | {"error": "access_denied"}), "did not let you sign in"),
    ],
)
def test_an_answer_that_was_changed_on_the_way_lets_nobody_in(node: OpenIdProvider, change: Change, told: str) -> None:
    with pytest.raises(OpenIdProblem, match=told):
        node.finish(*change(*came_back(node, "anna")))


def test_a_code_that_was_slipped_into_another_browser_lets_nobody_in(node: OpenIdProvider) -> None:
    _, stolen = came_back(node, "anna")
    url, cookie = node.begin("/")
    state = dict(parse_qsl(urlsplit(url).query))["state"]
    with pytest.raises(OpenIdProblem, match="did not take the code"):  # its PKCE verifier is another
        node.finish(cookie, stolen | {"state": state})


def test_a_sign_in_that_took_too_long_is_begun_again(issuer: str, tmp_path: Path) -> None:
    now = time.time()
    node = OpenIdProvider(settings(issuer), URL, tmp_path, clock=lambda: now)
    cookie, answer = came_back(node, "anna")
    now += BEGUN_S + 1
    with pytest.raises(OpenIdProblem, match="took too long"):
        node.finish(cookie, answer)


def test_a_token_of_another_time_or_for_another_client_does_not_hold(issuer: str, tmp_path: Path) -> None:
    now = time.time()
    node = OpenIdProvider(settings(issuer), URL, tmp_path, clock=lambda: now)
    url, cookie = node.begin("/")
    with httpx.Client(timeout=30) as browser:
        answer = dict(parse_qsl(urlsplit(signed_in_at(browser, url, "anna")).query))
    begun = node._begun(cookie)
    tokens = node._tokens(answer["code"], begun["verifier"])
    with pytest.raises(OpenIdProblem, match="token does not hold"):
        node._verified(tokens["id_token"], "another nonce", tokens["access_token"])
    head, body, signature = tokens["id_token"].split(".")
    for forged in (
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        f"eyJhbGciOiJub25lIn0.{body}.",  # {"alg":"none"}
        "no token",
    ):
        with pytest.raises(OpenIdProblem, match="token does not hold"):
            node._verified(forged, begun["nonce"], tokens["access_token"])
    other = OpenIdProvider(settings(issuer, client_id="other"), URL, tmp_path, clock=lambda: now)
    with pytest.raises(OpenIdProblem, match="token does not hold"):
        other._verified(tokens["id_token"], begun["nonce"], tokens["access_token"])
    assert node._verified(tokens["id_token"], begun["nonce"], tokens["access_token"])["sub"] == "anna"
    now += 2 * 3600
    with pytest.raises(OpenIdProblem, match="are the clocks of both right"):
        node._verified(tokens["id_token"], begun["nonce"], tokens["access_token"])


def test_keys_that_the_provider_has_renewed_are_fetched_again(tmp_path: Path) -> None:
    now, port = time.time(), free_port()
    node = OpenIdProvider(settings(f"http://127.0.0.1:{port}"), URL, tmp_path, clock=lambda: now)
    for _ in range(2):  # each start makes keys anew
        with provider(tmp_path / "provider", port, URL):
            assert node.finish(*came_back(node, "vera"))[0].name == "vera"
        now += 31


def test_a_provider_that_is_away_costs_a_sentence_and_is_not_asked_by_everybody(tmp_path: Path) -> None:
    now, port = time.time(), free_port()
    node = OpenIdProvider(settings(f"http://127.0.0.1:{port}"), URL, tmp_path, clock=lambda: now)
    for _ in range(2):
        with pytest.raises(ProviderAway, match=rf"The provider at 127\.0\.0\.1:{port} does not answer as it should"):
            node.begin("/")
    assert node.sign_out_url() is None
    with provider(tmp_path / "provider", port, URL):
        with pytest.raises(ProviderAway):
            node.begin("/")
        now += 6
        assert node.begin("/")[0].startswith(f"http://127.0.0.1:{port}/")


def test_a_check_says_what_is_wrong_with_the_provider(node: OpenIdProvider, issuer: str, tmp_path: Path) -> None:
    assert node.ping() == "answers, with 1 key"
    for other, why in (
        (f"http://127.0.0.1:{free_port()}", "ConnectError"),
        (f"{issuer}/elsewhere", "it answers HTTP 404 Not Found"),
        (issuer.replace("127.0.0.1", "localhost"), "it calls itself another issuer than status.openid.issuer"),
    ):
        with pytest.raises(ProviderAway) as error:
            OpenIdProvider(settings(other), URL, tmp_path).ping()
        assert error.value.why == why


def test_one_signs_out_at_the_provider_too(node: OpenIdProvider, issuer: str) -> None:
    url = node.sign_out_url()
    assert url is not None
    assert url.startswith(f"{issuer}/session/end?")
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "client_id": "condyle",
        "post_logout_redirect_uri": f"{URL}/sign-in",
    }
    assert httpx.get(url).status_code == 200  # the provider knows the client and its address


def test_a_name_that_is_no_persons_is_not_taken(tmp_path: Path) -> None:
    people = dict.fromkeys(("token nightly", "This Machine"), PEOPLE["vera"])
    with provider(tmp_path / "provider", free_port(), URL, people=people) as issuer:
        node = OpenIdProvider(settings(issuer), URL, tmp_path)
        for name in people:
            with pytest.raises(OpenIdProblem, match="a name that the node does not take"):
                node.finish(*came_back(node, name))


def test_claims_are_found_by_name_and_by_path_and_hold_one_value_or_many() -> None:
    claims = {"a": {"b": ["x", 1, "y"]}, "https://h.example/roles": "z", "a.c": "w"}
    assert list(values_of(claim_of(claims, "a.b"))) == ["x", "y"]
    assert list(values_of(claim_of(claims, "https://h.example/roles"))) == ["z"]
    assert list(values_of(claim_of(claims, "a.c"))) == ["w"]
    assert list(values_of(claim_of(claims, "a.d.e"))) == []
