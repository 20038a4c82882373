"""Alerts are told once when they begin, again when they are to be repeated, and once when they are over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from node.alerts.machine import Parts
from node.config.checks import listening_socket
from node.database import alerts
from node.database.connection import Database, open_database
from node.database.migrations import migrate
from tests.node.alerts.watching import DAY, HOUR, MINUTE, PACS, Watching, configuration, mail
from tests.node.send.outgoing import HandClock
from tests.node.send.telling import MailServer, mail_server
from tests.postgres import Postgres
from tests.waiting import until

DOWN = {"kind": "destination_down", "after": "10m"}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'node.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def shared(postgres: Postgres) -> Iterator[Database]:
    """A database that several nodes may share."""
    opened = open_database(postgres.database())
    migrate(opened)
    yield opened
    opened.dispose()


@pytest.fixture
def port() -> int:
    with listening_socket("127.0.0.1", 0) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def mailbox(port: int) -> Iterator[MailServer]:
    peer = MailServer()
    with mail_server(peer, port):
        yield peer


def watching(database: Database, folder: Path, port: int, rule: dict[str, Any], **more: Any) -> Watching:
    settings = {"channels": {"admins": mail(port)}, "rules": {"it": rule}, **more}
    return Watching(database, configuration(folder, **settings))


def subjects(mailbox: MailServer) -> list[str]:
    return [str(message["Subject"]) for message in mailbox.messages]


BEGUN, STILL, OVER = (f"KNEES: {head}destination pacs is down" for head in ("", "still: ", "over: "))


def test_a_destination_that_is_down_is_told_once_and_once_when_it_is_back(
    database: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    watch = watching(database, tmp_path, port, DOWN)
    watch.round()
    watch.fail_to_send()
    for _ in range(5):
        watch.round(MINUTE)
    assert subjects(mailbox) == []  # not for ten minutes yet
    for _ in range(10):
        watch.round(MINUTE)
    assert subjects(mailbox) == [BEGUN]
    text = mailbox.messages[0].get_content().replace("\r\n", "\n")
    assert "Nothing has arrived there since; 1 object to be sent waits, and is tried again." in text
    assert "connection refused by 10.1.2.3 for (UID)" in text
    assert "condyle alerts silence it --for 2h" in text
    assert "Node KNEES on " in text
    watch.send_at_last()
    watch.round(MINUTE)
    assert subjects(mailbox) == [BEGUN]  # it may fail again at once
    for _ in range(5):
        watch.round(MINUTE)
    assert subjects(mailbox) == [BEGUN, OVER]
    assert [(row.state, row.times) for row in watch.rows()] == [("over", 1)]


def test_it_is_told_again_after_the_time_and_never_where_that_is_off(
    sqlite: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    watch = watching(sqlite, tmp_path, port, {**DOWN, "repeat": "4h"})
    watch.fail_to_send()
    for _ in range(9):
        watch.round(HOUR)
    assert subjects(mailbox) == [BEGUN, STILL, STILL]
    watch.settings = configuration(tmp_path, channels={"admins": mail(port)}, rules={"it": {**DOWN, "repeat": "off"}})
    watch.restart()
    for _ in range(9):
        watch.round(DAY)
    assert len(mailbox.messages) == 3


def test_what_comes_and_goes_around_a_bound_is_told_once(
    sqlite: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    watch = watching(sqlite, tmp_path, port, {**DOWN, "after": "0s", "calm": "10m"})
    for _ in range(6):
        watch.fail_to_send()
        watch.round(MINUTE)
        watch.forget_objects()
        watch.round(MINUTE)
    assert subjects(mailbox) == [BEGUN]
    for _ in range(11):
        watch.round(MINUTE)
    assert subjects(mailbox) == [BEGUN, OVER]
    watch.fail_to_send()
    watch.round(MINUTE)
    assert subjects(mailbox) == [BEGUN, OVER, BEGUN]
    assert [row.times for row in watch.rows()] == [2]


def test_a_restart_tells_nothing_twice_and_forgets_nothing(
    sqlite: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    watch = watching(sqlite, tmp_path, port, DOWN)
    watch.fail_to_send()
    for _ in range(4):
        watch.round(11 * MINUTE)
        watch.restart()
    assert subjects(mailbox) == [BEGUN]
    watch.send_at_last()
    for _ in range(3):
        watch.restart()
        watch.round(2 * MINUTE)
    assert subjects(mailbox) == [BEGUN, OVER]


@pytest.mark.postgres
def test_two_nodes_on_one_database_tell_once(shared: Database, tmp_path: Path, port: int, mailbox: MailServer) -> None:
    clock = HandClock()
    nodes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        settings = configuration(tmp_path / name, channels={"admins": mail(port)}, rules={"it": DOWN})
        nodes.append(Watching(shared, settings, clock))
    nodes[0].fail_to_send()
    for _ in range(4):
        for node in nodes:
            node.round(5 * MINUTE)
    assert subjects(mailbox) == [BEGUN]
    nodes[0].send_at_last()
    for _ in range(4):
        for node in reversed(nodes):
            node.round(5 * MINUTE)
    assert subjects(mailbox) == [BEGUN, OVER]
    with Session(shared) as session:
        owner = alerts.rule_rows(session)["it"].owner
        assert owner != ""
    with Session(shared) as session, session.begin():
        assert alerts.claim(session, ["it"], "somebody else", 3600) == set()
        assert alerts.claim(session, ["it"], "somebody else", -1) == {"it"}  # that node has said nothing for too long


@pytest.mark.postgres
def test_each_of_two_nodes_tells_of_its_own_parts(
    shared: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    clock = HandClock()
    rule = {"kind": "node_problem", "after": "0s", "calm": "0s"}
    settings = [configuration(tmp_path / name, channels={"admins": mail(port)}, rules={"it": rule}) for name in "ab"]
    for one in settings:
        one.node.data.mkdir()
    ill = Watching(shared, settings[0], clock, Parts({"receiver": lambda: "1 of 1 receiver processes do not run"}))
    well = Watching(shared, settings[1], clock, Parts({"receiver": lambda: None}))
    for _ in range(3):
        ill.round(MINUTE)
        well.round(MINUTE)
    assert subjects(mailbox) == ["KNEES: problem with receiver"]


def test_a_rule_that_is_silenced_tells_nobody_and_then_of_what_lasts(
    sqlite: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    watch = watching(sqlite, tmp_path, port, {**DOWN, "after": "0s"})
    watch.round()
    with Session(sqlite) as session, session.begin():
        alerts.silence(session, "it", watch.clock() + timedelta(hours=2), "anna", watch.clock())
    watch.fail_to_send()
    for _ in range(3):
        watch.round(30 * MINUTE)
    assert subjects(mailbox) == []
    assert [row.state for row in watch.rows()] == ["firing"]
    watch.round(31 * MINUTE)
    assert subjects(mailbox) == [BEGUN]


def test_quiet_hours_hold_back_what_can_wait_and_nothing_that_is_critical(
    sqlite: Database, tmp_path: Path, port: int, mailbox: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = {"quiet_hours": [{"hours": "20:00-07:00"}]}
    watch = watching(sqlite, tmp_path, port, {**DOWN, "after": "0s"}, **quiet)
    watch.clock.now = watch.clock.now.astimezone().replace(hour=22)
    watch.fail_to_send()
    for _ in range(8):
        watch.round(HOUR)  # until six in the morning
    assert subjects(mailbox) == []
    watch.round(61 * MINUTE)
    assert subjects(mailbox) == [BEGUN]
    rules = {"it": {**DOWN, "severity": "critical", "after": "0s"}}
    watch.settings = configuration(tmp_path, channels={"admins": mail(port)}, rules=rules, **quiet)
    watch.restart()
    watch.send_at_last()
    watch.round(HOUR)
    watch.round(HOUR)
    watch.forget_objects()
    watch.clock.now = watch.clock.now.replace(hour=23)
    watch.fail_to_send()
    watch.round(MINUTE)
    assert subjects(mailbox)[-1] == BEGUN
    assert "Critical: destination pacs is down" in mailbox.messages[-1].get_content()


def test_a_digest_tells_of_everything_in_one_message(
    sqlite: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    rule = {"kind": "result", "when": {"state": "failed"}, "routes": []}
    watch = watching(sqlite, tmp_path, port, rule, digest={"at": "07:30", "rules": ["it"]})
    watch.clock.now = watch.clock.now.astimezone().replace(hour=8, minute=0)
    watch.round()
    for name in "abc":
        watch.job(name, "failed", reason="out of memory")
        watch.round(HOUR)
    assert subjects(mailbox) == []
    watch.round(20.6 * HOUR)
    assert subjects(mailbox) == ["KNEES: 3 alerts, first trial: a job is failed"]
    text = mailbox.messages[0].get_content()
    assert [text.count(f"Job {name * 8}") for name in "abc"] == [1, 1, 1]
    assert "1.2.840" not in text
    watch.round(DAY)
    assert len(mailbox.messages) == 1


def test_a_channel_that_goes_by_the_destination_that_is_down_is_not_the_only_one(
    sqlite: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    web = {"kind": "webhook", "url": "http://127.0.0.1:9/hook", "timeout_s": 1}
    settings = configuration(
        tmp_path,
        channels={"chat": web, "admins": mail(port)},
        rules={"it": {**DOWN, "after": "0s", "channels": ["chat"]}},
    )
    same = {"kind": "webhook", "url": "http://127.0.0.1:9/results"}
    settings = settings.model_validate(
        {**settings.model_dump(exclude_unset=True), "destinations": {"pacs": PACS, "ris": same}}
    )
    watch = Watching(sqlite, settings)
    watch.fail_to_send("pacs")
    watch.round(MINUTE)
    assert [row.channel for row in watch.notices()] == ["chat"]
    watch.fail_to_send("ris")
    watch.round(MINUTE)
    assert sorted(row.channel for row in watch.notices()) == ["admins", "chat", "chat"]
    assert subjects(mailbox) == ["KNEES: destination ris is down"]


def test_what_cannot_be_told_is_tried_again_with_growing_pauses_and_said_on_the_page(
    sqlite: Database, tmp_path: Path, port: int
) -> None:
    watch = watching(sqlite, tmp_path, port, {**DOWN, "after": "0s"})
    watch.fail_to_send()
    watch.clock.wait(1)
    pauses = []
    for _ in range(4):
        watch.round()
        (notice,) = watch.notices()
        pauses.append((notice.not_before - watch.clock()).total_seconds())
        watch.clock.wait(pauses[-1])
    assert pauses == [15, 30, 60, 120]
    remark = watch.alerts.remark()
    assert remark is not None
    assert "admins: cannot be told since " in remark
    assert "Connection refused" not in remark, "strangers read it at /health/ready"
    peer = MailServer()
    with mail_server(peer, port):
        watch.round()
    assert len(peer.messages) == 1
    assert peer.messages[0]["Message-ID"] == f"<{watch.notices()[0].batch}@condyle.invalid>"
    assert "cannot be told" not in (watch.alerts.remark() or "")


def test_a_message_that_is_no_news_any_more_is_given_up(sqlite: Database, tmp_path: Path, port: int) -> None:
    watch = watching(sqlite, tmp_path, port, {**DOWN, "after": "0s", "repeat": "off"})
    watch.fail_to_send()
    watch.round(1)
    watch.round(3 * DAY)
    assert [(row.state, row.attempts) for row in watch.notices()] == [("given up", 2)]


def test_what_a_rule_that_is_gone_had_found_is_over_and_told_to_nobody(
    sqlite: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    watch = watching(sqlite, tmp_path, port, {**DOWN, "after": "0s"})
    watch.fail_to_send()
    watch.round(1)
    watch.settings = configuration(tmp_path, channels={"admins": mail(port)}, rules={"other": {**DOWN, "after": "1h"}})
    watch.restart()
    watch.round()
    assert [(row.rule, row.state) for row in watch.rows()] == [("it", "over"), ("other", "pending")]
    assert subjects(mailbox) == [BEGUN]


def test_what_waits_for_a_channel_that_is_gone_is_given_up(sqlite: Database, tmp_path: Path, port: int) -> None:
    watch = watching(sqlite, tmp_path, port, {**DOWN, "after": "0s"})
    watch.fail_to_send()
    watch.round(1)
    other = {"kind": "syslog", "host": "127.0.0.1", "port": 9}
    watch.settings = configuration(tmp_path, channels={"log": other}, rules={"it": {**DOWN, "after": "0s"}})
    watch.restart()
    watch.round(MINUTE)
    assert [(row.state, row.answer) for row in watch.notices()] == [
        ("given up", "the channel has left the configuration")
    ]


def test_a_rule_that_another_node_has_left_is_looked_at_all_the_same(
    sqlite: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    watch = watching(sqlite, tmp_path, port, {**DOWN, "after": "0s"})
    watch.round()
    with Session(sqlite) as session, session.begin():
        alerts.leave_rules(session, ["other"], watch.clock())
    watch.fail_to_send()
    watch.round(1)
    assert subjects(mailbox) == [BEGUN]


def test_a_rule_that_fails_keeps_no_other_from_being_looked_at(
    sqlite: Database, tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    def broken() -> str | None:
        raise RuntimeError("a bug")

    rules = {"node": {"kind": "node_problem", "after": "0s"}, "it": {**DOWN, "after": "0s"}}
    settings = configuration(tmp_path, channels={"admins": mail(port)}, rules=rules)
    watch = Watching(sqlite, settings, parts=Parts({"part": broken}))
    watch.fail_to_send()
    with pytest.raises(RuntimeError):
        watch.round(1)
    for channel in watch.alerts.channels.values():
        channel.tell()
    assert subjects(mailbox) == [BEGUN]


def test_without_channels_nothing_is_looked_at(sqlite: Database, tmp_path: Path) -> None:
    watch = Watching(sqlite, configuration(tmp_path))
    watch.alerts.start()
    assert watch.alerts.remark() is None
    watch.alerts.stop()


def test_the_loops_tell_and_a_database_that_goes_away_is_told_without_it(
    tmp_path: Path, port: int, mailbox: MailServer
) -> None:
    rules = {"node": {"kind": "node_problem", "after": "0s", "calm": "0s"}}
    settings = configuration(tmp_path, channels={"admins": mail(port)}, rules=rules, every_s=0.1)
    path = tmp_path / "node.db"
    database = open_database(f"sqlite:///{path}")
    migrate(database)
    ill: list[str | None] = ["it does not run"]
    watch = Watching(database, settings, parts=Parts({"receiver": lambda: ill[0]}))
    watch.alerts.start()
    try:
        until(lambda: subjects(mailbox) == ["KNEES: problem with receiver"], "told", 20)
        ill[0] = None
        until(lambda: len(mailbox.messages) == 2, "told that it is over", 20)
        database.dispose()
        for file in (path, path.with_name("node.db-wal"), path.with_name("node.db-shm")):
            if file.exists():
                shutil.move(file, f"{file}.away")
        path.mkdir()  # what is there now is no database
        until(lambda: "KNEES: the database is away" in subjects(mailbox), "told that it is away", 20)
        path.rmdir()
        for file in (path, path.with_name("node.db-wal"), path.with_name("node.db-shm")):
            if Path(f"{file}.away").exists():
                shutil.move(f"{file}.away", file)
        until(lambda: "KNEES: over: the database is away" in subjects(mailbox), "told that it is back", 20)
    finally:
        watch.alerts.stop()
        database.dispose()
    assert len([one for one in subjects(mailbox) if "database" in one]) == 2


def test_an_error_of_the_database_ends_the_round(sqlite: Database, tmp_path: Path, port: int) -> None:
    watch = watching(sqlite, tmp_path, port, DOWN)
    sqlite.dispose()
    (tmp_path / "node.db").unlink()
    with pytest.raises(OperationalError):
        watch.alerts.look()
