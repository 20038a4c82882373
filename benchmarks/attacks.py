"""What attacks cost the node: ``python benchmarks/attacks.py [--only NAME,...] [--scale 1.0]``.

Each attack meets a node of its own, on free ports of this machine, and is bounded in count and time. Its row says what
came of it; the peak memory of the node's parent, which records, decides, sends and serves the page, and of the largest
of its other processes; the longest time that `/health/live` took meanwhile; and how long a good image then took from
C-STORE to its record. The last is what matters: the parent's memory stays near that of a node at rest, 185 MB, and a
good image is recorded at once.

`--scale` makes the attacks smaller or larger; 1 is what once took gigabytes or minutes.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a node and its peers are the tests'

from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from sqlalchemy import select

from node.database.tables import InstanceRow
from node.demo.orthanc_process import free_port
from node.network.sop_classes import StorageCommitmentPushModel
from tests.node.receive.harness import RawPeer, data_set, mr, part10
from tests.running import SENDER, RunningNode
from tests.waiting import until

ROUTE = {"level": "study", "pipeline": "knee_oa_risk"}  # reads no pixels
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"  # PS3.4 J.3.5
WATCH_S = 15.0  # how long a node is watched: it decides a few seconds after the last image


class Node(RunningNode):
    """A node with every way in."""

    def __init__(self, folder: Path) -> None:
        self.mllp = free_port()
        (folder / "inbox").mkdir()
        super().__init__(
            folder,
            receive={"watched_folders": [{"path": "inbox"}]},
            routes={"knees": {**ROUTE, "when": {"SeriesDescription": "knee*"}, "destinations": ["results"]}},
            destinations={"results": {"kind": "folder", "path": "results"}},
            records={"mllp": {"port": self.mllp, "networks": ["127.0.0.0/8"]}},
        )

    def post(self, path: str, body: bytes, **headers: str) -> str:
        """How it answers."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.page}{path}", body, names)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.status)
        except urllib.error.HTTPError as error:
            return str(error.code)
        except OSError as error:
            return type(error).__name__

    def stow(self, file: bytes, **headers: str) -> str:
        """Send one instance by STOW-RS."""
        body = b"--B\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n--B--\r\n"
        related = 'multipart/related; type="application/dicom"; boundary=B'
        return self.post("/dicom-web/studies", body, Content_Type=related, **headers)


# ---- the attacks; each returns what came of it
def deflated(node: Node, scale: float) -> str:
    """A small object that inflates to 1.5 GB."""
    ds = mr(SeriesDescription="knee")
    body, size = data_set(ds), int(1500 * scale)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = [deflate.compress(body + struct.pack("<HH2sHL", 0x7FE1, 0x0010, b"OB", 0, size << 20))]
    packed += [deflate.compress(bytes(1 << 20)) for _ in range(size)] + [deflate.flush()]
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = part10(ds)
    meta = file[: 144 + struct.unpack("<L", file[140:144])[0]]  # PS3.10 7.1: up to where the group length says
    return "stored: " + node.stow(meta + b"".join(packed))


def empty_items(node: Node, scale: float) -> str:
    """400,000 functional groups of 8 bytes each."""
    ds = mr(SeriesDescription="knee")
    del ds.PixelData
    groups = b"\xfe\xff\x00\xe0\0\0\0\0" * int(400_000 * scale)
    sequence = struct.pack("<HH2sHL", 0x5200, 0x9230, b"SQ", 0, len(groups)) + groups
    return "stored: " + node.stow(part10(ds) + sequence)


def repetitions(node: Node, scale: float) -> str:
    """One HL7 field of 2,000,000 repetitions."""
    message = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A08|1|P|2.5\rPID|1||H1" + b"~a" * int(2_000_000 * scale) + b"\r"
    with socket.create_connection(("127.0.0.1", node.mllp), timeout=60) as peer:
        try:
            peer.sendall(b"\x0b" + message + b"\x1c\r")
            return peer.recv(4096).decode("latin-1").split("MSA|")[-1].strip("\r\x1c")[:40]
        except OSError as error:
            return type(error).__name__


def held(node: Node, port: int, count: int, opening: bytes) -> str:
    """So many connections that say nothing more; how many of them the node has closed after a while."""
    with ExitStack() as stack:
        peers = []
        for _ in range(count):
            try:
                peers.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=2)))
                peers[-1].sendall(opening)
            except OSError:
                continue
        image = recorded(node)
        time.sleep(WATCH_S)
        closed = count - sum(is_open(peer) for peer in peers)
    return f"{closed} of {count} closed; an image meanwhile {image}"


