"""Who is asking: a session, a token, a certificate, this machine, or nobody; never more than was shown."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import Request

from node.access.callers import Callers, is_by_itself
from node.access.identity import SHARED_TOKEN, THIS_MACHINE, Identity, Role, Scope
from node.access.passwords import Passwords
from node.access.refused import RefusedSignIns
from node.access.users import Users, identity_of
from node.config import Configuration
from node.database.connection import Database
from node.database.tables import AuditRow
from node.network.sign_in import Refusal
from tests.node.access.quick import PASSWORD, QUICK

TOKEN = "0123456789abcdef-of-the-page"
BASIC = "Basic " + base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
OPENID = {"issuer": "https://login.example.org", "client_id": "condyle", "roles": {"all": "viewer"}}


def callers(database: Database, **status: Any) -> Callers:
    configuration = Configuration.model_validate({"node": {"data": "/nowhere"}, "status": status})
    return Callers(configuration, database)


def request(sender: str = "127.0.0.1", method: str = "GET", certificate: str = "", **headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/", "client": (sender, 1), "headers": named}
    return Request({**scope, "state": {"certificate": certificate} if certificate else {}})


def with_user(database: Database, name: str = "anna", role: Role = Role.ADMINISTRATOR) -> Users:
    users = Users(database, Passwords(QUICK))
    users.add(name, PASSWORD, role, "root")
    return users


def status_of(asked: Identity | Refusal) -> int | None:
    return asked.status if isinstance(asked, Refusal) else None


def test_as_long_as_there_is_no_user_this_machine_is_administrator_and_others_are_told_how(sqlite: Database) -> None:
    found = callers(sqlite)
    assert found.identified(request()) == THIS_MACHINE
    refused = found.identified(request("10.1.2.3"))
    assert isinstance(refused, Refusal)
    assert refused.status == 403
    assert "condyle user add NAME --role administrator" in refused.sentence
    assert status_of(found.identified(request(x_forwarded_for="127.0.0.1"))) == 403


def test_once_there_are_users_everybody_signs_in_unless_the_machine_is_left_open(sqlite: Database) -> None:
    found, left_open = callers(sqlite), callers(sqlite, open_loopback=True)
    users = with_user(sqlite)
    for address in ("127.0.0.1", "10.1.2.3"):
        assert status_of(found.identified(request(address))) == 401
    assert left_open.identified(request()) == THIS_MACHINE
    assert status_of(left_open.identified(request("10.1.2.3"))) == 401
    users.disable("anna", "root")  # which opens no door
    assert status_of(found.identified(request())) == 401


def test_with_openid_everybody_signs_in_without_any_user(sqlite: Database) -> None:
    found = callers(sqlite, url="https://condyle.example.org", openid=OPENID)
    assert status_of(found.identified(request())) == 401
    assert (found.is_secure, found.cookie()) == (True, "__Host-condyle-session")


def test_the_shared_token_makes_a_viewer_who_sees_no_patients_and_nobody_more(sqlite: Database) -> None:
    found = callers(sqlite, token=TOKEN)
    for shown in (f"Bearer {TOKEN}", BASIC):
        assert found.identified(request("10.1.2.3", authorization=shown)) == SHARED_TOKEN
    assert (SHARED_TOKEN.role, SHARED_TOKEN.sees_patients) == (Role.VIEWER, False)
    for shown in ("Bearer other", "Basic b3RoZXI6b3RoZXI=", ""):
        assert status_of(found.identified(request(authorization=shown))) == 401
    with_user(sqlite)
    assert found.identified(request("10.1.2.3", authorization=BASIC)) == SHARED_TOKEN


def test_a_token_of_a_program_is_good_for_its_scopes_also_on_a_machine_that_needs_none(sqlite: Database) -> None:
    found = callers(sqlite)
    token = found.api_tokens.new("nightly", [Scope.READ], None, "root")
    shown = found.identified(request("10.1.2.3", authorization=f"Bearer {token}"))
    assert shown == Identity("token nightly", Role.VIEWER, way="token")
    assert found.identified(request(authorization=f"Bearer {token}")) == shown  # no more than it is good for
    assert status_of(found.identified(request(authorization="Bearer condyle_other"))) == 401
    found.api_tokens.revoke("nightly", "root")
    assert status_of(found.identified(request(authorization=f"Bearer {token}"))) == 401


def test_a_session_comes_first_and_one_that_has_ended_is_nobody(sqlite: Database) -> None:
    found = callers(sqlite, token=TOKEN)
    user = with_user(sqlite).named("anna")
    assert user is not None
    cookie = found.sessions.begin(identity_of(user), "", "", password=user.password)
    asked = request("10.1.2.3", cookie=f"condyle-session={cookie}", authorization=f"Bearer {TOKEN}")
    anna = found.identified(asked)
    assert isinstance(anna, Identity)
    assert (anna.name, anna.role) == ("anna", Role.ADMINISTRATOR)
    found.sessions.end(anna)
    assert found.identified(asked) == SHARED_TOKEN
    assert status_of(found.identified(request(cookie=f"condyle-session={cookie}"))) == 401


def test_a_certificate_makes_a_viewer_unless_the_configuration_says_more(sqlite: Database, tmp_path: Path) -> None:
    tls = {"certificate": "c.pem", "key": "k.pem", "trusted": "ca.pem"}
    asked = request("10.1.2.3", certificate="reading room 2")
    found = callers(sqlite, tls=tls).identified(asked)
    assert found == Identity("certificate reading room 2", Role.VIEWER, way="certificate")
    more = callers(sqlite, tls=tls, certificate_role="operator").identified(asked)
    assert isinstance(more, Identity)
    assert more.role == Role.OPERATOR
    with_user(sqlite)
    assert callers(sqlite, tls=tls).identified(asked) == found
    without = {"certificate": "c.pem", "key": "k.pem"}
    assert status_of(callers(sqlite, tls=without).identified(asked)) == 401


def test_the_address_is_the_callers_as_far_as_a_proxy_is_trusted(sqlite: Database) -> None:
    found = callers(sqlite, trusted_proxies=["10.0.0.1"])
    assert found.address(request("10.0.0.1", x_forwarded_for="192.0.2.7")) == "192.0.2.7"
    assert found.address(request("10.9.9.9", x_forwarded_for="127.0.0.1")) == "10.9.9.9"


@pytest.mark.parametrize(
    ("asked", "by_itself"),
    [
        (request(), False),
        (request(sec_fetch_dest="document"), False),
        (request(accept="text/html,*/*"), False),
        (request(hx_request="true", hx_boosted="true"), False),
        (request(sec_fetch_dest="empty"), True),
        (request(sec_fetch_dest="image"), True),
        (request(accept="image/avif,*/*"), True),
        (request(hx_request="true"), True),
        (request(x_requested_with="page.js"), True),
        (request(method="POST", hx_request="true"), False),
    ],
)
def test_a_page_that_refreshes_itself_is_told_from_somebody_who_reads_it(asked: Request, by_itself: bool) -> None:
    assert is_by_itself(asked) is by_itself


def test_what_is_counted_outlasts_a_reload(database: Database) -> None:
    configuration = Configuration.model_validate({"node": {"data": "/nowhere"}})
    counter = RefusedSignIns(database)
    before = Callers(configuration, database, refused=counter)
    for _ in range(3):
        before.refused.add("no such token", "10.1.1.1")  # the first is written at once
    Callers(configuration, database, refused=counter).refused.close()
    with Session(database) as session:
        assert session.scalars(select(AuditRow.times)).all() == [3]
