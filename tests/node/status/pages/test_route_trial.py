"""A change of routes is tried on the page: by form and as YAML, with a script and without."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml
from pydantic import SecretStr
from sqlalchemy import update
from sqlalchemy.orm import Session

from node.actions.reloading import NoAnswer, Reload, now
from node.config import Configuration, StatusSettings, read
from node.config.route_settings import with_settings
from node.database.tables import DecisionRow, SeriesRow, StudyRow
from node.errors import NodeError
from node.status.app import Replaceable, WebApp, build_app
from tests.axe import assert_accessible
from tests.browser import open_browser
from tests.node.route.test_dispatch import Desk
from tests.node.route.test_trial import ROUTES, fill
from tests.serving import client_of, served
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TRY = "/routes/try"
IN_FORCE = Reload("", now(), in_force=("routes.knee.when",))


class Node:
    """Studies of a moment ago, decided about by the routes of a file, and a page on them."""

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder, **ROUTES)
        fill_now(self.desk)
        self.file = folder / "config.yaml"
        values = self.desk.configuration.model_dump(mode="json", exclude_unset=True)
        self.file.write_text("# our node\n" + yaml.safe_dump(values, sort_keys=False))
        self.configuration: Configuration = with_settings(read(self.file), folder)
        self.applied: list[tuple[str, str, str]] = []
        self.refuses: NodeError | None = None
        self.becomes = IN_FORCE

    def apply(self, text: str, by: str, seen: str) -> Reload:
        if self.refuses is not None:
            raise self.refuses
        self.applied.append((text, by, seen))
        return self.becomes


def fill_now(desk: Desk) -> None:
    """The studies of the trial's tests, as if they had come today: the page counts days from now."""
    fill(desk)
    came = datetime.now(UTC)
    with Session(desk.database) as session, session.begin():
        session.execute(update(StudyRow).values(last_received=came, completed=came))
        session.execute(update(SeriesRow).values(last_received=came, completed=came))
        session.execute(update(DecisionRow).values(decided=came))


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(tmp_path_factory.mktemp("node"))
    yield made
    made.desk.database.dispose()


@pytest.fixture
def node(_made: Node) -> Iterator[Node]:
    text = _made.file.read_text()
    yield _made
    _made.file.write_text(text)
    _made.applied.clear()
    _made.refuses, _made.becomes = None, IN_FORCE


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    app = build_app(node.configuration, node.desk.database, config_file=node.file, apply_routes=node.apply)
    with client_of(app, accept="text/html") as client:
        yield client


def fields_of(page: str) -> dict[str, str]:
    """What a browser would send of the form of a page."""
    form = page[page.index('<form id="trial"') :]
    found = {
        name: html.unescape(value)
        for name, value in re.findall(r'<input(?![^>]*type="checkbox")[^>]* name="([^"]+)" value="([^"]*)"', form)
    }
    found |= {name: html.unescape(text) for name, text in re.findall(r'<textarea[^>]*name="(\w+)"[^>]*>([^<]*)<', form)}
    found |= dict(re.findall(r'type="checkbox"[^>]*name="([^"]+)" (checked)', form))
    for name, options in re.findall(r'<select[^>]*name="(\w+)">(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option(?: value="([^"]*)")? selected(?: value="([^"]*)")?>([^<]*)', options)
        if chosen:
            found[name] = chosen[1] or chosen[2] or chosen[3]
    return found


