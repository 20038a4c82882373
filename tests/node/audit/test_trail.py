"""Each line gets into the files once, and to the syslog server, whatever ends in between."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from node.audit.chain import Chain, Link, verify
from node.audit.trail import COUNTED_FOR, AuditTrail, head_of, waiting
from node.config import Configuration
from node.database.connection import Database
from node.database.tables import AUDIT_CHANGED, AUDIT_LOST, ERASED, NODE_STARTED, NOT_STORED, AuditHeadRow, AuditRow
from node.errors import PeerUnavailable
from tests.node.audit.conftest import NOW, note


def trail_of(database: Database, data: Path, now: datetime = NOW, **syslog: object) -> AuditTrail:
    sections = {"node": {"data": str(data)}, "audit": {"syslog": syslog} if syslog else {}}
    return AuditTrail(Configuration.model_validate(sections), database, clock=lambda: now)


def numbers(data: Path) -> list[tuple[int, int]]:
    return [(link.number, link.row) for link in Chain(data).after(0)]


def test_lines_are_written_in_their_order_and_once(database: Database, tmp_path: Path) -> None:
    trail = trail_of(database, tmp_path)
    for what in (NODE_STARTED, ERASED):
        note(database, what)
    assert trail.write() == 2
    note(database, ERASED, study_instance_uid="1.2.3")
    assert (trail.write(), trail.write()) == (1, 0)
    assert numbers(tmp_path) == [(1, 1), (2, 2), (3, 3)]
    found = verify(Chain(tmp_path), head=head_of(database))
    assert (found.count, found.problems) == (3, [])
    assert waiting(database) == 0


def test_a_node_that_ended_between_file_and_database_writes_no_line_twice(database: Database, tmp_path: Path) -> None:
    trail = trail_of(database, tmp_path)
    note(database, NODE_STARTED)
    trail.write()
    before = head_of(database)
    assert before is not None
    note(database, ERASED)
    trail.write()
    with Session(database) as session, session.begin():  # as if its transaction had not ended
        session.execute(update(AuditRow).where(AuditRow.number == 2).values(number=None))
        session.execute(update(AuditHeadRow).values(number=before[0], digest=before[1]))
    assert trail_of(database, tmp_path).write() == 0
    assert numbers(tmp_path) == [(1, 1), (2, 2)]
    assert verify(Chain(tmp_path), head=head_of(database)).problems == []


def test_files_that_were_shortened_are_told_and_the_numbers_go_on(database: Database, tmp_path: Path) -> None:
    for _ in range(3):
        note(database, ERASED)
    trail_of(database, tmp_path).write()
    (path,) = Chain(tmp_path).files()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:1]), encoding="utf-8")
    assert trail_of(database, tmp_path).write() == 1
    with Session(database) as session:
        lost = session.scalars(select(AuditRow).where(AuditRow.what == AUDIT_LOST)).one()
    assert (lost.detail, lost.number) == ({"written": 3, "there": 1}, 4)
    (problem,) = verify(Chain(tmp_path), head=head_of(database)).problems
    assert "line 4 follows line 1: lines were removed" in problem


def test_a_line_whose_count_grows_is_written_again_when_it_grows_no_more(database: Database, tmp_path: Path) -> None:
    trail_of(database, tmp_path).write()
    with Session(database) as session, session.begin():
        session.add(AuditRow(at=NOW, what=NOT_STORED, who="CT1", detail={}, counted_as="a"))
    soon, later = NOW + timedelta(minutes=30), NOW + COUNTED_FOR + timedelta(minutes=1)
    assert trail_of(database, tmp_path, soon).write() == 1
    with Session(database) as session, session.begin():
        session.execute(update(AuditRow).values(times=40))
    assert trail_of(database, tmp_path, soon).write() == 0
    assert trail_of(database, tmp_path, later).write() == 1
    assert trail_of(database, tmp_path, later + timedelta(hours=2)).write() == 0
    links = list(Chain(tmp_path).after(0))
    assert [link.row for link in links] == [1, 1]
    assert "40 times" in links[1].message


def test_nodes_that_share_a_database_and_a_folder_write_one_chain(database: Database, tmp_path: Path) -> None:
    one, other = trail_of(database, tmp_path), trail_of(database, tmp_path)
    for trail in (one, other, other, one):
        note(database, ERASED)
        assert trail.write() == 1
    assert numbers(tmp_path) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert verify(Chain(tmp_path), head=head_of(database)).problems == []


@pytest.mark.parametrize("change", ["last", "all", "one more"])
def test_files_that_somebody_else_has_written_are_not_taken_over_at_a_start(
    database: Database, tmp_path: Path, change: str
) -> None:
    for _ in range(3):
        note(database, ERASED)
    trail_of(database, tmp_path).write()
    (path,) = Chain(tmp_path).files()
    links = list(Chain(tmp_path).after(0))
    if change == "one more":
        forged = [*links, Link.after(links[-1], NOW, links[-1].message, 99)]
    else:
        forged = links[:2] if change == "last" else []
        for link in links[len(forged) :]:
            message = link.message.replace("anna", "bert")
            forged.append(Link.after(forged[-1] if forged else None, link.at, message, link.row))
    path.write_text("".join(f"{one.text()}\n" for one in forged), encoding="utf-8")
    assert trail_of(database, tmp_path).write() == 1
    with Session(database) as session:
        changed = session.scalars(select(AuditRow).where(AuditRow.what == AUDIT_CHANGED)).one()
    assert changed.number == 4
    assert verify(Chain(tmp_path), head=head_of(database)).problems
    assert trail_of(database, tmp_path).write() == 0  # it is said once
    note(database, ERASED)
    assert trail_of(database, tmp_path).write() == 1
    assert verify(Chain(tmp_path), head=head_of(database)).problems


def test_a_last_line_that_cannot_be_read_ends_nothing(database: Database, tmp_path: Path) -> None:
    for _ in range(2):
        note(database, ERASED)
    trail_of(database, tmp_path).write()
    (path,) = Chain(tmp_path).files()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(f"{lines[0]}garbage\n", encoding="utf-8")
    note(database, ERASED)
    assert trail_of(database, tmp_path).write() == 2  # and that a line is lost
    problems = verify(Chain(tmp_path), head=head_of(database)).problems
    assert any("is no line of an audit trail" in problem for problem in problems)


def test_a_count_that_was_written_and_not_noted_is_not_written_again(database: Database, tmp_path: Path) -> None:
    trail_of(database, tmp_path).write()
    with Session(database) as session, session.begin():
        session.add(AuditRow(at=NOW, what=NOT_STORED, who="CT1", detail={}, counted_as="a", times=40))
    soon, later = NOW + timedelta(minutes=30), NOW + COUNTED_FOR + timedelta(minutes=10)
    trail_of(database, tmp_path, soon).write()
    before = head_of(database)
    assert before is not None
    with Session(database) as session:
        until = session.scalars(select(AuditHeadRow.counted_until)).one()
    assert trail_of(database, tmp_path, later).write() == 1
    with Session(database) as session, session.begin():  # as if its transaction had not ended
        session.execute(update(AuditHeadRow).values(number=before[0], digest=before[1], counted_until=until))
    assert trail_of(database, tmp_path, later).write() == 0
    assert [row for _, row in numbers(tmp_path)] == [1, 1]
    assert verify(Chain(tmp_path), head=head_of(database)).problems == []


class Server:
    """A syslog server by UDP."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10)
        self.port = self.socket.getsockname()[1]

    def message(self) -> tuple[str, Any]:
        """Head and content of the next message."""
        head, _, content = self.socket.recv(65536).partition(b"\xef\xbb\xbf")
        return head.decode(), etree.fromstring(content)


