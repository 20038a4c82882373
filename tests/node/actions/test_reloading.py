"""Who asks a node to read its configuration anew is answered."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from node.actions.reloading import FOLDER, NoAnswer, Reload, ReloadActions, ReloadRequests, now
from node.config import read
from tests.waiting import until


def test_a_request_is_answered_and_leaves_no_file(tmp_path: Path) -> None:
    requests = ReloadRequests(tmp_path / FOLDER)
    answer = Reload("kim", now(), "ab12", ("peers.ct",), ("status.port: needs a restart: why",), (), ("pacs: ends",))
    answers: list[Reload] = []
    asking = threading.Thread(target=lambda: answers.append(requests.ask("kim", patience_s=60)))
    asking.start()
    (asked,) = until(lambda: list(requests.waiting()), "somebody asks")
    assert asked.who == "kim"
    assert list(requests.waiting()) == [], "it is taken once"
    requests.answer(asked, answer)
    asking.join()
    assert answers == [answer]
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_a_node_that_does_not_answer_is_said_not_to(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="did not answer"):
        ReloadRequests(tmp_path / FOLDER).ask("kim", patience_s=0.1)
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_what_was_asked_of_a_node_that_has_ended_is_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "1.request").write_text(json.dumps({"who": "kim"}))
    (folder / "2.request").write_text("cut off")
    ReloadRequests(tmp_path / FOLDER).clear()
    assert list(ReloadRequests(tmp_path / FOLDER).waiting()) == []


@pytest.mark.parametrize("content", ["[]", "7", "null", '"kim"', "{}", "cut off"])
def test_a_file_that_is_no_request_is_passed_over_and_taken_away(tmp_path: Path, content: str) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "1.request").write_text(content)
    (folder / "2.request").write_text(json.dumps({"who": "kim"}))
    assert [asked.who for asked in ReloadRequests(tmp_path / FOLDER).waiting()] == ["kim"]
    assert list(folder.iterdir()) == []


def test_nodes_that_share_a_data_folder_take_and_clear_only_their_own_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("node: {data: data}\n")
    ours = ReloadRequests.of(read(path))
    monkeypatch.setattr("node.database.job_states.socket.gethostname", lambda: "another")
    theirs = ReloadRequests.of(read(path))
    ours.folder.mkdir(parents=True)
    (ours.folder / "1.request").write_text(json.dumps({"who": "kim"}))
    theirs.clear()
    assert list(theirs.waiting()) == []
    assert [asked.who for asked in ours.waiting()] == ["kim"]


def test_what_became_of_it_is_told_in_sentences() -> None:
    assert Reload("kim", now()).sentences == ["Nothing has changed: the node works by this configuration already."]
    wrong = Reload("kim", now(), wrong=("config.yaml:1: a",))
    assert (wrong.taken, wrong.sentences[1:]) == (False, ["config.yaml:1: a"])
    assert Reload("kim", now(), "", ("peers",), ("a: needs a restart",)).sentences == [
        "peers: in force",
        "a: needs a restart",
    ]


def test_the_page_says_beforehand_what_would_change(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("node: {data: data}\n")
    actions = ReloadActions(path, read(path))
    assert "nothing would change" in actions.preview().sentences[0]
    path.write_text("node: {data: data}\npeers: {ct: {ae_title: CT}}\nstatus: {port: 8099}\n")
    assert actions.preview().sentences[1] == "peers.ct: will be in force"
    assert actions.preview().sentences[2].startswith("status.port: needs a restart: ")
    path.write_text("node: {data: data}\npears: {}\n")
    assert "there is no such key" in actions.preview().refusal
