"""The ways into the store: files that are adopted as they are, and receipts before every success."""

from __future__ import annotations

import os
from pathlib import Path

from node.receive.store.receipt_log import Stored, decode_all
from node.receive.store.store import Store
from tests.node.receive.harness import mr, part10, partials, put


def test_a_part_10_file_is_adopted_as_it_is(store: Store, tmp_path: Path) -> None:
    content = part10(mr())
    name, fd = store.partial()
    os.write(fd, content)
    os.close(fd)
    receipt = store.adopt(store.open("folder"), name)
    assert (store.instances / receipt.relative).read_bytes() == content
    assert partials(tmp_path) == []


def test_receipts_are_written_before_success_in_the_order_of_events(store: Store) -> None:
    ds = mr()
    put(store, ds)
    (segment,) = store.receipts.folder.glob("*.journal")
    entries = list(decode_all(segment.read_bytes()))
    assert [type(entry).__name__ for entry in entries] == ["Opened", "Stored"]
    stored = entries[1]
    assert isinstance(stored, Stored)
    assert (stored.sop_instance_uid, stored.series_instance_uid) == (ds.SOPInstanceUID, ds.SeriesInstanceUID)