def is_open(peer: socket.socket) -> bool:
    """Whether the other side still holds it."""
    peer.setblocking(False)
    try:
        while data := peer.recv(65536):
            del data
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def half_headers(node: Node, scale: float) -> str:
    """1,100 HTTP requests that never end their headers."""
    return held(node, node.page, int(1100 * scale), b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")


def half_messages(node: Node, scale: float) -> str:
    """600 HL7 messages of 60 kB that never end."""
    return held(node, node.mllp, int(600 * scale), b"\x0bMSH|" + b"a" * 60_000)


def silent(node: Node, scale: float) -> str:
    """1,500 connections to the DICOM port that request nothing."""
    return held(node, node.port, int(1500 * scale), b"")


def strangers(node: Node, scale: float) -> str:
    """5,000 associations of an unknown AE title."""
    data, count = node.folder / "data", int(5000 * scale)
    before = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
    for _ in range(count):
        with RawPeer(node.port) as peer:
            peer.associate(calling="STRANGER")
    grown = sum(file.stat().st_size for file in data.rglob("*") if file.is_file()) - before
    return f"{count} refused; the data folder grew by {grown / count:.0f} bytes each"


def references(node: Node, scale: float) -> str:
    """One request for storage commitment that names the same image 50,000 times."""
    image, request = mr(), Dataset()
    node.send([image])
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    request.TransactionUID, request.ReferencedSOPSequence = generate_uid(), [item] * int(50_000 * scale)
    ae = AE(SENDER)
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.dimse_timeout = ae.network_timeout = 120
    association = ae.associate("127.0.0.1", node.port, ae_title="CONDYLE")
    start = time.monotonic()
    status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, COMMITMENT_INSTANCE)
    association.release()
    answer = f"0x{status.Status:04x}" if "Status" in status else "none"
    return f"answer {answer} after {time.monotonic() - start:.1f} s"


def packed_body(node: Node, scale: float) -> str:
    """A gzip body of one megabyte that unpacks to a gigabyte."""
    body = gzip.compress(bytes(int(1000 * scale) << 20), 9)
    return "stow " + node.post(
        "/dicom-web/studies", body, Content_Type="multipart/related; boundary=B", Content_Encoding="gzip"
    )


def bundle(node: Node, scale: float) -> str:
    """A FHIR bundle of 24 MB of empty entries."""
    body = b'{"resourceType":"Bundle","type":"collection","entry":[' + b"{}," * int(8_000_000 * scale) + b"{}]}"
    return node.post("/fhir", body, Content_Type="application/fhir+json")


ATTACKS: dict[str, Callable[[Node, float], str]] = {
    "deflated": deflated,
    "empty-items": empty_items,
    "repetitions": repetitions,
    "bundle": bundle,
    "packed-body": packed_body,
    "half-headers": half_headers,
    "half-messages": half_messages,
    "silent": silent,
    "strangers": strangers,
    "references": references,
}


# ---- what is measured
def recorded(node: Node) -> str:
    """Seconds from the C-STORE of a good image to its record, or that there was none."""
    image, start = mr(), time.monotonic()
    query = select(InstanceRow.sop_instance_uid).where(InstanceRow.sop_instance_uid == image.SOPInstanceUID)
    try:
        if node.send([image]) != [0]:
            return "refused"
        until(lambda: node.all(query), "the image is recorded", 30)
    except AssertionError:
        return "not recorded"
    return f"{time.monotonic() - start:.1f} s"


class Watch:
    """Samples the memory of a node's processes and the time of `/health/live`, until it is told to stop."""

    def __init__(self, node: Node) -> None:
        self.parent_mb = self.other_mb = 0
        self.live_s = 0.0
        self._node = node
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._often, args=(one,)) for one in (self._memory, self._live)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Nothing is sampled after this."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _often(self, sample: Callable[[], None]) -> None:
        while not self._over.wait(0.1):
            sample()

    def _memory(self) -> None:
        self.parent_mb = max(self.parent_mb, peak_mb(self._node.pid))
        self.other_mb = max([self.other_mb, *(peak_mb(pid) for pid in self._node.descendants())])

    def _live(self) -> None:
        start = time.monotonic()
        with suppress(OSError, http.client.HTTPException):
            urllib.request.urlopen(f"http://127.0.0.1:{self._node.page}/health/live", timeout=30).close()
        self.live_s = max(self.live_s, time.monotonic() - start)


def peak_mb(pid: int) -> int:
    """The most resident memory that a process has had; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def attacked(name: str, scale: float) -> str:
    """The row of one attack."""
    attack = ATTACKS[name]
    with tempfile.TemporaryDirectory() as folder, (node := Node(Path(folder))):
        until(lambda: recorded(node), "the node takes images")
        watch = Watch(node)
        start = time.monotonic()
        try:
            outcome = attack(node, scale)
            took = time.monotonic() - start
            good = recorded(node)
            time.sleep(max(0.0, WATCH_S - (time.monotonic() - start)))
        finally:
            watch.stop()
        row = (
            f"| {name} | {outcome} | {took:.1f} | {watch.parent_mb} | {watch.other_mb} | {watch.live_s:.2f} | {good} |"
        )
        with suppress(subprocess.TimeoutExpired):
            node.stop()
            return row
        return row + " did not end by itself |"


def main() -> None:
    """Attack, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--only", help=f"of {', '.join(ATTACKS)}; separated by commas")
    arguments.add_argument("--scale", type=float, default=1.0, help="of counts and sizes")
    chosen = arguments.parse_args()
    print("| attack | outcome | took, s | parent, MB | others, MB | /health/live, s | a good image |")
    print("|---|---|---|---|---|---|---|")
    for name in chosen.only.split(",") if chosen.only else ATTACKS:
        print(attacked(name, chosen.scale), flush=True)


if __name__ == "__main__":
    main()
