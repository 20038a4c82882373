"""The fast server under attack: broken PDUs by the thousand, silence, slowness, half-open connections."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, MRImageStorage

from node.database.tables import AssociationRow, AuditRow, InstanceRow
from node.network.sop_classes import StorageCommitmentPushModel, Verification
from tests.full_disk import files_of_at_most
from tests.node.receive.harness import (
    ABORT_PDU,
    RELEASE_RQ,
    RawPeer,
    Running,
    associate_rq,
    configuration,
    data_set,
    echo_rq,
    element,
    mr,
    p_data,
    partials,
    pdv,
    process_figures,
    receiver_process,
    store_rq,
    stored_files,
)
from tests.waiting import until

SEED = 20261122
SEQUENCES = 10_000
LIMITS_OF = {"fast": "node.receive.dimse.fast_association", "plain": "node.receive.dimse.plain_server"}
IDLE_THREADS = 8  # main, accept, end of silent ones, import, search, storage commitment, sweep, refusals
WARM_UP = 1_000  # memory, threads and descriptors are compared between two steady states

CONTEXTS = (
    (MRImageStorage, (ExplicitVRLittleEndian,)),
    (MRImageStorage, (DeflatedExplicitVRLittleEndian,)),
    (Verification, (ExplicitVRLittleEndian,)),
    (StorageCommitmentPushModel, (ExplicitVRLittleEndian,)),
)
IMPLICIT_ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)


class Fuzzer:
    """Broken sequences of PDUs, the same for the same seed; each is a list of what is written one after another."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.request = associate_rq(CONTEXTS)
        self.instance = mr(side=8)
        self.content = data_set(self.instance)
        self.command = store_rq(self.instance)
        self.kinds: dict[str, Callable[[], list[bytes]]] = {
            name[1:]: getattr(self, name) for name in sorted(dir(self)) if name.startswith("_") and name[1:2].isalpha()
        }

    def sequence(self) -> tuple[str, list[bytes]]:
        name = self.random.choice(list(self.kinds))
        return name, self.kinds[name]()

    def spoil(self, data: bytes) -> bytes:
        """`data` with a few bytes changed, cut, doubled or put in."""
        spoilt = bytearray(data)
        for _ in range(self.random.randint(1, 6)):
            at = self.random.randrange(len(spoilt)) if spoilt else 0
            match self.random.randrange(4):
                case 0:
                    spoilt[at : at + 1] = bytes([self.random.randrange(256)])
                case 1:
                    del spoilt[at : at + self.random.randint(1, 40)]
                case 2:
                    spoilt[at:at] = self.random.randbytes(self.random.randint(1, 40))
                case 3:
                    spoilt[at : at + 4] = self.random.choice([b"\xff" * 4, bytes(4), b"\x00\x00\x00\x01", b"\x7f" * 4])
        return bytes(spoilt)

    # ---- before there is an association
    def _noise(self) -> list[bytes]:
        return [self.random.randbytes(self.random.randint(1, 4000))]

    def _spoilt_request(self) -> list[bytes]:
        return [self.request[:6] + self.spoil(self.request[6:])]

    def _request_cut_short(self) -> list[bytes]:
        return [self.request[: self.random.randrange(len(self.request))]]

    def _request_that_lies(self) -> list[bytes]:
        length = self.random.choice([0, 1, 67, 68, 70, len(self.request), 0xFFFFFFFF, 2**31, 300_000, 100_000])
        return [struct.pack(">BBL", 1, 0, length) + self.request[6:]]

    def _first_something_else(self) -> list[bytes]:
        return [struct.pack(">BBL", self.random.randrange(256), 0, 4) + bytes(4), self.request]

    def _nothing(self) -> list[bytes]:
        return []

    def _abort_first(self) -> list[bytes]:
        return [ABORT_PDU]

    # ---- inside one
    def _unknown_pdus(self) -> list[bytes]:
        kind, length = self.random.randrange(256), self.random.choice([0, 4, 100, 2**32 - 1])
        return [self.request, struct.pack(">BBL", kind, 0, length) + bytes(min(length, 200))]

    def _second_request(self) -> list[bytes]:
        return [self.request, self.request]

    def _giant_pdu(self) -> list[bytes]:
        return [self.request, struct.pack(">BBL", 4, 0, self.random.choice([131073, 2**24, 2**32 - 1])) + bytes(5000)]

    def _pdv_that_lies(self) -> list[bytes]:
        length = self.random.choice([0, 1, 2, 5, 2**32 - 1, 2**31, 131072])
        fragment = struct.pack(">LBB", length, self.random.choice([1, 3, 5, 7, 0, 2, 255]), self.random.randrange(256))
        return [self.request, p_data(fragment + self.random.randbytes(self.random.randint(0, 60)))]

    def _many_empty_pdvs(self) -> list[bytes]:
        return [self.request, p_data(*[pdv(b"", self.random.choice([0, 1]))] * self.random.randint(1, 3000))]

    def _spoilt_command(self) -> list[bytes]:
        return [self.request, p_data(pdv(self.spoil(self.command), 3)), p_data(pdv(self.content, 2))]

    def _spoilt_data(self) -> list[bytes]:
        return [self.request, p_data(pdv(self.command, 3)), p_data(pdv(self.spoil(self.content), 2)), RELEASE_RQ]

    def _data_cut_short(self) -> list[bytes]:
        cut = self.content[: self.random.randrange(len(self.content))]
        return [self.request, p_data(pdv(self.command, 3), pdv(cut, 2)), RELEASE_RQ]

    def _data_without_command(self) -> list[bytes]:
        return [self.request, p_data(pdv(self.content, self.random.choice([0, 2])))]

    def _command_in_a_command(self) -> list[bytes]:
        return [self.request, p_data(pdv(self.command, 3)), p_data(pdv(self.command, self.random.choice([1, 3])))]

    def _interleaved(self) -> list[bytes]:
        middle = len(self.content) // 2
        pieces = [
            pdv(self.command, 3, 1),
            pdv(self.content[:middle], 0, 1),
            pdv(self.command, 3, 3),
            pdv(self.content[middle:], 2, 1),
            pdv(self.content, 2, 3),
            pdv(echo_rq(), 3, 5),
        ]
        self.random.shuffle(pieces)
        return [self.request, p_data(*pieces)]

    def _endless_command(self) -> list[bytes]:
        return [self.request, *[p_data(pdv(bytes(30_000), 1))] * 3]

    def _release_in_the_middle(self) -> list[bytes]:
        return [self.request, p_data(pdv(self.command, 3)), RELEASE_RQ]

    def _abort_anywhere(self) -> list[bytes]:
        whole = [
            self.request,
            p_data(pdv(self.command[:20], 1)),
            p_data(pdv(self.command[20:], 3)),
            p_data(pdv(self.content[:100], 0)),
            p_data(pdv(self.content[100:], 2)),
        ]
        return [*whole[: self.random.randrange(len(whole) + 1)], ABORT_PDU]

    def _cut_anywhere(self) -> list[bytes]:
        whole = self.request + p_data(pdv(self.command, 3)) + p_data(pdv(self.content, 2)) + RELEASE_RQ
        return [whole[: self.random.randrange(len(whole))]]

    def _byte_by_byte(self) -> list[bytes]:
        echo = p_data(pdv(echo_rq(), 3, 5))
        return [self.request, *(echo[i : i + 1] for i in range(len(echo))), RELEASE_RQ]

    def _other_services(self) -> list[bytes]:
        field = struct.pack("<H", self.random.choice([0x20, 0x21, 0x10, 0xFFF, 0x8001, 0x100, 0x130, 0x150, 0xABCD]))
        command = element(0x0002, MRImageStorage.encode()) + element(0x0100, field) + element(0x0110, b"\1\0")
        command += element(0x0800, self.random.choice([b"\x01\x01", b"\x00\x00"]))
        context = self.random.choice([1, 5, 7])
        return [self.request, p_data(pdv(command, 3, context), pdv(self.spoil(self.content), 2, context))]

    def _spoilt_echo(self) -> list[bytes]:
        return [self.request, p_data(pdv(self.spoil(echo_rq()), 3, 5)), RELEASE_RQ]

    def _nested(self) -> list[bytes]:
        level = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + IMPLICIT_ITEM
        deep = self.content[:60] + level * self.random.choice([10, 200, 6000])
        return [self.request, p_data(pdv(self.command, 3)), p_data(pdv(deep[:120_000], 2)), RELEASE_RQ]

    def _bomb(self) -> list[bytes]:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = deflate.compress(self.content[:60] + bytes(2**20)) + deflate.flush()
        return [self.request, p_data(pdv(self.command, 3, 3)), p_data(pdv(packed, 2, 3)), RELEASE_RQ]

    def _spoilt_everything(self) -> list[bytes]:
        whole = self.request + p_data(pdv(self.command, 3)) + p_data(pdv(self.content, 2)) + RELEASE_RQ
        return [self.spoil(whole)]


