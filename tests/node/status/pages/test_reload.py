"""The page asks the running node to read its configuration anew."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from node.actions.reloading import Reload, ReloadRequests, now
from tests.node.actions.acting import Acting
from tests.node.status.pages.acting_page import act_on
from tests.waiting import until

Page = tuple[Acting, httpx.Client]


@contextmanager
def answering(act: Acting, answer: Reload) -> Iterator[list[str]]:
    """A node that answers one request so; who asked."""
    requests, asked_by = ReloadRequests.of(act.configuration), list[str]()

    def answer_one() -> None:
        (asked,) = until(lambda: list(requests.waiting()), "somebody asks")
        asked_by.append(asked.who)
        requests.answer(asked, answer)

    thread = threading.Thread(target=answer_one)
    thread.start()
    yield asked_by
    thread.join()


def test_what_would_change_is_said_before(page: Page, tmp_path: Path) -> None:
    _, client = page
    assert "nothing would change" in client.get("/reload").text
    config = tmp_path / "config.yaml"
    config.write_text(f"{config.read_text()}\npeers: {{ct: {{ae_title: CT}}}}\n")
    assert "peers.ct: will be in force" in client.get("/reload").text
    config.write_text(f"{config.read_text()}\npears: {{}}\n")
    asked = client.get("/reload").text
    assert "there is no such key" in asked
    assert "<button>" not in asked


def test_what_became_of_it_is_shown(page: Page) -> None:
    act, client = page
    with answering(act, Reload("", now(), "ab12", ("peers.ct",), ("status.port: needs a restart: why",))) as asked_by:
        answer = act_on(client, "/reload")
    assert answer.status_code == 200
    assert asked_by == ["this machine"]
    assert all(text in answer.text for text in ("is in force", "ab12", "peers.ct: in force", "needs a restart: why"))


def test_where_nothing_changes_that_is_shown(page: Page) -> None:
    act, client = page
    with answering(act, Reload("", now(), wrong=("config.yaml:3: peers: bad",))):
        answer = act_on(client, "/reload")
    assert answer.status_code == 422
    assert "stays as it was" in answer.text
    assert "config.yaml:3: peers: bad" in answer.text


def test_a_form_of_others_reloads_nothing(page: Page) -> None:
    act, client = page
    assert client.post("/reload", data={"token": "0"}).status_code == 403
    assert list(ReloadRequests.of(act.configuration).waiting()) == []