def test_lines_go_to_the_syslog_server_once_and_in_order(database: Database, tmp_path: Path) -> None:
    server = Server()
    with server.socket:
        more = {"host": "127.0.0.1", "port": server.port, "transport": "udp"}
        for what in (NODE_STARTED, ERASED):
            note(database, what)
        trail = trail_of(database, tmp_path, **more)
        assert trail.send() == 0  # nothing is sent before it is in the files
        trail.write()
        assert (trail.send(), trail_of(database, tmp_path, **more).send()) == (2, 0)
        (head, first), (_, second) = server.message(), server.message()
    assert head.startswith("<85>1 ")  # authpriv, notice
    assert " DICOM+RFC3881 " in head
    assert first.xpath("string(//EventID/@csd-code)") == "110100"
    assert second.xpath("string(//EventID/@csd-code)") == "110105"


def test_a_node_that_is_stopped_does_not_wait_for_all_that_is_to_be_sent(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.audit.trail.SENT_TOGETHER", 1)
    server = Server()
    with server.socket:
        for _ in range(3):
            note(database, ERASED)
        trail = trail_of(database, tmp_path, host="127.0.0.1", port=server.port, transport="udp")
        trail.write()
        trail._sending.stopping.set()
        assert trail.send() == 0
        trail._sending.stopping.clear()
        assert trail.send() == 3


def test_what_a_server_that_is_away_was_not_sent_it_gets_later(database: Database, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    note(database, ERASED)
    trail = trail_of(database, tmp_path, host="127.0.0.1", port=port, transport="tcp")
    trail.write()
    with pytest.raises(PeerUnavailable, match=r"audit\.syslog"):
        trail.send()
    server = Server()
    with server.socket:
        later = trail_of(database, tmp_path, host="127.0.0.1", port=server.port, transport="udp")
        assert later.send() == 1
        assert server.message()[1].xpath("string(//EventID/@csd-code)") == "110105"
