"""What the plain server sees to itself, because pynetdicom does not; the rest is tested with the fast one."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest

from node.database.tables import AssociationRow
from node.network.sop_classes import StorageCommitmentPushModel
from node.receive.dimse import plain_server
from tests.node.receive.harness import RawPeer, Running, configuration, element, p_data, pdv
from tests.waiting import until

N_ACTION = element(0x0100, b"\x30\x01") + element(0x0110, b"\1\0") + element(0x0800, b"\0\0")


@pytest.mark.parametrize("flags", [1, 0], ids=["command", "data"])
def test_a_message_without_end_is_ended_as_its_bytes_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int
) -> None:
    monkeypatch.setattr(plain_server, "WATCH_S", 600.0)  # who looks now and then sees nothing of it
    monkeypatch.setattr(plain_server, "MAXIMUM_MESSAGE", 200_000)
    with Running(configuration(tmp_path / "data", dimse={"server": "plain"})) as running:
        with RawPeer(running.port) as peer:
            assert peer.associate(contexts=[(StorageCommitmentPushModel, ["1.2.840.10008.1.2"])]) == 2
            if not flags:
                peer.send(p_data(pdv(element(0, struct.pack("<L", len(N_ACTION))) + N_ACTION, 3)))
            with contextlib.suppress(ConnectionError):  # it is told while it sends
                for _ in range(20):
                    peer.send(p_data(pdv(bytes(16_000), flags)))
            (row,) = until(lambda: running.rows(AssociationRow, outcome="cut"), "the record")
        assert row.reason == "Message too long"
