"""A changed configuration is in force in every part, or in none."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from sqlalchemy.orm import Session

from node.actions.configuration import read_fit
from node.actions.reloader import START, Reloader
from node.actions.reloading import ReloadActions, ReloadRequests
from node.config import Configuration
from node.database import outbox
from node.database.tables import CONFIGURATION_IN_FORCE, CONFIGURATION_REFUSED
from node.errors import PeerUnavailable
from tests.node.actions.acting import Acting


class Part:
    """Goes by what it is given; breaks on a configuration that names the peer ``bad``."""

    breaks: Exception = ZeroDivisionError()

    def __init__(self, order: list[str], name: str) -> None:
        self.given: list[Configuration] = []
        self._order, self._name = order, name

    def reconfigure(self, configuration: Configuration) -> None:
        self._order.append(self._name)
        self.given.append(configuration)
        if self._name == "second" and "bad" in configuration.peers:
            raise self.breaks


class Receivers:
    """Processes that read the file when they are told to."""

    def __init__(self, path: Path) -> None:
        self._path, self.digest, self.told = path, "", 0

    def keep_alive(self) -> None:
        pass

    def reload(self) -> None:
        self.told += 1
        self.digest = read_fit(self._path).digest

    def work_by(self, digest: str) -> bool:
        return self.digest == digest


class Running:
    """A node of two parts."""

    def __init__(self, act: Acting, folder: Path) -> None:
        self.act, self.path = act, folder / "config.yaml"
        self.data = act.configuration.node.data
        self.write()
        self.order: list[str] = []
        self.first, self.second = Part(self.order, "first"), Part(self.order, "second")
        self.pages: list[Configuration] = []
        self.receivers = Receivers(self.path)
        parts = (self.first, self.second)
        fit = read_fit(self.path)
        self.reloader = Reloader(self.path, fit, act.database, parts, self.pages.append, self.receivers)

    def write(self, **sections: object) -> None:
        self.path.write_text(yaml.safe_dump({"node": {"data": str(self.data)}, **sections}))

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(what, who) for what, who, _ in self.act.audited()]


@pytest.fixture
def node(act: Acting, tmp_path: Path) -> Running:
    return Running(act, tmp_path)


def test_the_start_is_in_the_audit_trail_with_the_digest_of_the_file(node: Running) -> None:
    ((what, who, detail),) = node.act.audited()
    assert (what, who, detail["digest"]) == (CONFIGURATION_IN_FORCE, START, read_fit(node.path).digest)


def test_every_part_goes_by_it_in_order_then_the_pages_then_the_receivers(node: Running) -> None:
    node.write(peers={"ct": {"ae_title": "CT"}}, status={"port": 8099})
    outcome = node.reloader.reload("kim")
    assert outcome.taken
    assert outcome.in_force == ("peers.ct",)
    assert outcome.waiting == (
        "status.port: needs a restart: the port is open, and what is connected to it would be cut off",
    )
    assert node.order == ["first", "second"]
    (given,), (shown,) = node.first.given, node.pages
    assert given is shown
    assert (list(given.peers), given.status.port) == (["ct"], 8090)
    assert node.receivers.digest == outcome.digest
    what, who, detail = node.act.audited()[-1]
    assert (what, who) == (CONFIGURATION_IN_FORCE, "kim")
    assert (detail["in_force"], detail["at_restart"]) == (["peers.ct"], ["status.port"])


def test_a_file_that_is_wrong_changes_nothing_and_all_of_it_is_told(node: Running) -> None:
    node.path.write_text(f"node: {{data: {node.data}}}\npears: {{}}\nstatus: {{port: x}}\n")
    outcome = node.reloader.reload("kim")
    assert not outcome.taken
    assert len(outcome.wrong) == 2
    assert (node.order, node.pages, node.receivers.told) == ([], [], 0)
    assert node.kinds[-1] == (CONFIGURATION_REFUSED, "kim")


def test_where_one_part_breaks_all_go_by_the_one_before(node: Running) -> None:
    node.write(peers={"good": {"ae_title": "CT"}})
    assert node.reloader.reload("kim").taken
    node.write(peers={"bad": {"ae_title": "CT"}})
    outcome = node.reloader.reload("kim")
    assert outcome.wrong == ("a part of the node cannot go by it (ZeroDivisionError): see its log",)
    assert list(node.first.given[-1].peers) == list(node.second.given[-1].peers) == ["good"]
    assert [list(one.peers) for one in node.pages] == [["good"]]
    node.write(peers={"good": {"ae_title": "CT"}})
    assert node.reloader.reload("kim").in_force == (), "the good one is in force still"


def test_jobs_that_wait_for_a_destination_that_is_gone_are_named(act: Acting, tmp_path: Path) -> None:
    pacs = {"kind": "dimse", "ae_title": "PACS", "host": "127.0.0.1", "port": 9}
    web = {**pacs, "ae_title": "WEB"}
    file = tmp_path / "config.yaml"
    data = {"node": {"data": str(act.configuration.node.data)}}
    file.write_text(yaml.safe_dump({**data, "destinations": {"pacs": pacs, "web": web}}))
    fit = read_fit(file)
    for _ in range(2):
        act.job("pacs", "web")
    reloader = Reloader(file, fit, act.database, (), list[Configuration]().append, Receivers(file))
    assert reloader.reload("kim").ending == (), "both are there"
    file.write_text(yaml.safe_dump({**data, "destinations": {"archive": pacs, "web": web}}))
    preview = ReloadActions(file, fit.configuration, act.database).preview()
    outcome = reloader.reload("kim")
    with Session(act.database) as session:
        left = outbox.left_behind(session, ["web"])["pacs"]
    assert len(left.jobs) == 2
    (told,) = outcome.ending
    assert told.startswith(f"destinations.pacs: {left.objects} objects of 2 jobs wait for it: they are not sent")
    assert told in preview.sentences
    assert told in outcome.sentences


def test_where_all_that_changed_waits_for_a_restart_parts_go_on_and_read_their_token_files_again(node: Running) -> None:
    node.write(status={"port": 8099})
    outcome = node.reloader.reload("kim")
    assert (outcome.in_force, len(outcome.waiting)) == ((), 1)
    (given,) = node.first.given
    assert given.status.port == 8090
    assert node.pages == [given]
    assert node.receivers.told == 0


def test_receivers_that_do_not_read_it_are_told_of(node: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.actions.reloader.RECEIVERS_S", 0.1)
    monkeypatch.setattr(node.receivers, "reload", lambda: None)
    node.write(peers={"ct": {"ae_title": "CT"}})
    assert node.reloader.reload("kim").waiting[-1].startswith("receive: a receiver process has not read it yet")


def test_a_part_that_cannot_go_back_keeps_no_other_from_it_and_is_named(node: Running) -> None:
    node.first.reconfigure = _first_time_only(node.first.reconfigure)  # type: ignore[method-assign, assignment]
    node.write(peers={"bad": {"ae_title": "CT"}})
    outcome = node.reloader.reload("kim")
    assert outcome.wrong == (
        "a part of the node cannot go by it (ZeroDivisionError): see its log",
        "Part: does not go back to the configuration before: restart the node",
    )
    assert list(node.second.given[-1].peers) == []
    assert node.kinds[-1] == (CONFIGURATION_REFUSED, "kim")


def _first_time_only(reconfigure: Callable[[Configuration], None]) -> Callable[[Configuration], None]:
    calls = itertools.count()

    def once(configuration: Configuration) -> None:
        if next(calls):
            raise OSError("no space left")
        reconfigure(configuration)

    return once


def test_what_a_part_says_of_a_peer_that_is_away_is_the_answer(node: Running) -> None:
    node.second.breaks = PeerUnavailable("the registry is away")
    node.write(peers={"bad": {"ae_title": "CT"}})
    assert node.reloader.reload("kim").wrong == ("the registry is away",)
    assert list(node.first.given[-1].peers) == []


def test_a_file_that_breaks_the_reading_is_answered(node: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.actions.reloader.read_fit", lambda _: 1 / 0)
    assert node.reloader.reload("kim").wrong == ("it cannot be read anew (ZeroDivisionError): see the node's log",)
    assert node.kinds[-1] == (CONFIGURATION_REFUSED, "kim")


def test_receivers_that_break_are_told_of(node: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.receivers, "reload", lambda: 1 / 0)
    node.write(peers={"ct": {"ae_title": "CT"}})
    outcome = node.reloader.reload("kim")
    assert outcome.in_force == ("peers.ct",)
    assert outcome.waiting == (
        "receive: the receiver processes cannot be told (ZeroDivisionError): see the node's log",
    )


def test_an_answer_that_cannot_be_written_is_logged_and_ends_nothing(
    node: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = ReloadRequests.of(node.act.configuration).folder
    folder.mkdir(parents=True)
    (folder / "1.request").write_text('{"who": "kim"}')
    full = partial(_raise, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    monkeypatch.setattr("node.actions.reloading.write_whole", full)
    node.reloader.look()
    assert node.kinds[-1] == (CONFIGURATION_IN_FORCE, "kim")
    assert "reload cannot be answered" in caplog.messages


def _raise(error: Exception, *_: object, **__: object) -> None:
    raise error
