"""Receipts: a line is whole or is none, and the lock on a file says whether its process lives."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from node.receive.store.receipt_log import (
    LONGEST_LINE,
    Closed,
    Entry,
    Failed,
    Finished,
    Noted,
    Opened,
    ReceiptLog,
    Refused,
    Stored,
    Synced,
    decode,
    decode_all,
    encode,
    is_abandoned,
)
from tests.full_disk import files_of_at_most

ENTRIES: list[Entry] = [
    Opened("p-1", "dimse", "SCANNER", "CONDYLE", "10.2.0.7", 1.5),
    Refused("p-2", "dimse", "STRÄNGER", "CONDYLE", "10.2.0.8", 2.5, "not known"),
    Stored("p-1", "1.2", "1.3", "1.4", "1.5", "MR", "1.6", "a/b.dcm", 512, 3.5, True, 20, changed=True),
    Failed("p-1", "1.7", 0xA700, "The disk is full", 4.5),
    Closed("p-1", 5.5, "released", "", 1, 1),
    Synced("1.2"),
    Noted(6.5, "disk low", "", {"free_bytes": 7}),
    Finished(),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_an_entry_is_read_back_as_it_was(entry: Entry) -> None:
    line = encode(entry)
    assert line.endswith(b"\n")
    assert line.isascii()
    assert decode(line.rstrip(b"\n")) == entry


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
def test_a_line_that_is_cut_short_or_damaged_is_no_entry(entry: Entry) -> None:
    line = encode(entry).rstrip(b"\n")
    assert all(decode(line[:length]) is None for length in range(len(line)))
    middle = len(line) // 2
    assert decode(line[:middle] + bytes([line[middle] ^ 1]) + line[middle + 1 :]) is None


def test_what_was_appended_is_there_in_its_order_and_the_file_is_its_process_s(tmp_path: Path) -> None:
    receipts = ReceiptLog(tmp_path)
    for entry in ENTRIES[:-1]:
        receipts.append(entry)
    (segment,) = tmp_path.iterdir()
    assert segment.name.startswith(receipts.process)
    assert list(decode_all(segment.read_bytes())) == ENTRIES[:-1]
    assert not is_abandoned(segment)
    receipts.close()
    assert is_abandoned(segment)
    assert list(decode_all(segment.read_bytes())) == ENTRIES  # the last line says that no more will come


def test_no_line_is_longer_than_whoever_reads_it_expects(tmp_path: Path) -> None:
    receipts = ReceiptLog(tmp_path)
    receipts.record(Noted(1.5, "files", "", {"names": ["\U0001f9e0" * 100] * 1000}))
    brains = "\U0001f9e0" * 100_000
    receipts.append(Opened("p-1", "dimse", brains, brains, brains, 2.5, "x" * 300_000))
    (path,) = tmp_path.iterdir()
    receipts.close()
    lines = path.read_bytes().splitlines(keepends=True)
    assert max(map(len, lines)) <= LONGEST_LINE
    noted, opened, finished = decode_all(b"".join(lines))
    assert isinstance(noted, Noted)
    assert noted.what == "files"
    assert isinstance(opened, Opened)
    assert (opened.at, opened.contexts_refused[:3], opened.contexts_refused[-1]) == (2.5, "xxx", "…")
    assert finished == Finished()


def test_a_file_that_is_gone_is_abandoned(tmp_path: Path) -> None:
    assert is_abandoned(tmp_path / "none.journal")


def test_a_full_file_is_finished_and_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.receive.store.receipt_log.MAXIMUM_SEGMENT", 60)
    receipts = ReceiptLog(tmp_path)
    receipts.append(ENTRIES[2])
    receipts.append(ENTRIES[5])
    receipts.close()
    first, second = sorted(tmp_path.iterdir())
    assert list(decode_all(first.read_bytes())) == [ENTRIES[2], Finished()]
    assert list(decode_all(second.read_bytes())) == [ENTRIES[5], Finished()]


def fails(*_: Any, **__: Any) -> int:
    raise OSError(errno.EIO, "of the disk")


@pytest.mark.parametrize("can_be_cut", [True, False], ids=["cut off", "not cut off"])
def test_what_the_disk_takes_in_part_is_no_entry_and_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_be_cut: bool
) -> None:
    receipts = ReceiptLog(tmp_path)
    receipts.append(ENTRIES[0])
    (segment,) = tmp_path.iterdir()
    if not can_be_cut:
        monkeypatch.setattr(os, "ftruncate", fails)
    for _ in range(2):
        with files_of_at_most(segment.stat().st_size + 20), pytest.raises(OSError, match="too large"):
            receipts.append(ENTRIES[2])
    if can_be_cut:
        assert segment.read_bytes() == encode(ENTRIES[0])
    receipts.append(ENTRIES[3])
    receipts.close()
    assert list(decode_all(segment.read_bytes())) == [ENTRIES[0], ENTRIES[3], Finished()]


def test_what_nobody_waits_for_is_written_when_there_is_room_before_what_comes_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.receive.store.receipt_log.MAXIMUM_WAITING", 2)
    receipts = ReceiptLog(tmp_path)
    with files_of_at_most(20):
        for entry in (ENTRIES[0], ENTRIES[3], ENTRIES[6]):
            receipts.record(entry)
        with pytest.raises(OSError, match="too large"):
            receipts.append(ENTRIES[2])  # its sender is told so
        with pytest.raises(OSError, match="too large"):
            receipts.catch_up()
    (segment,) = tmp_path.iterdir()
    assert segment.read_bytes() == b""
    receipts.append(ENTRIES[2])
    receipts.catch_up()
    assert list(decode_all(segment.read_bytes())) == [ENTRIES[0], ENTRIES[3], ENTRIES[2]]
    told = [(record.message, getattr(record, "lost", None)) for record in caplog.records]
    assert told == [("records wait for the disk", None), ("records are written again", 1)]


def test_a_log_that_ends_on_a_full_disk_is_like_that_of_a_process_that_died(tmp_path: Path) -> None:
    receipts = ReceiptLog(tmp_path)
    receipts.append(ENTRIES[0])
    (segment,) = tmp_path.iterdir()
    with files_of_at_most(segment.stat().st_size):
        receipts.record(ENTRIES[4])
        receipts.close()
    assert list(decode_all(segment.read_bytes())) == ENTRIES[:1]
    assert is_abandoned(segment)


@pytest.mark.parametrize("what", ["open", "fsync"])
def test_where_no_new_file_can_be_begun_the_old_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("node.receive.store.receipt_log.MAXIMUM_SEGMENT", 60)
    receipts = ReceiptLog(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, what, fails)
        receipts.append(ENTRIES[2])
        receipts.append(ENTRIES[5])
    (segment,) = tmp_path.iterdir()
    receipts.append(ENTRIES[3])
    receipts.close()
    assert list(decode_all(segment.read_bytes())) == [ENTRIES[2], ENTRIES[5], ENTRIES[3], Finished()]
    _, second = sorted(tmp_path.iterdir())
    assert list(decode_all(second.read_bytes())) == [Finished()]
