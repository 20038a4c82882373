"""Durability `power`: nothing is promised before it is flushed, and those who wait share a flush."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from node.receive.status import NotStored, Status
from node.receive.store.receipt_log import ReceiptLog
from node.receive.store.store import Store
from tests.node.receive.harness import mr, put, stored_files


def test_with_power_nothing_is_promised_before_file_folder_and_receipt_are_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = os.fsync

    def noted(fd: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    with contextlib.closing(Store(tmp_path, "power")) as store:
        monkeypatch.setattr(os, "fsync", noted)
        path = store.instances / put(store, mr()).relative
        names = [Path(name) for name in flushed]
        assert names[0].parent == store.spool  # the data before it gets its name
        assert path.parent in names[1:]
        assert names[-1].parent == store.receipts.folder


def test_a_failed_flush_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Store(tmp_path, "power")) as store:
        put(store, mr())

        def broken(_: ReceiptLog) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(ReceiptLog, "sync", broken)
            with pytest.raises(NotStored) as caught:
                put(store, mr())
        assert caught.value.status == Status.OUT_OF_RESOURCES
        put(store, mr())  # the next group is a new one


def test_a_group_of_associations_shares_its_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one flush runs, all that arrive wait for the next one together."""
    with contextlib.closing(Store(tmp_path, "power")) as store:
        put(store, mr())
        real, entered, go_on, calls = ReceiptLog.sync, threading.Event(), threading.Event(), []

        def slow(receipts: ReceiptLog) -> None:
            calls.append(1)
            entered.set()
            assert go_on.wait(20)
            real(receipts)

        monkeypatch.setattr(ReceiptLog, "sync", slow)
        first = threading.Thread(target=put, args=(store, mr()))
        first.start()
        assert entered.wait(20)
        others = [threading.Thread(target=put, args=(store, mr())) for _ in range(6)]
        for thread in others:
            thread.start()
        group = store._group_commit
        while len(stored_files(tmp_path)) < 8 or len(group._gathering.folders) < 1:
            assert len(calls) == 1
        go_on.set()
        for thread in (first, *others):
            thread.join()
        assert 2 <= len(calls) <= 4