def attack(port: int, sequence: list[bytes], how: int) -> int:
    """Write a sequence; end it by half-closing, closing or resetting. How many bytes came back."""
    came = 0
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for part in sequence:
                sock.sendall(part)
            if how == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif how > 1:
                with contextlib.suppress(OSError):  # it is closed already
                    sock.shutdown(socket.SHUT_WR)
                while data := sock.recv(65536):
                    came += len(data)
        except ConnectionError:
            pass  # a timeout is not one: the receiver must answer or close
    return came


def echo(port: int) -> int:
    """Status of a C-ECHO."""
    with RawPeer(port) as peer:
        assert peer.associate(contexts=((Verification, (ExplicitVRLittleEndian,)),)) == 2
        peer.send(p_data(pdv(echo_rq(), 3)))
        return peer.status()


def settled(pid: int) -> dict[str, int]:
    """The figures of the process once its associations have ended: the least of some, for it opens files in passing."""
    until(lambda: process_figures(pid)["threads"] <= IDLE_THREADS, "the threads of ended associations")
    samples = [process_figures(pid) for _ in range(50)]
    return {name: min(sample[name] for sample in samples) for name in samples[0]}


def test_ten_thousand_broken_sequences_leave_no_trace(tmp_path: Path, tell: Callable[[str], None]) -> None:
    settings = configuration(tmp_path / "data")
    with receiver_process(settings) as process:
        port = settings.receive.dimse.port
        assert echo(port) == 0
        fuzzer = Fuzzer(SEED)
        for _ in range(WARM_UP):
            attack(port, fuzzer.sequence()[1], fuzzer.random.randrange(6))
        before = settled(process.pid)
        kinds: Counter[str] = Counter()
        answered = 0
        for _ in range(SEQUENCES):
            name, sequence = fuzzer.sequence()
            kinds[name] += 1
            answered += attack(port, sequence, fuzzer.random.randrange(6)) > 0
        assert echo(port) == 0
        after = settled(process.pid)
        assert process.poll() is None
    tell(f"fuzzing: {SEQUENCES} sequences of {len(kinds)} kinds, {answered} answered; {before} -> {after}")
    assert min(kinds.values()) > 100, kinds
    assert after["threads"] <= before["threads"]
    assert after["descriptors"] <= before["descriptors"]
    assert after["memory"] <= 1.10 * before["memory"]
    assert partials(settings.node.data) == []
    assert "Traceback" not in (tmp_path / "receiver.log").read_text()
    assert set(stored_files(settings.node.data)) <= {str(fuzzer.instance.SOPInstanceUID)}


