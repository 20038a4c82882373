"""One signs in and out, by password or by a provider, without JavaScript; and nobody else does."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from node.access.attempts import FREE_OF_NAME
from node.access.passwords import Passwords
from node.access.users import Users
from node.config import Configuration
from node.database.connection import Database, open_database
from node.database.tables import SIGN_IN_REFUSED, SIGNED_IN, SIGNED_OUT, AuditRow, Base, SessionRow
from node.demo.orthanc_process import free_port
from tests.node.access.quick import PASSWORD, QUICK, CountingHasher
from tests.node.status.signing_in import PEOPLE, Reader, alert, pages, with_people
from tests.oidc_provider import provider, signed_in_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def users(database: Database) -> Users:
    return with_people(database)


@pytest.fixture
def url(configuration: Configuration, database: Database, users: Users) -> Iterator[str]:
    with pages(configuration, database) as url:
        yield url


@pytest.fixture
def reader(url: str) -> Iterator[Reader]:
    with Reader(url) as reader:
        yield reader


def audited(database: Database, *kinds: str) -> list[tuple[str, str, int]]:
    with Session(database) as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.what.in_(kinds)).order_by(AuditRow.id))
        return [(row.what, row.who, row.times) for row in rows]


# ---- by password
def test_whoever_is_not_signed_in_is_led_to_the_form_and_from_there_to_what_they_wanted(reader: Reader) -> None:
    asked = reader.get("/studies/1.2.3?part=2")
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=/studies/1.2.3%3Fpart%3D2")
    token = reader.token_of(asked.headers["location"], "/sign-in")
    form = {"token": token, "name": " Vera", "password": PASSWORD, "next": "/studies/1.2.3?part=2"}
    answer = reader.post("/sign-in", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies/1.2.3?part=2")
    assert reader.get("/").status_code == 200
    assert "signed in as" in reader.get("/").text


def test_a_program_is_told_in_one_line_and_not_led_anywhere(url: str) -> None:
    answer = httpx.get(f"{url}/")
    assert (answer.status_code, answer.text) == (401, "Sign in first.\n")
    assert answer.headers["www-authenticate"] == 'Bearer realm="Condyle"'
    fragment = httpx.get(f"{url}/", headers={"hx-request": "true", "hx-current-url": f"{url}/studies/1"})
    assert (fragment.status_code, fragment.headers["hx-redirect"]) == (401, "/sign-in?next=/studies/1")


@pytest.mark.parametrize(
    "afterwards",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/sign-out", "\t//evil"],
)
def test_nobody_is_led_elsewhere_after_signing_in(reader: Reader, afterwards: str) -> None:
    assert reader.sign_in("vera", next=afterwards).headers["location"] == "/"


def test_the_cookie_is_for_the_browser_alone_and_is_another_at_each_sign_in(
    configuration: Configuration, database: Database, users: Users
) -> None:
    with pages(configuration, database) as url, Reader(url) as reader:
        reader.cookies.set("condyle-session", "chosen-by-somebody-else")
        first = reader.sign_in("vera").headers["set-cookie"]
        value = re.match(r"condyle-session=([\w-]{43}); HttpOnly; Path=/; SameSite=lax$", first)
        assert value is not None, first
        second = reader.sign_in("otto").headers["set-cookie"]
        assert second.partition(";")[0] != first.partition(";")[0]
        with Session(database) as session:  # the browser has one session, not two
            assert [row.name for row in session.scalars(select(SessionRow))] == ["otto"]
    with pages(configuration, database, url="https://condyle.example.org") as url, Reader(url) as reader:
        page = reader.get("/sign-in")
        cookie = page.headers["set-cookie"]
        assert cookie.startswith("__Host-condyle-form=")
        assert cookie.endswith("; HttpOnly; Path=/; SameSite=lax; Secure")
        token = re.findall(r'name="token" value="(\w+)"', page.text)[0]
        form = {"token": token, "name": "vera", "password": PASSWORD}
        answer = reader.post("/sign-in", data=form, headers={"cookie": cookie.partition(";")[0]})
        assert answer.headers["set-cookie"].startswith("__Host-condyle-session=")
        assert answer.headers["set-cookie"].endswith("; Secure")


def test_wrong_password_unknown_name_and_disabled_user_look_the_same_and_cost_the_same(
    configuration: Configuration, database: Database, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.disable("otto", "root")
    hasher = CountingHasher()
    monkeypatch.setattr("node.access.users.Passwords", lambda: Passwords(hasher))
    with pages(configuration, database) as url:
        for name, password in (("vera", "wrong words of mine"), ("nobody", PASSWORD), ("otto", PASSWORD)):
            with Reader(url) as reader:
                answer = reader.sign_in(name, password)
            assert (answer.status_code, alert(answer)) == (422, "Name or password is wrong.")
            assert 'aria-invalid="true" aria-describedby="problem"' in answer.text
            assert password not in answer.text
            assert "condyle-session" not in answer.headers.get("set-cookie", "")
    assert (hasher.comparisons, len(set(hasher.costs))) == (3, 1)


def test_guessing_makes_the_name_wait_and_is_told_and_counted(
    database: Database, url: str, reader: Reader, users: Users
) -> None:
    for _ in range(FREE_OF_NAME):
        assert reader.sign_in("vera", "a guess that is wrong").status_code == 422
    answer = reader.sign_in("vera")  # the right one too
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 4
    assert re.match(r"Too many attempts failed\. The next one can be made in \d seconds\.", alert(answer))
    with Reader(url) as other:
        assert other.sign_in("otto").status_code == 303  # whom this does not concern
    reader.sign_in("the secret of somebody who mistook the field", "x")
    rows = audited(database, SIGN_IN_REFUSED)
    assert (SIGN_IN_REFUSED, "vera") in [row[:2] for row in rows]
    with database.connect() as connection:
        assert "mistook" not in str(connection.execute(text("SELECT * FROM audit")).all())


def test_a_form_without_the_nodes_mark_or_of_another_browser_signs_nobody_in(url: str, reader: Reader) -> None:
    form = {"name": "vera", "password": PASSWORD}
    assert reader.post("/sign-in", data=form).status_code == 403  # without a cookie, and without a token
    token = reader.token_of("/sign-in")
    assert reader.post("/sign-in", data={**form, "token": "0" * 64}).status_code == 403
    with Reader(url) as other:
        other.get("/sign-in")
        assert other.post("/sign-in", data={**form, "token": token}).status_code == 403
    foreign = {"origin": "https://evil.example"}
    assert reader.post("/sign-in", data={**form, "token": token}, headers=foreign).status_code == 403
    assert reader.post("/sign-in", data={**form, "token": token}).status_code == 303


def test_a_cookie_is_good_for_the_node_that_gave_it_and_until_one_signs_out(
    database: Database, url: str, reader: Reader, tmp_path: Path
) -> None:
    reader.sign_in("vera")
    stolen = {"cookie": f"condyle-session={reader.cookies['condyle-session']}", "accept": "text/html"}
    assert httpx.get(f"{url}/", headers=stolen).status_code == 200
    (tmp_path / "other").mkdir()
    other = open_database(f"sqlite:///{tmp_path / 'other' / 'node.db'}")
    Base.metadata.create_all(other)
    with_people(other)
    elsewhere = Configuration.model_validate({"node": {"data": str(tmp_path / "other")}})
    with pages(elsewhere, other) as other_url:
        assert httpx.get(f"{other_url}/", headers=stolen).status_code == 303
    other.dispose()
    answer = reader.submit("/", "/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?out")
    assert "You are signed out." in reader.get("/sign-in?out").text
    assert httpx.get(f"{url}/", headers=stolen).headers["location"] == "/sign-in"
    assert audited(database, SIGNED_IN, SIGNED_OUT) == [(SIGNED_IN, "vera", 1), (SIGNED_OUT, "vera", 1)]


def test_signing_out_needs_the_form_of_the_same_session(url: str, reader: Reader) -> None:
    reader.sign_in("vera")
    with Reader(url) as other:
        other.sign_in("vera")
        token = other.token_of("/sign-out")
    assert reader.post("/sign-out", data={"token": token}).status_code == 403
    assert reader.post("/sign-out", data={"token": ""}).status_code == 403
    assert reader.get("/").status_code == 200


def test_nothing_that_was_typed_reaches_the_log_or_the_database(
    database: Database, reader: Reader, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    reader.sign_in("vera", "a guess that is wrong")
    reader.sign_in("vera")
    token = reader.cookies["condyle-session"]
    reader.get("/")
    with database.connect() as connection:
        told = str([connection.execute(table.select()).all() for table in Base.metadata.sorted_tables])
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]  # the reader's
    told += str([vars(record) for record in ours])
    for secret in ("a guess that is wrong", PASSWORD, token):
        assert secret not in told


def test_without_users_the_page_says_how_the_first_is_added(configuration: Configuration, database: Database) -> None:
    with pages(configuration, database) as url, Reader(url) as reader:
        assert "condyle user add NAME --role administrator" in reader.get("/sign-in").text
        assert "nothing to sign out of" in reader.get("/sign-out").text


# ---- by a provider
def test_one_signs_in_and_out_by_a_provider(
    configuration: Configuration, database: Database, users: Users, tmp_path: Path
) -> None:
    port, own_port = free_port(), free_port()
    address = f"http://127.0.0.1:{own_port}"
    openid = {
        "issuer": f"http://127.0.0.1:{port}",
        "client_id": "condyle",
        "roles": {"condyle-administrators": "administrator", "condyle-viewers": "viewer"},
        "patients": ["condyle-patients"],
        "button": "Sign in with the hospital's account",
    }
    people = {"chief": ["condyle-administrators", "condyle-patients"], "vera": ["condyle-viewers"], "cook": ["kitchen"]}
    with pages(configuration, database, url=address, openid=openid) as url, Reader(url) as reader:
        assert "Sign in with the hospital&#39;s account" in reader.get("/sign-in").text
        away = reader.get("/sign-in/openid")
        assert (away.status_code, "does not answer as it should" in alert(away)) == (503, True)
    with (
        provider(tmp_path / "provider", port, address, people=people),
        pages(configuration, database, url=address, openid=openid) as url,
        Reader(url) as reader,
    ):

        def come_back(name: str) -> httpx.Response:
            to_provider = reader.get("/sign-in/openid?next=/account")
            assert "SameSite=lax" in to_provider.headers["set-cookie"]
            with httpx.Client(timeout=30) as at_provider:
                back = urlsplit(signed_in_at(at_provider, to_provider.headers["location"], name))
            return reader.get(f"{back.path}?{back.query}")

        for name, told in (("cook", "none of your roles"), ("vera", "is the name of a user of the node itself too")):
            refused = come_back(name)
            assert (refused.status_code, told in alert(refused)) == (403, True)
        answer = come_back("chief")
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        account = reader.get("/account").text
        assert "chief</b>, administrator, and see patients' names" in account
        assert "Change your password" not in account
        assert reader.get("/sign-in/openid/back?code=x&state=y").status_code == 403  # the cookie is used up
        signed_out = reader.submit("/account", "/sign-out")
        assert f'content="0; url=http://127.0.0.1:{port}/session/end?client_id=condyle' in signed_out.text
        assert reader.get("/account").status_code == 303
    kinds = [row[0] for row in audited(database, SIGNED_IN, SIGNED_OUT, SIGN_IN_REFUSED)]
    assert kinds == [SIGN_IN_REFUSED, SIGNED_IN, SIGNED_OUT]


# ---- in a browser
@pytest.mark.browser
def test_one_signs_in_by_the_keyboard_and_without_a_script(url: str, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(f"{url}/account")
    page.keyboard.type("otto")  # the field has the focus
    page.keyboard.press("Tab")
    page.keyboard.type("wrong words of mine")
    page.keyboard.press("Enter")
    assert page.get_by_role("alert").inner_text() == "Name or password is wrong."
    assert page.get_by_label("Name").input_value() == "otto"
    page.keyboard.type(PASSWORD)  # now this one has it
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{url}/account")
    page.get_by_role("button", name="sign out").press("Enter")
    assert page.locator("main").get_by_role("status").inner_text() == "You are signed out."
    context.close()


def test_each_role_is_refused_what_it_may_not_with_a_sentence(url: str) -> None:
    for name, role in PEOPLE.items():
        with Reader(url) as reader:
            reader.sign_in(name)
            for path in ("/users", "/tokens", "/users/vera"):
                answer = reader.get(path)
                if name == "anna":
                    assert answer.status_code == 200
                else:
                    assert answer.status_code == 403
                    assert f"This needs the role administrator; yours is {role}." in answer.text
            menu = reader.get("/").text
            assert ('href="/users"' in menu) == (name == "anna")


def test_hashes_are_renewed_at_sign_in(database: Database, users: Users, reader: Reader) -> None:
    before = users.named("vera")
    assert before is not None
    assert before.password.startswith(f"$argon2id$v=19$m={QUICK.memory_cost},")
    assert reader.sign_in("vera").status_code == 303
    after = users.named("vera")
    assert after is not None
    assert after.password.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert reader.get("/account").status_code == 200