def text_of(answer: httpx.Response) -> str:
    """What is read on a page."""
    main = answer.text[max(0, answer.text.find("<main")) :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def test_nothing_is_judged_before_something_changes(client: httpx.Client) -> None:
    fields = fields_of(client.get(TRY).text)
    assert fields["draft"].startswith("routes:")
    assert "These are the routes in force" in text_of(client.post(TRY, data=fields))


def test_the_form_changes_one_route_and_says_what_would_have_come_of_it(client: httpx.Client) -> None:
    fields = fields_of(client.get(f"{TRY}?route=knee").text)
    assert (fields["when.key.2"], fields["when.value.2"]) == ("SliceThickness", "{max: 3.5}")
    answer = client.post(TRY, data={**fields, "when.value.2": "{max: 2}"})
    said = text_of(answer)
    assert answer.status_code == 200
    assert "route knee: when.SliceThickness: {max: 3.5} becomes {max: 2}" in said
    assert "would not run" in said
    assert "SliceThickness: 3 instead of at most 2" in said
    assert 'href="/studies/1.4"' in answer.text


def test_mistakes_have_their_line_and_keep_what_was_typed(client: httpx.Client) -> None:
    fields = fields_of(client.get(f"{TRY}?as=yaml").text)
    wrong = fields["draft"].replace("SliceThickness", "SliceThicknes")
    answer = client.post(TRY, data={**fields, "draft": wrong})
    assert answer.status_code == 422
    assert fields_of(answer.text)["draft"] == wrong
    line = wrong[: wrong.index("SliceThicknes")].count("\n") + 1
    assert f"Line {line}" in text_of(answer)
    assert "did you mean 'SliceThickness'?" in text_of(answer)


def test_a_field_that_means_nothing_is_named(client: httpx.Client) -> None:
    fields = fields_of(client.get(f"{TRY}?route=knee").text)
    answer = client.post(f"{TRY}/judged", data={**fields, "when.value.2": "{max: "})
    assert "when.SliceThickness: {max:: is not complete" in text_of(answer)


def test_routes_are_added_renamed_and_removed_without_a_script(client: httpx.Client) -> None:
    page = client.post(TRY, data={**fields_of(client.get(TRY).text), "do": "new"})
    fields = {**fields_of(page.text), "name": "ultrasound", "pipeline": "joint_classification", "to.out": "on"}
    assert fields["route"] == "new_route"
    page = client.post(TRY, data={**fields, "when.value.0": "US", "do": "try"})
    assert "route ultrasound: is new, for joint_classification" in text_of(page)
    page = client.post(TRY, data={**fields_of(page.text), "do": "edit:knee"})
    assert fields_of(page.text)["route"] == "knee"
    page = client.post(TRY, data={**fields_of(page.text), "do": "remove"})
    draft = fields_of(page.text)["draft"]
    assert list(yaml.safe_load(draft)["routes"]) == ["sender", "named", "whole", "ultrasound"]
    assert "the route is removed" in text_of(page)


def test_what_no_decision_noted_is_read_while_the_page_waits(client: httpx.Client) -> None:
    fields = fields_of(client.get(f"{TRY}?route=knee").text)
    asked = {**fields, "when.key.2": "SeriesDescription", "when.value.2": "echo 18"}
    assert "Reading headers" in text_of(client.post(f"{TRY}/judged", data=asked))

    def judged() -> str:
        said = text_of(client.post(f"{TRY}/judged", data=asked))
        return "" if "Reading headers" in said else said

    assert "SeriesDescription" in until(judged, "it is judged")


def test_words_are_completed(client: httpx.Client) -> None:
    sent = {"field": "draft", "draft": "routes:\n  a:\n    when:\n      SliceTh", "at": "38"}
    assert 'data-word="SliceThickness: "' in client.post(f"{TRY}/completions", data=sent).text
    options = client.post(f"{TRY}/completions", data={"field": "when.key.0", "when.key.0": "SliceTh"}).text
    assert '<option value="SliceThickness">' in options


def test_the_routes_are_downloaded_as_they_are_written(client: httpx.Client) -> None:
    fields = fields_of(client.get(f"{TRY}?route=knee").text)
    answer = client.post(f"{TRY}/routes.yaml", data={**fields, "when.value.2": "{max: 2}"})
    assert "attachment" in answer.headers["content-disposition"]
    assert yaml.safe_load(answer.text)["routes"]["knee"]["when"]["SliceThickness"] == {"max": 2}


def confirmation(client: httpx.Client, **more: str) -> dict[str, str]:
    fields = fields_of(client.get(f"{TRY}?route=knee").text)
    page = client.post(f"{TRY}/apply", data={**fields, "when.value.2": "{max: 2}", **more})
    assert "route knee: when.SliceThickness: {max: 3.5} becomes {max: 2}" in text_of(page)
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    (draft,) = re.findall(r'<textarea[^>]*name="draft"[^>]*>([^<]*)<', page.text)
    return {**hidden, "draft": html.unescape(draft), "sure": "yes"}


def test_routes_are_put_in_force_after_a_confirmation_that_says_what_changes(node: Node, client: httpx.Client) -> None:
    answer = client.post(f"{TRY}/apply", data=confirmation(client), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/routes")
    ((text, by, seen),) = node.applied
    assert yaml.safe_load(text)["routes"]["knee"]["when"]["SliceThickness"] == {"max": 2}
    assert by == "this machine"
    assert len(seen) == 64


def test_nothing_is_put_in_force_by_a_form_that_the_node_did_not_give_out(node: Node, client: httpx.Client) -> None:
    answer = client.post(f"{TRY}/apply", data={**confirmation(client), "token": "0" * 64})
    assert answer.status_code == 403
    assert not node.applied


def test_why_routes_were_not_put_in_force_is_said(node: Node, client: httpx.Client) -> None:
    node.refuses = NodeError("config.yaml has been changed since it was looked at")
    answer = client.post(f"{TRY}/apply", data=confirmation(client))
    assert answer.status_code == 409
    assert "They were not put in force: config.yaml has been changed" in text_of(answer)


def test_other_changes_of_the_file_are_named_before_they_are_put_in_force_with_the_routes(
    node: Node, client: httpx.Client
) -> None:
    assert "other changes" not in confirmed(client)
    node.file.write_text(f"{node.file.read_text()}peers: {{ct: {{ae_title: CT}}}}\nstatus: {{port: 8099}}\n")
    page = confirmed(client)
    assert "peers.ct: will be in force" in page
    assert "status.port: needs a restart: the port is open" in page


def confirmed(client: httpx.Client) -> str:
    fields = fields_of(client.get(f"{TRY}?route=knee").text)
    return text_of(client.post(f"{TRY}/apply", data={**fields, "when.value.2": "{max: 2}"}))


def test_a_reload_that_was_refused_is_shown_and_that_the_file_is_written(node: Node, client: httpx.Client) -> None:
    node.becomes = Reload("", now(), wrong=("a part of the node cannot go by it",))
    answer = client.post(f"{TRY}/apply", data=confirmation(client), follow_redirects=False)
    assert answer.status_code == 422
    for text in ("stays as it was", "config.yaml has the new routes", "a part of the node cannot go by it"):
        assert text in text_of(answer)


def test_what_waits_for_a_restart_is_shown(node: Node, client: httpx.Client) -> None:
    node.becomes = Reload("", now(), "ab12", ("routes.knee.when",), ("status.port: needs a restart: why",))
    answer = client.post(f"{TRY}/apply", data=confirmation(client), follow_redirects=False)
    assert answer.status_code == 200
    assert "status.port: needs a restart: why" in text_of(answer)


def test_where_the_node_does_not_answer_the_file_is_said_to_be_written(node: Node, client: httpx.Client) -> None:
    node.refuses = NoAnswer("the node did not answer within 60 s")
    answer = client.post(f"{TRY}/apply", data=confirmation(client))
    assert answer.status_code == 503
    assert "config.yaml has the new routes, but whether the node goes by them is not known" in text_of(answer)
    assert "condyle reload" in text_of(answer)


def test_without_a_file_there_is_nothing_to_try_and_without_the_function_nothing_to_put_in_force(node: Node) -> None:
    with client_of(build_app(node.configuration, node.desk.database), accept="text/html") as client:
        assert client.get(TRY).status_code == 404
        assert "Try a change" not in client.get("/routes").text
    app = build_app(node.configuration, node.desk.database, config_file=node.file)
    with client_of(app, accept="text/html") as client:
        page = client.get(TRY)
        assert "Put in force" not in page.text
        assert client.post(f"{TRY}/apply", data=fields_of(page.text)).status_code == 404


def test_who_may_not_see_the_page_may_not_try(node: Node) -> None:
    status = StatusSettings(token=SecretStr("a" * 16))
    configuration = node.configuration.model_copy(update={"status": status})
    with client_of(build_app(configuration, node.desk.database, config_file=node.file)) as client:
        for path in (TRY, f"{TRY}/judged", f"{TRY}/completions", f"{TRY}/routes.yaml", f"{TRY}/apply"):
            assert client.post(path, data={"draft": "routes: {}"}).status_code == 401


def test_a_file_that_cannot_be_read_any_more_is_told(node: Node, client: httpx.Client) -> None:
    node.file.write_text("routes: [\n")
    assert client.get(TRY).status_code == 409
    assert client.post(TRY, data={"draft": "routes: {}"}).status_code == 409


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.mark.browser
def test_the_page_judges_as_one_types_and_completes_words_by_the_keyboard(browser: Browser, node: Node) -> None:
    app = build_app(node.configuration, node.desk.database, config_file=node.file)
    with served(app) as url:
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"{url}{TRY}?as=yaml")
        field = page.get_by_label("Routes, as in config.yaml")
        field.focus()
        page.keyboard.press("Control+End")
        page.keyboard.type("    prio")
        page.get_by_role("option", name="priority").wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.keyboard.type("7")
        assert field.input_value().endswith("    priority: 7")
        page.get_by_text("route whole: priority: 100 becomes 7").wait_for()
        field.fill(field.input_value().replace("SliceThickness", "SliceThicknes"))
        page.get_by_role("link", name="Line 7").click()
        assert field.evaluate("at => at.value.slice(at.selectionStart, at.selectionEnd)") == "      SliceThicknes:"
        assert not errors
        page.close()


def _longer(read: list[bool], before: int) -> bool:
    return len(read) > before


def test_an_application_that_is_replaced_or_ended_reads_no_more_headers(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, read = Event(), list[bool]()

    def read_on(*_: object, stop: Event, **__: object) -> None:
        begun.set()
        read.append(stop.wait(20))

    monkeypatch.setattr("node.route.trial_reading.read_headers", read_on)

    def application() -> WebApp:
        return build_app(node.configuration, node.desk.database, config_file=node.file)

    app = Replaceable(application())
    endings: list[Callable[[], None]] = [lambda: app.put(application()), app.stop]
    for end in endings:
        begun.clear()
        with client_of(app, accept="text/html") as client:
            fields = fields_of(client.get(f"{TRY}?route=knee").text)
            client.post(TRY, data={**fields, "when.key.2": "EchoTime", "when.value.2": "{min: 20}"})
        assert begun.wait(5), "a trial of what no decision noted reads"
        before = len(read)
        end()
        until(partial(_longer, read, before), "the reading ends", seconds=5)
    assert read == [True, True]


@pytest.mark.browser
def test_axe_finds_nothing_on_the_pages_of_routes(browser: Browser, node: Node) -> None:
    app = build_app(
        node.configuration,
        node.desk.database,
        config_file=node.file,
        apply_routes=node.apply,
        paused_routes=lambda: {"knee": "route knee is paused by Anna"},
    )
    with served(app) as url:
        assert_accessible(browser, f"{url}/routes")
        assert_accessible(
            browser, f"{url}{TRY}?route=knee", lambda page: page.get_by_text("These are the routes in force").wait_for()
        )
        assert_accessible(
            browser, f"{url}{TRY}?as=yaml", lambda page: page.get_by_text("These are the routes in force").wait_for()
        )