def test_two_hundred_silent_connections_keep_nobody_waiting(tmp_path: Path) -> None:
    settings = configuration(tmp_path / "data", dimse={"maximum_associations": 20, "association_timeout_s": 3.0})
    with Running(settings) as running, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(RawPeer(running.port)) for _ in range(200)]
        began = time.monotonic()
        assert echo(running.port) == 0
        assert time.monotonic() - began < settings.receive.dimse.association_timeout_s, "it waited for the silent ones"
        for peer in silent:
            assert peer.is_closed()
        assert echo(running.port) == 0
        until(lambda: not [t for t in threading.enumerate() if t.name.startswith("association")], "their threads")


def test_connections_over_the_waiting_limit_push_out_the_oldest(tmp_path: Path) -> None:
    settings = configuration(tmp_path / "data", dimse={"association_timeout_s": 60.0})
    with Running(settings) as running, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(RawPeer(running.port)) for _ in range(257)]
        assert silent[0].is_closed()
        assert echo(running.port) == 0


@pytest.mark.parametrize("server", ["fast", "plain"])
def test_a_request_sent_byte_by_byte_is_cut(tmp_path: Path, server: str) -> None:
    settings = configuration(tmp_path / "data", dimse={"association_timeout_s": 0.5, "server": server})
    with Running(settings) as running, RawPeer(running.port) as peer:
        request = associate_rq()

        def drip() -> bool:
            try:
                peer.send(request[:1])
            except ConnectionError:
                return True
            return False

        until(drip, "the end of a connection that drips")


