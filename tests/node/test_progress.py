"""Whoever waits for work hears of each thing that is done, whichever part of the node does it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.database.connection import Database, open_database
from node.database.tables import Base
from node.files import COPY_BYTES, digest_of
from node.network.http_answer import HttpAsker
from node.patient_records.store import PatientRecords
from node.progress import goes_on, tell_by
from node.reading import Readers
from node.receive.store.locks import LeaderLock
from node.receive.store.receipt_import import ReceiptImport
from node.receive.store.receipt_log import Noted, ReceiptLog
from node.receive.store.retention import Retention
from node.receive.store.store import Store
from node.send.lane import Lane
from tests.node.network.test_http_answer import answering, whole
from tests.node.patient_records.test_store import WHO, record
from tests.node.reading import hostile
from tests.node.receive.test_watched_folder import watch
from tests.node.send.outgoing import HandClock, Peer, destinations, outgoing


def heard(work: Callable[[], object]) -> int:
    """How often the work says that it goes on."""
    times = 0

    def tell() -> None:
        nonlocal times
        times += 1

    def run() -> None:
        tell_by(tell)
        work()

    copy_context().run(run)
    return times


def test_where_nobody_waits_nothing_is_told() -> None:
    copy_context().run(goes_on)


def test_a_large_file_is_read_a_piece_at_a_time(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(3 * COPY_BYTES))
    assert heard(lambda: digest_of(large)) == 3


def test_a_large_request_is_sent_and_a_large_answer_read_a_piece_at_a_time() -> None:
    body = bytes(2**20) + b"end"

    def answer(connection: socket.socket) -> None:
        last = b""
        while not last.endswith(b"end"):
            last = last[-3:] + connection.recv(65536)
        whole(b"ok")(connection)

    def ask(url: str, content: bytes | None) -> None:
        http = HttpAsker(30.0)
        http.ask("POST" if content else "GET", url, content=content)
        http.close()

    with answering(answer) as url:
        assert heard(lambda: ask(url, body)) > 16
    with answering(whole(body)) as url:
        assert heard(lambda: ask(url, None)) > 4


def test_a_reader_that_goes_on_is_heard_where_it_was_called() -> None:
    with Readers(1) as readers:
        assert heard(lambda: readers.call(hostile.work_on, 1, 0.0)) >= 1


def test_every_file_of_a_folder_is_heard_also_of_those_that_are_not_whole(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.dcm").touch()
    with closing(Store(tmp_path / "data", "process")) as store, closing(LeaderLock(tmp_path / "lock")) as lock:
        assert heard(watch(folder, store, lock).poll) == 5


def test_every_answer_of_a_destination_is_heard_also_on_several_associations(tmp_path: Path) -> None:
    peer = Peer()
    with outgoing(tmp_path / "out") as out, peer.listen() as port:
        out.job("pacs", kinds=("derived_series",) * 4)
        configuration = destinations(pacs=peer.destination(port, associations=2))
        lane = Lane("pacs", configuration.destinations["pacs"], "CONDYLE", out.database, HandClock(), data=out.folder)
        assert heard(lane.turn) >= 8  # each file is read whole before, and is answered


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path}/node.db")
    Base.metadata.create_all(database)
    yield database
    database.dispose()


def test_care_of_what_is_kept_is_heard_of_each_part(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = PatientRecords(tmp_path / "records")
    for number in range(3):
        records.add(record(who=replace(WHO, patient_id=str(number))))
    assert heard(lambda: records.purge(3600.0)) == 3
    for number in range(4):
        (tmp_path / "instances" / str(number)).mkdir(parents=True)
    retention = Retention(database, tmp_path, 1, lambda: datetime.now(UTC))
    assert heard(retention.remove_due) >= 4
    monkeypatch.setattr("node.receive.store.receipt_import.BATCH_BYTES", 512)
    log = ReceiptLog(tmp_path / "receipts")
    for number in range(20):
        log.append(Noted(time.time(), "looked", "", {"number": number}))
    assert heard(ReceiptImport(tmp_path, database).poll) > 2
