"""The form by which a reader judges a result: without a script, by keyboard, and for nobody else's page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from dicom_sr.assessment import Answer
from dicom_sr.profile import EncodedObject
from node.config import StatusSettings, VerdictSettings
from node.status.app import build_app
from tests.browser import open_browser
from tests.node.verdicts.assessed_node import made_result
from tests.node.verdicts.judged_node import JudgedNode
from tests.serving import client_of, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATH = "/jobs/1/verdict"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[EncodedObject, ...]]:
    return made_result(tmp_path_factory.mktemp("result"))


@pytest.fixture
def node(tmp_path: Path, result: tuple[Path, tuple[EncodedObject, ...]]) -> Iterator[JudgedNode]:
    made = JudgedNode(tmp_path, *result)
    yield made
    made.here.close()


@pytest.fixture
def client(node: JudgedNode) -> Iterator[httpx.Client]:
    with client_of(build_app(node.configuration, node.database), accept="text/html") as client:
        yield client


def filled_in(client: httpx.Client, **typed: str) -> dict[str, str]:
    """The hidden fields of the form, and what is typed."""
    hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', client.get(PATH).text)
    return {**dict(hidden), "name": "Jane Roe", **{name.replace("_", "-"): value for name, value in typed.items()}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.mark.browser
def test_a_reader_corrects_a_score_in_a_browser_without_a_script_and_by_the_keyboard_alone(
    node: JudgedNode, browser: Browser
) -> None:
    with served(build_app(node.configuration, node.database)) as url:
        page = browser.new_context(java_script_enabled=False, viewport={"width": 400, "height": 800}).new_page()
        page.goto(f"{url}/jobs/1")
        page.get_by_role("link", name="Accept, correct or reject this result").press("Enter")
        page.get_by_label("Your name").press_sequentially("Jane Roe")
        score = page.get_by_label("Erosion score").first
        score.focus()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("9")
        page.keyboard.press("Enter")
        assert "no number from 0 to 5" in page.get_by_role("alert").inner_text()
        assert (page.get_by_label("Your name").input_value(), score.input_value()) == ("Jane Roe", "9")
        score.fill("4")
        page.get_by_role("button", name="Give the verdict").press("Enter")
        assert page.url.startswith(f"{url}/studies/")
        assert "1 verdict of readers" in page.content()
    (row,) = node.verdicts()
    assert (row.answer, row.changes[0]["after"]) == (Answer.MODIFY, 4.0)


def test_a_verdict_is_taken_and_the_answer_leads_back(node: JudgedNode, client: httpx.Client) -> None:
    answer = client.post(PATH, data=filled_in(client, whole="accept"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/1")
    assert [row.answer for row in node.verdicts()] == [Answer.ACCEPT]


def test_what_is_typed_stands_again_where_something_is_wrong_and_stays_text(
    node: JudgedNode, client: httpx.Client
) -> None:
    typed = filled_in(client, name='<b>"Roe"', whole="accept", answer_0="reject", comment="<script>")
    answer = client.post(PATH, data=typed)
    assert answer.status_code == 422
    assert "accepted as it is, and a finding of it is not" in answer.text
    assert 'value="&lt;b&gt;&#34;Roe&#34;"' in answer.text
    assert "&lt;script&gt;" in answer.text
    assert node.verdicts() == []


@pytest.mark.parametrize(
    ("headers", "change", "status"),
    [
        ({"origin": "https://evil.example"}, {}, 403),
        ({"origin": "null"}, {}, 403),
        ({"sec-fetch-site": "cross-site"}, {}, 403),
        ({}, {"token": "0" * 64}, 403),
        ({}, {"report": "1.2.3"}, 403),
        ({"content-type": "text/plain"}, {}, 415),
    ],
)
def test_nothing_is_taken_from_pages_of_others_nor_from_a_form_that_the_node_did_not_give_out(
    node: JudgedNode, client: httpx.Client, headers: dict[str, str], change: dict[str, str], status: int
) -> None:
    form = filled_in(client, whole="accept") | change
    assert client.post(PATH, data=form, headers=headers).status_code == status
    assert node.verdicts() == []


def test_a_body_that_is_no_form_of_the_page_costs_a_sentence(client: httpx.Client) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post(PATH, content="a=1&" * 6000, headers=form).status_code == 400
    assert client.post(PATH, content="é".encode(), headers=form).status_code == 400
    assert client.post(PATH, content="a" * 600_000, headers=form).status_code == 413
    assert client.post("/jobs/2/verdict", data=filled_in(client)).status_code == 403
    assert client.get("/jobs/2/verdict").status_code == 404


def test_a_job_without_a_result_says_so(node: JudgedNode, client: httpx.Client) -> None:
    node.change(state="failed")
    answer = client.get(PATH)
    assert (answer.status_code, "the job is failed" in answer.text) == (409, True)
    assert "Accept, correct or reject" not in client.get("/jobs/1", follow_redirects=True).text


def test_the_form_is_for_those_who_may_see_the_page(node: JudgedNode) -> None:
    closed = node.configuration.model_copy(update={"status": StatusSettings(token=SecretStr("a-token-of-the-page"))})
    with client_of(build_app(closed, node.database)) as client:
        assert (client.get(PATH).status_code, client.post(PATH, data={}).status_code) == (401, 401)
        assert client.get(PATH, auth=("reader", "a-token-of-the-page")).status_code == 200


def test_by_default_the_page_takes_no_verdicts(node: JudgedNode) -> None:
    off = node.configuration.model_copy(update={"verdicts": VerdictSettings()})
    with client_of(build_app(off, node.database), accept="text/html") as client:
        assert (client.get(PATH).status_code, client.post(PATH, data={}).status_code) == (404, 404)
        page = client.get("/jobs/1", follow_redirects=True).text
        assert "Accept, correct or reject" not in page