@pytest.mark.parametrize("server", ["fast", "plain"])
def test_an_association_that_falls_silent_in_a_pdu_is_cut_and_leaves_no_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr(f"{LIMITS_OF[server]}.PDU_S", 0.5)
    ds = mr()
    settings = configuration(tmp_path / "data", dimse={"server": server})
    with Running(settings) as running, RawPeer(running.port) as peer:
        assert peer.associate() == 2
        peer.send(p_data(pdv(store_rq(ds), 3)) + p_data(pdv(data_set(ds), 0))[:200])
        assert peer.is_closed()
        until(lambda: running.rows(AssociationRow, outcome="cut"), "the record of the cut")
        assert partials(running.data) == []


@pytest.mark.parametrize("server", ["fast", "plain"])
def test_an_instance_that_comes_too_slowly_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setattr(f"{LIMITS_OF[server]}.SLOW_AFTER_S", 0.3)
    ds = mr()
    settings = configuration(tmp_path / "data", dimse={"server": server})
    with Running(settings) as running, RawPeer(running.port) as peer:
        assert peer.associate() == 2
        peer.send(p_data(pdv(store_rq(ds), 3)))

        def drip() -> bool:
            try:
                peer.send(p_data(pdv(b"\x08\x00", 0)))
            except ConnectionError:
                return True
            return False

        until(drip, "the end of a slow sender")
        rows = until(lambda: running.rows(AssociationRow, outcome="cut"), "the record of the cut")
        assert rows[0].reason == "The sender is too slow"
        assert partials(running.data) == []


def test_an_endless_instance_stops_at_the_configured_size(tmp_path: Path) -> None:
    ds = mr()
    settings = configuration(tmp_path / "data", dimse={"maximum_instance_bytes": 2**20})
    with Running(settings) as running, RawPeer(running.port) as peer:
        assert peer.associate() == 2
        peer.send(p_data(pdv(store_rq(ds), 3)))
        content = p_data(pdv(data_set(ds).ljust(60_000, b"\0"), 0))

        def pour() -> bool:
            try:
                peer.send(content)
            except ConnectionError:
                return True
            return False

        until(pour, "the end of an endless instance")
        (row,) = until(lambda: running.rows(AssociationRow, outcome="aborted"), "the record of the abort")
        assert row.reason == "The instance is larger than the node accepts"
        assert partials(running.data) == []
        assert stored_files(running.data) == {}


def test_a_peer_has_its_limit_and_the_node_has_one(tmp_path: Path) -> None:
    peers = {
        "scanner": {"ae_title": "SCANNER", "maximum_associations": 2},
        "router": {"ae_title": "ROUTER", "maximum_associations": 9},
    }
    settings = configuration(tmp_path / "data", dimse={"maximum_associations": 4}, peers=peers)
    with Running(settings) as running, contextlib.ExitStack() as stack:
        peer = [stack.enter_context(RawPeer(running.port)) for _ in range(6)]
        assert [peer[0].associate(), peer[1].associate(), peer[2].associate()] == [2, 2, 3]
        assert [peer[3].associate(calling="ROUTER"), peer[4].associate(calling="ROUTER")] == [2, 2]
        assert peer[5].associate(calling="ROUTER") == 3
        reasons = until(lambda: _reasons(running, 2), "both refusals")
        assert reasons == {"The peer's limit of associations is reached", "The node's limit of associations is reached"}
        peer[0].send(RELEASE_RQ)
        assert peer[0].receive()[0] == 6
        peer[0].socket.close()
        again = stack.enter_context(RawPeer(running.port))

        def let_in() -> bool:
            nonlocal again
            if again.associate(calling="ROUTER") == 2:
                return True
            again = stack.enter_context(RawPeer(running.port))
            return False

        until(let_in, "a place given back")


def _reasons(running: Running, count: int) -> set[str]:
    rows = running.rows(AssociationRow, outcome="refused")
    return {row.reason for row in rows} if len(rows) >= count else set()


def test_an_address_outside_a_peers_networks_is_refused(tmp_path: Path) -> None:
    peers = {"scanner": {"ae_title": "SCANNER", "networks": ["10.0.0.0/8", "2001:db8::/32"]}}
    with Running(configuration(tmp_path / "data", peers=peers)) as running, RawPeer(running.port) as peer:
        assert peer.associate() == 3
        reasons = until(lambda: _reasons(running, 1))
        assert reasons == {"The address is not in the networks of that peer"}


