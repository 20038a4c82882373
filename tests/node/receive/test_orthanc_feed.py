"""An Orthanc's change feed, followed on a real Orthanc."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from node.config import OrthancFeed
from node.database.states import AssociationOutcome
from node.database.tables import AssociationRow, InstanceRow
from node.demo.orthanc_process import free_port
from node.errors import PeerUnavailable
from node.receive.orthanc_feed import FeedFollower
from node.receive.store.locks import LeaderLock
from node.receive.store.receipt_log import Closed, Failed, decode_all
from node.receive.store.store import Store
from tests.node.receive.harness import Running, configuration, mr, part10, partials, stored_files
from tests.orthanc import Archive
from tests.waiting import until

pytestmark = pytest.mark.orthanc


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(tmp_path / "data", "process")) as store:
        yield store


@pytest.fixture
def leader_lock(tmp_path: Path) -> Iterator[LeaderLock]:
    with contextlib.closing(LeaderLock(tmp_path / "leader_lock")) as leader_lock:
        yield leader_lock


def follow(feed: FeedFollower) -> None:
    while feed.poll():
        pass


def test_what_comes_after_the_first_look_is_fetched_to_the_byte(
    orthanc: Archive, store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    orthanc.upload(part10(mr()))  # before the node knew the server: not ours to fetch
    feed = FeedFollower("pacs", OrthancFeed(url=orthanc.url), store, leader_lock)
    follow(feed)
    assert stored_files(tmp_path / "data") == {}
    files = [part10(mr(number=number)) for number in range(3)]
    identifiers = [orthanc.upload(content) for content in files]
    follow(feed)
    stored = stored_files(tmp_path / "data")
    assert sorted(stored.values()) == sorted(orthanc.download(identifier) for identifier in identifiers)
    later = FeedFollower("pacs", OrthancFeed(url=orthanc.url), store, leader_lock)  # as after a restart
    orthanc.upload(part10(mr()))
    follow(later)
    assert len(stored_files(tmp_path / "data")) == 4
    assert partials(tmp_path / "data") == []


def test_a_server_that_is_away_or_was_made_anew_is_followed_again(
    orthanc: Archive, store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    away = FeedFollower("away", OrthancFeed(url=f"http://127.0.0.1:{free_port()}"), store, leader_lock)
    with pytest.raises(PeerUnavailable):
        away.poll()
    feed = FeedFollower("pacs", OrthancFeed(url=orthanc.url), store, leader_lock)
    follow(feed)
    memory = tmp_path / "data" / "receipts" / "feed-pacs.json"
    memory.write_text(json.dumps({"last": 10**9}))  # as if the server's database had been larger before
    orthanc.upload(part10(mr()))
    follow(feed)
    assert len(stored_files(tmp_path / "data")) >= 1
    assert json.loads(memory.read_text())["last"] < 10**9


def test_a_full_disk_here_skips_nothing_there(
    orthanc: Archive, store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    feed = FeedFollower("pacs", OrthancFeed(url=orthanc.url), store, leader_lock)
    follow(feed)
    orthanc.upload(part10(mr()))
    store.floor_bytes, store._space_checked = 2**62, float("-inf")
    with pytest.raises(PeerUnavailable, match="disk is full"):
        follow(feed)
    store.floor_bytes, store._space_checked = 0, float("-inf")
    follow(feed)
    assert len(stored_files(tmp_path / "data")) == 1


def test_a_receiver_follows_its_feeds(orthanc: Archive, tmp_path: Path) -> None:
    feeds = {"pacs": {"url": orthanc.url, "poll_s": 0.1}}
    with Running(configuration(tmp_path / "data", receive={"orthanc_feeds": feeds})) as running:
        memory = running.data / "receipts" / "feed-pacs.json"
        until(memory.exists, "the first look")
        orthanc.upload(part10(mr()))
        until(lambda: running.rows(InstanceRow), "the instance of the feed")
        rows = until(lambda: running.rows(AssociationRow, outcome="released"), "the record of the fetch")
        assert (rows[0].way, rows[0].peer_address, rows[0].stored) == ("orthanc", "pacs", 1)


def test_another_patient_under_a_known_uid_is_passed_over_and_on_record(
    orthanc: Archive, store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    feed = FeedFollower("pacs", OrthancFeed(url=orthanc.url), store, leader_lock)
    follow(feed)
    ds = mr()
    first = orthanc.download(orthanc.upload(part10(ds)))
    ds.PatientID = "OTHER"
    orthanc.upload(part10(ds))  # two instances there
    follow(feed)
    assert list(stored_files(tmp_path / "data").values()) == [first]
    (journal,) = store.receipts.folder.glob("*.journal")
    assert [entry.status for entry in decode_all(journal.read_bytes()) if isinstance(entry, Failed)] == [0xC002]


@contextlib.contextmanager
def serving(answers: list[Callable[[socket.socket], None]], asked: list[bytes] | None = None) -> Iterator[str]:
    """The URL of a server that gives one answer to each connection, in turn, and keeps what it was `asked`."""

    def serve() -> None:
        for answer in answers:
            connection, _ = server.accept()
            with connection:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += connection.recv(65536)
                if asked is not None:
                    asked.append(request)
                answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def whole(body: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def says(last: int, *changes: object) -> Callable[[socket.socket], None]:
    return whole(json.dumps({"Last": last, "Changes": changes, "Done": True}).encode())


NEW = {"ID": "a-1", "ChangeType": "NewInstance"}


def half(content: bytes, then: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """The answer of a server that sends half of the content."""

    def answer(connection: socket.socket) -> None:
        head = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
        connection.sendall(head + content[: len(content) // 2])
        then(connection)

    return answer


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def stall(connection: socket.socket) -> None:
    connection.recv(1)  # until the node has had enough


@pytest.mark.parametrize("then", [lambda _: None, reset, stall], ids=["cut", "reset", "stall"])
def test_what_did_not_come_whole_is_fetched_again(
    then: Callable[[socket.socket], None],
    store: Store,
    leader_lock: LeaderLock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.receive.orthanc_feed.TIMEOUT_S", 0.5)
    content = part10(mr())
    with serving([says(0), says(1, NEW), half(content, then), says(1, NEW), whole(content)]) as url:
        feed = FeedFollower("pacs", OrthancFeed(url=url), store, leader_lock)
        assert feed.poll()
        with pytest.raises(PeerUnavailable):
            feed.poll()
        assert stored_files(tmp_path / "data") == {}
        assert partials(tmp_path / "data") == []
        feed.poll()
    assert list(stored_files(tmp_path / "data").values()) == [content]


def test_what_the_disk_here_did_not_take_at_the_end_is_fetched_again(
    store: Store, leader_lock: LeaderLock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(*_: object) -> None:
        raise OSError(errno.EIO, "of the disk")

    content = part10(mr())
    with serving([says(0), *2 * [says(1, NEW), whole(content)]]) as url:
        feed = FeedFollower("pacs", OrthancFeed(url=url), store, leader_lock)
        feed.poll()
        with monkeypatch.context() as patch:
            patch.setattr(store, "header_of", spoilt)
            with pytest.raises(PeerUnavailable, match="cannot write to its disk"):
                feed.poll()
        feed.poll()
    assert list(stored_files(tmp_path / "data").values()) == [content]


def packed(content: bytes) -> Callable[[socket.socket], None]:
    """The answer of a proxy that says that it packs, and does not."""
    head = b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content)
    return lambda connection: connection.sendall(head + content)


def test_what_a_proxy_spoilt_is_fetched_again(store: Store, leader_lock: LeaderLock, tmp_path: Path) -> None:
    content = part10(mr())
    with serving([says(0), says(1, NEW), packed(content), says(1, NEW), whole(content)]) as url:
        feed = FeedFollower("pacs", OrthancFeed(url=url), store, leader_lock)
        feed.poll()
        with pytest.raises(PeerUnavailable, match="not packed as it says"):
            feed.poll()
        feed.poll()
    assert list(stored_files(tmp_path / "data").values()) == [content]


def test_instances_are_asked_for_as_they_lie_there(store: Store, leader_lock: LeaderLock) -> None:
    asked: list[bytes] = []
    with serving([says(0), says(1, NEW), whole(part10(mr()))], asked) as url:
        feed = FeedFollower("pacs", OrthancFeed(url=url), store, leader_lock)
        feed.poll()
        feed.poll()
    assert [re.findall(rb"(?im)^accept-encoding: (.*)\r", request) for request in asked] == [
        [b"gzip"],
        [b"gzip"],
        [b"identity"],
    ]


@pytest.mark.parametrize(
    "error", [OSError(errno.ESTALE, "stale"), OperationalError("SELECT", {}, Exception()), MemoryError()]
)
def test_whatever_ends_the_fetching_closes_what_it_came_by(
    error: Exception, store: Store, leader_lock: LeaderLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(store, "adopt", broken)
    with serving([says(0), says(1, NEW), whole(part10(mr()))]) as url:
        feed = FeedFollower("pacs", OrthancFeed(url=url), store, leader_lock)
        feed.poll()
        with pytest.raises((type(error), PeerUnavailable)):
            feed.poll()
    store.receipts.sync()
    (journal,) = store.receipts.folder.glob("*.journal")
    (closed,) = (entry for entry in decode_all(journal.read_bytes()) if isinstance(entry, Closed))
    assert closed.outcome == AssociationOutcome.LOST


@pytest.mark.parametrize("change", [{}, {"ChangeType": "NewInstance"}, "a-1", 7])
def test_changes_of_another_shape_are_not_orthancs(change: object, store: Store, leader_lock: LeaderLock) -> None:
    with serving([says(0), says(1, change)]) as url:
        feed = FeedFollower("pacs", OrthancFeed(url=url), store, leader_lock)
        feed.poll()
        with pytest.raises(PeerUnavailable, match="not Orthanc's"):
            feed.poll()


@pytest.mark.parametrize(
    "body",
    [
        b'{"Last": 1, "Changes": [' + b'{"ID": "a", "ChangeType": "NewInstance"},' * 150 + b'{}], "Done": true}',
        b'{"Last": -1, "Changes": [], "Done": false}',
        b'{"Last": 1' + b"0" * 60 + b', "Changes": [], "Done": false}',
        b'{"Last": [], "Changes": {}, "Done": 7}',
        b"[" * 100_000,
    ],
    ids=["many", "negative", "huge", "types", "deep"],
)
def test_a_hostile_feed_is_a_reason_and_moves_nothing(body: bytes, store: Store, leader_lock: LeaderLock) -> None:
    with serving([says(3), whole(body)]) as url:
        feed = FeedFollower("pacs", OrthancFeed(url=url), store, leader_lock)
        feed.poll()
        with pytest.raises(PeerUnavailable, match="not Orthanc's"):
            feed.poll()


def test_a_server_that_has_always_more_and_nothing_new_is_asked_with_a_pause(
    store: Store, leader_lock: LeaderLock
) -> None:
    nothing = whole(b'{"Last": 4, "Changes": [], "Done": false}')
    other = {"ID": "a-1", "ChangeType": "StableSeries"}
    more = whole(json.dumps({"Last": 5, "Changes": [other], "Done": False}).encode())
    with serving([says(3), nothing, more]) as url:
        feed = FeedFollower("pacs", OrthancFeed(url=url, poll_s=1000.0), store, leader_lock)
        assert 0 < feed._work() < 1000.0
        assert feed._work() == 1000.0
        assert 0 < feed._work() < 1000.0


def test_an_instance_that_cannot_be_named_or_read_holds_up_no_other(
    store: Store, leader_lock: LeaderLock, tmp_path: Path
) -> None:
    content = part10(mr())
    odd = {"ID": "../../system", "ChangeType": "NewInstance"}
    with serving([says(0), says(2, odd, NEW), whole(content)]) as url:
        feed = FeedFollower("pacs", OrthancFeed(url=url), store, leader_lock)
        feed.poll()
        assert not feed.poll()
    assert list(stored_files(tmp_path / "data").values()) == [content]
