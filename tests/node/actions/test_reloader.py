"""A changed configuration is in force in every part, or in none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from node.actions.configuration import read_fit
from node.actions.reloader import START, Reloader
from node.config import Configuration
from node.database.tables import CONFIGURATION_IN_FORCE, CONFIGURATION_REFUSED
from tests.node.actions.acting import Acting


class Part:
    """Goes by what it is given; breaks on a configuration that names the peer ``bad``."""

    def __init__(self, order: list[str], name: str) -> None:
        self.given: list[Configuration] = []
        self._order, self._name = order, name

    def reconfigure(self, configuration: Configuration) -> None:
        self._order.append(self._name)
        self.given.append(configuration)
        if self._name == "second" and "bad" in configuration.peers:
            raise ZeroDivisionError


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
