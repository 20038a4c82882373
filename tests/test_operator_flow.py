"""An operator's day with a real node, in a browser: sign-in, a study, a failure, a change of routes, and the audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.command_line import Condyle
from tests.node.access.quick import PASSWORD
from tests.node.run.trial import install_trial
from tests.running import RunningNode
from tests.site_at_work import PEOPLE, add_user, study
from tests.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, browser: Browser, node: RunningNode) -> None:
        self._node = node
        self.page: Page = browser.new_context().new_page()

    def open(self, path: str) -> int:
        """Open a page of the node; its status."""
        answer = self.page.goto(f"http://127.0.0.1:{self._node.page}{path}")
        assert answer is not None
        return answer.status

    def sign_in(self, name: str, password: str = PASSWORD) -> str:
        """Type name and password; the heading of the page that comes."""
        self.open("/sign-in")
        self.page.fill("#name", name)
        self.page.fill("#password", password)
        self.page.get_by_role("button", name="Sign in").click()
        return self.page.title()

    def press(self, name: str) -> None:
        """A button, or a link that looks like one."""
        button = self.page.get_by_role("link", name=name, exact=True)
        (button if button.count() else self.page.get_by_role("button", name=name, exact=True)).first.click()

    def sees(self, sentence: str) -> None:
        """The page says so, at once or when it has followed the node."""
        self.page.get_by_text(sentence).first.wait_for(timeout=30_000)


def test_an_operators_day(tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch, condyle: Condyle) -> None:
    monkeypatch.setenv("PYTHONPATH", install_trial(tmp_path / "packages"))
    wanted = tmp_path / "wanted"  # without it the pipeline breaks, on hands

    def route(body_part: str, **settings: str) -> dict[str, object]:
        return {
            "when": {"Modality": "MR", "BodyPartExamined": body_part},
            "pipeline": "trial",
            "settings": {"journal": str(tmp_path / "journal.txt"), **settings},
            "destinations": ["archive"],
        }

    node = RunningNode(
        tmp_path,
        routes={"knee": route("KNEE"), "hand": route("HAND", wanted=str(wanted))},
        destinations={"archive": {"kind": "folder", "path": str(tmp_path / "archive")}},
        run={"box": "off"},
    )
    for name, role in PEOPLE.items():
        add_user(node.config, name, role, patients=name == "anna")
    with node:
        knee, hand, foot = study("KNEE"), study("HAND"), study("FOOT")
        anna, otto, vera = (Person(browser, node) for _ in PEOPLE)

        # sign-in, refused and granted
        assert vera.open("/") == 200
        assert "/sign-in" in vera.page.url
        assert "Not signed in" in vera.sign_in("vera", "four words of another")
        assert "Now" in vera.sign_in("vera")
        assert "Now" in otto.sign_in("otto")
        assert "Now" in anna.sign_in("anna")

        # a study is followed on its page until it is delivered
        otto.sees("No study has come yet")
        assert set(node.send([*knee, *hand])) == {0}
        otto.page.locator(f"#studies a[href='/studies/{knee[0].StudyInstanceUID}']").wait_for(timeout=30_000)
        otto.open(f"/studies/{knee[0].StudyInstanceUID}")
        otto.page.locator("section[id^=job-] .badge.done").first.wait_for(timeout=30_000)
        assert otto.page.locator(".badge.delivered").count() >= 2
        assert otto.page.get_by_text("Muster").count() == 0  # otto sees no patients
        anna.open(f"/studies/{knee[0].StudyInstanceUID}")
        anna.sees("Muster, Erika")
        assert list((tmp_path / "archive").rglob("*.dcm"))

        # a failed job is restarted from its page
        failed = until(lambda: [one for one in node.jobs() if one.state == "failed"], "the job has failed")[0]
        vera.open(f"/jobs/{failed.id}")
        assert vera.page.get_by_role("link", name="Restart").count() == 0
        assert vera.open(f"/jobs/{failed.id}/restart") == 403
        wanted.touch()
        otto.open(f"/jobs/{failed.id}")
        otto.press("Restart")
        otto.sees(f"Restart job {failed.id[:12]}?")
        otto.press("Restart")
        otto.sees("The job is queued again.")
        otto.page.locator(f"#job-{failed.id} .badge.done").wait_for(timeout=30_000)

        # routes are changed by way of trial and put in force, and the next study goes by them
        assert otto.open("/audit") == 403
        anna.open("/routes/try?route=knee")
        anna.press("Write as YAML")
        draft = anna.page.locator("#draft")
        draft.fill(draft.input_value().replace("KNEE", "FOOT").replace("knee:", "foot:"))
        anna.sees("What changes")
        anna.press("Put in force …")
        anna.sees("Put these routes in force?")
        pid = node.pid
        anna.press("Put in force")
        anna.page.wait_for_url("**/routes*")
        assert node.pid == pid
        assert set(node.send(foot)) == {0}
        (job,) = node.ended_jobs(1, study=foot[0].StudyInstanceUID)
        assert (job.route, job.state) == ("foot", "done")

        # the audit trail has all of it, and its files are whole
        anna.press("More")
        anna.press("Audit")
        rows = [row.locator("td").all_inner_texts() for row in anna.page.locator("tbody tr").all()]
    assert {
        ("sign-in refused", "vera"),
        ("signed in", "otto"),
        ("patient viewed", "anna"),
        ("job restarted", "otto"),
        ("configuration in force", "anna"),
    } <= {(what, who) for _, what, who, *_ in rows}
    assert not any(what == "patient viewed" and who != "anna" for _, what, who, *_ in rows)
    whole = condyle("audit", "verify", "--config", node.config)
    assert whole.returncode == 0, whole.stderr
