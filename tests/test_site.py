"""The whole site of one node at work, with a user's eyes: every page, every link, for every role."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.axe import assert_accessible
from tests.node.run.trial import install_trial
from tests.node.status.signing_in import Reader
from tests.running import RunningNode
from tests.site_at_work import NOT_DICOM, SEES_PATIENTS, site_at_work

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.browser
LINK = re.compile(r'(?:href|src|action)="([^"]+)"')
BY_PATH = {  # pages that are there whatever was sent
    "/",
    "/studies",
    "/routes",
    "/routes/try",
    "/models",
    "/failures",
    "/alerts",
    "/import",
    "/reload",
    "/audit",
    "/users",
    "/users/vera",
    "/tokens",
    "/account",
    "/sign-in",
    "/sign-out",
    "/routes/head/resume",
    "/destinations/archive/pause",
    "/destinations/archive/resend",
    "/alerts/channels/siem/test",
    "/alerts/rules/failures/silence",
    "/nothing",
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder = tmp_path_factory.mktemp("site")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = install_trial(folder / "packages")
    try:
        with site_at_work(folder) as node:
            yield node
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@contextmanager
def signed_in(node: RunningNode, name: str) -> Iterator[Reader]:
    with Reader(f"http://127.0.0.1:{node.page}") as reader:
        assert reader.sign_in(name).status_code == 303
        yield reader


@pytest.fixture(scope="module")
def anna(node: RunningNode) -> Iterator[Reader]:
    with signed_in(node, SEES_PATIENTS) as reader:
        yield reader


@pytest.fixture(scope="module")
def context(browser: Browser, anna: Reader) -> Iterator[BrowserContext]:
    """A browser that is signed in as the administrator, and takes a script that is not the node's."""
    context = browser.new_context(bypass_csp=True)
    url = str(anna.base_url)
    context.add_cookies([{"name": one.name, "value": one.value or "", "url": url} for one in anna.cookies.jar])
    yield context
    context.close()


def paths_of_jobs(node: RunningNode) -> list[str]:
    """Pages of studies, and the actions that are offered there."""
    of_state = {job.state: job for job in node.jobs()}
    failed, sending = of_state["failed"], of_state["sending"]
    study = f"/studies/{sending.study_instance_uid}"
    actions = [f"/jobs/{failed.id}/restart", f"/jobs/{sending.id}/cancel", f"{study}/run", f"{study}/reroute"]
    return [study, f"/studies/{failed.study_instance_uid}", *actions]


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")


def test_axe_finds_nothing_on_any_page(node: RunningNode, anna: Reader, context: BrowserContext) -> None:
    for path in sorted({*BY_PATH, *paths_of_jobs(node)}):
        assert_accessible(context, str(anna.base_url.join(path)), unfold)


def test_every_link_leads_somewhere(anna: Reader) -> None:
    seen, open_paths, broken = set[str](), ["/"], list[str]()
    while open_paths:
        path = open_paths.pop()
        key = re.sub(r"[0-9a-f.]{9,}|[?#].*", "…", path)  # of many studies and jobs some
        if path in seen or sum(re.sub(r"[0-9a-f.]{9,}|[?#].*", "…", one) == key for one in seen) >= 8:
            continue
        seen.add(path)
        answer = anna.get(path)
        if answer.status_code >= 400:
            broken.append(f"{path}: {answer.status_code}")
        if answer.headers.get("content-type", "").startswith("text/html"):
            found = (link.replace("&amp;", "&").partition("#")[0] for link in LINK.findall(answer.text))
            open_paths += [
                link for link in found if link.startswith("/") and not is_posted_only(link, answer) and link not in seen
            ]
    assert not broken
    assert BY_PATH - {"/nothing", "/users/vera", "/sign-in", "/sign-out", "/routes/head/resume"} <= {
        one.partition("?")[0] for one in seen
    }
    assert len(seen) > 40


def is_posted_only(link: str, answer: httpx.Response) -> bool:
    """Whether a page only sends a form there."""
    quoted = re.escape(link.replace("&", "&amp;"))
    return not re.search(rf'(?:href|src)="{quoted}[#"]', answer.text)


def test_operators_get_buttons_and_viewers_none(node: RunningNode) -> None:
    acting = re.compile(
        r'href="(/[^"]*/(?:restart|cancel|send|withdraw|run|reroute|pause|resume|resend|try|test|silence)\b)'
    )
    of_state = {job.state: job for job in node.jobs()}
    study, broken = (f"/studies/{of_state[state].study_instance_uid}" for state in ("sending", "failed"))
    with signed_in(node, "otto") as otto, signed_in(node, "vera") as vera:
        assert acting.findall(otto.get("/").text) == [
            f"/destinations/{name}/{what}" for name in ("archive", "workstation") for what in ("pause", "resend")
        ]
        assert set(acting.findall(otto.get(study).text)) == {
            f"{study}/run",
            f"{study}/reroute",
            f"/jobs/{of_state['sending'].id}/cancel",
        }
        assert f"/jobs/{of_state['failed'].id}/restart" in acting.findall(otto.get(broken).text)
        assert {"/routes/head/resume", "/routes/hand/pause"} <= set(acting.findall(otto.get("/routes").text))
        assert "/alerts/channels/siem/test" in otto.get("/alerts").text
        for path in ("/", study, broken, "/routes", "/failures", "/alerts"):
            assert acting.findall(vera.get(path).text) == []
        assert vera.get("/import").status_code == otto.get("/audit").status_code == 403
        assert vera.get("/destinations/archive/pause").status_code == 403


def test_names_of_files_are_for_those_who_see_patients(node: RunningNode, anna: Reader) -> None:
    assert NOT_DICOM in anna.get("/failures").text
    with signed_in(node, "otto") as otto:
        told = otto.get("/failures").text
    assert NOT_DICOM not in told
    assert "files not taken" in told


def test_pages_that_are_rarely_asked_for_stand_behind_one_entry(context: BrowserContext, anna: Reader) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(str(anna.base_url))
    assert page.locator(".bar").bounding_box()["height"] < 60  # type: ignore[index]  # one line
    audit = page.get_by_role("link", name="Audit")
    assert not audit.is_visible()
    page.get_by_role("button", name="More").press("Enter")
    audit.click()
    page.wait_for_url("**/audit")
    page.set_viewport_size({"width": 360, "height": 800})
    page.get_by_role("button", name="Menu").click()
    assert page.get_by_role("link", name="Users").is_visible()
    page.close()