def test_a_calling_title_cannot_write_into_log_or_file(tmp_path: Path) -> None:
    settings = configuration(tmp_path / "data", dimse={"require_known_peer": False})
    with Running(settings) as running, RawPeer(running.port) as peer:
        request = bytearray(associate_rq(calling="X" * 16))
        title = b"A\r\n\x1b[31mERR\\..%s"[:16].ljust(16)
        request[26:42] = title
        peer.send(bytes(request))
        kind, _ = peer.receive()
        if kind == 2:
            ds: Dataset = mr()
            assert peer.store(ds) == 0
            (content,) = stored_files(running.data).values()
            assert b"\x1b" not in content[:400]


def test_disk_below_the_floor_refuses_a_whole_association_and_recovers(tmp_path: Path) -> None:
    with Running(configuration(tmp_path / "data")) as running:
        store = running.receiver.store
        with RawPeer(running.port) as peer:
            assert peer.associate() == 2
            assert peer.store(mr()) == 0
            store.floor_bytes = 2**62
            until(lambda: peer.store(mr()) == 0xA700, "the refusal")
            store.floor_bytes = 0
            until(lambda: store.free_bytes() and not store._was_low, "room again")
            assert peer.store(mr()) == 0xA700  # to the end of this association
        with RawPeer(running.port) as peer:
            assert peer.associate() == 2
            assert peer.store(mr()) == 0
        assert partials(running.data) == []


@pytest.mark.parametrize("server", ["fast", "plain"])
def test_a_full_disk_loses_nothing_that_was_acknowledged_and_keeps_no_association(tmp_path: Path, server: str) -> None:
    limited = {"scanner": {"ae_title": "SCANNER", "maximum_associations": 4}}
    settings = configuration(tmp_path / "data", dimse={"server": server}, peers=limited)
    images = [mr(side=8) for _ in range(12)]
    acknowledged: list[str] = []

    def send(peer: RawPeer, ds: Dataset) -> None:
        status = peer.store(ds)
        assert status in (0, 0xA700)
        if not status:
            acknowledged.append(str(ds.SOPInstanceUID))

    def associated() -> bool:
        with RawPeer(running.port) as peer:
            return peer.associate() == 2

    def all_known() -> bool:
        return set(acknowledged) <= {row.sop_instance_uid for row in running.rows(InstanceRow)}

    with Running(settings) as running, contextlib.ExitStack() as connections:
        peers = [connections.enter_context(RawPeer(running.port)) for _ in range(4)]
        assert [peer.associate() for peer in peers] == [2, 2, 2, 2]
        for ds in images[:6]:
            send(peers[0], ds)
        (journal,) = (running.data / "receipts").glob(f"{running.receiver.store.process}-*.journal")
        # the disk takes images, and of the receipts two and a part of the third
        with files_of_at_most(journal.stat().st_size + 1100):
            for number, ds in enumerate(images[6:11]):
                send(peers[1 + number % 2], ds)
            assert 6 < len(acknowledged) < 11
            for peer in peers:
                peer.socket.close()
            until(associated, "a place for another association")
        with RawPeer(running.port) as peer:
            assert peer.associate() == 2
            send(peer, images[11])
        assert acknowledged[-1] == str(images[11].SOPInstanceUID)
        until(all_known, "the record of all that was acknowledged")
        until(lambda: not running.rows(AssociationRow, outcome="open"), "the ends of the associations")
        (refused,) = running.rows(AuditRow, what="instance not stored")
        assert refused.detail["status"] == "0xA700"


def test_many_senders_at_once_are_all_stored(tmp_path: Path) -> None:
    with Running(configuration(tmp_path / "data", receive={"durability": "power"})) as running:
        sent: list[str] = []

        def sender() -> None:
            with RawPeer(running.port) as peer:
                assert peer.associate() == 2
                for _ in range(20):
                    ds = mr()
                    assert peer.store(ds) == 0
                    sent.append(str(ds.SOPInstanceUID))

        threads = [threading.Thread(target=sender) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(sent) == 160
        assert set(stored_files(running.data)) == set(sent)
        assert partials(running.data) == []
