"""An Orthanc's change feed, followed on a real Orthanc."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.config import OrthancFeed
from node.database.tables import AssociationRow, InstanceRow
from node.demo.orthanc_process import free_port
from node.errors import PeerUnavailable
from node.receive.orthanc_feed import FeedFollower
from node.receive.store.locks import LeaderLock
from node.receive.store.receipt_log import Failed, decode_all
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
