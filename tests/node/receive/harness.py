"""What the tests of reception share: instances made on the spot, a running receiver, a peer that speaks raw PDUs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from pynetdicom import AE, build_context
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.config import Configuration
from node.database.connection import Database, open_database
from node.database.tables import Base
from node.demo.orthanc_process import free_port
from node.receive.receiver import Receiver
from node.receive.store.store import Store

ROOT = Path(__file__).parents[3]
DEADLINE_S = 20.0


def mr(study: str = "", series: str = "", number: int = 1, side: int = 16, **elements: Any) -> Dataset:
    """A small MR instance with asymmetric pixels."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = generate_uid()
    ds.StudyDate, ds.StudyTime, ds.Modality = "20260101", "101010", "MR"
    ds.PatientName, ds.PatientID = "Test^Reception", "R1"
    ds.StudyInstanceUID = study or generate_uid()
    ds.SeriesInstanceUID = series or generate_uid()
    ds.InstanceNumber = number
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = side
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = bytes((number + i) % 251 for i in range(2 * side * side))
    ds["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def part10(ds: Dataset) -> bytes:
    """The instance as a file."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def put(store: Store, ds: Any, piece: int = 500, content: bytes = b"") -> Any:
    """Store `ds`, or what is sent in its name, as C-STORE does, in pieces of so many bytes."""
    arrival = store.open("dimse", "SCANNER", "CONDYLE", "127.0.0.1")
    incoming = store.begin(arrival, str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.file_meta.TransferSyntaxUID))
    content = content or data_set(ds)
    for start in range(0, len(content), piece):
        incoming.write(content[start : start + piece])
    return incoming.commit()


def data_set(ds: Dataset) -> bytes:
    """The instance as it travels: without preamble and file meta."""
    syntax = ds.file_meta.TransferSyntaxUID
    encoded = encode(ds, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    assert encoded is not None
    return encoded


def configuration(data: Path, **changes: Any) -> Configuration:
    """A node on loopback that knows the peer SCANNER; `dimse` and `receive` take changes, `peers` replaces."""
    dimse = {"host": "127.0.0.1", "port": free_port(), **changes.get("dimse", {})}
    receive = {"durability": "process", "disk_floor_mb": 1, **changes.get("receive", {}), "dimse": dimse}
    peers = changes.get("peers", {"scanner": {"ae_title": "SCANNER", "networks": ["127.0.0.0/8"]}})
    return Configuration.model_validate({"node": {"data": str(data)}, "receive": receive, "peers": peers})


class Running:
    """A receiver in this process, with its records."""

    def __init__(self, settings: Configuration) -> None:
        self.settings = settings
        settings.node.data.mkdir(parents=True, exist_ok=True)
        self.database: Database = open_database(settings.node.database_url)
        Base.metadata.create_all(self.database)
        self.receiver = Receiver(settings, self.database)

    def __enter__(self) -> Running:
        self.receiver.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.receiver.__exit__(None, None, None)
        self.database.dispose()

    @property
    def port(self) -> int:
        return self.receiver.server.port

    @property
    def data(self) -> Path:
        return self.settings.node.data

    def rows(self, record: Any, **equal: Any) -> list[Any]:
        with Session(self.database) as session:
            found = session.scalars(select(record).filter_by(**equal)).all()
            session.expunge_all()
        return list(found)


def stored_files(data: Path) -> dict[str, bytes]:
    """SOP Instance UID -> content, of everything under a final name."""
    found = {}
    for path in (data / "instances").rglob("*.dcm"):
        content = path.read_bytes()
        found[str(pydicom.dcmread(io.BytesIO(content), specific_tags=["SOPInstanceUID"]).SOPInstanceUID)] = content
    return found


def partials(data: Path) -> list[Path]:
    return list((data / "spool").iterdir())


@contextlib.contextmanager
def receiver_process(settings: Configuration) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m node.receive`, ready; what is left of it at the end is killed."""
    folder = settings.node.data.parent
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(json.dumps(settings.model_dump(mode="json", exclude_none=True)))
    command = [sys.executable, "-m", "node.receive", str(path)]
    with (folder / "receiver.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(b"ready"), (folder / "receiver.log").read_text()[-2000:]
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def association(
    port: int,
    contexts: Sequence[PresentationContext] = (),
    calling: str = "SCANNER",
    called: str = "CONDYLE",
    **options: Any,
) -> Iterator[Any]:
    """An association as a pynetdicom SCU; released at the end where it is still there."""
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    for context in contexts or (build_context(MRImageStorage), build_context("1.2.840.10008.1.1")):
        assert context.abstract_syntax is not None
        ae.add_requested_context(context.abstract_syntax, context.transfer_syntax)
    assoc = ae.associate("127.0.0.1", port, ae_title=called, **options)
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()
        if assoc.is_alive():
            assoc.join(5)


def process_figures(pid: int) -> dict[str, int]:
    """Threads, open descriptors and resident memory in kB of a process.

    Descriptors of the database are left out: they belong to a pool that grows to its own small limit.
    """
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return {
        "threads": int(status["Threads"]),
        "descriptors": len([name for name in descriptors(pid) if "node.db" not in name]),
        "memory": int(status["VmRSS"].split()[0]),
    }


def descriptors(pid: int) -> list[str]:
    """What each open descriptor of a process stands for."""
    names = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return names


# ---------------------------------------------------------------- raw PDUs


def associate_rq(
    contexts: Sequence[tuple[str, Sequence[str]]] = (
        (MRImageStorage, (ExplicitVRLittleEndian, ImplicitVRLittleEndian)),
    ),
    calling: str = "SCANNER",
    called: str = "CONDYLE",
) -> bytes:
    """An A-ASSOCIATE-RQ with contexts 1, 3, 5, ..."""
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"
    request.calling_ae_title, request.called_ae_title = calling, called
    maximum = MaximumLengthNotification()
    maximum.maximum_length_received = 16384
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.3.4"
    request.user_information = [maximum, implementation]
    proposed = []
    for number, (abstract, syntaxes) in enumerate(contexts):
        context = build_context(abstract, list(syntaxes))
        context.context_id = 2 * number + 1
        proposed.append(context)
    request.presentation_context_definition_list = proposed
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(request)
    return bytes(pdu.encode())


def element(number: int, value: bytes) -> bytes:
    """One element of a command set."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


def store_rq(ds: Dataset, message_id: int = 1, **changes: bytes) -> bytes:
    """The command set of a C-STORE-RQ."""
    command = (
        element(0x0002, changes.get("sop_class", str(ds.SOPClassUID).encode()))
        + element(0x0100, b"\x01\x00")
        + element(0x0110, struct.pack("<H", message_id))
        + element(0x0700, b"\0\0")
        + element(0x0800, changes.get("data_set_type", b"\x00\x00"))
        + element(0x1000, changes.get("sop_instance", str(ds.SOPInstanceUID).encode()))
    )
    return element(0, struct.pack("<L", len(command))) + command


def echo_rq(message_id: int = 1) -> bytes:
    command = (
        element(0x0002, b"1.2.840.10008.1.1")
        + element(0x0100, b"\x30\x00")
        + element(0x0110, struct.pack("<H", message_id))
        + element(0x0800, b"\x01\x01")
    )
    return element(0, struct.pack("<L", len(command))) + command


def pdv(data: bytes, flags: int, context_id: int = 1) -> bytes:
    return struct.pack(">LBB", len(data) + 2, context_id, flags) + data


def p_data(*pdvs: bytes) -> bytes:
    body = b"".join(pdvs)
    return struct.pack(">BBL", 4, 0, len(body)) + body


RELEASE_RQ = struct.pack(">BBLL", 5, 0, 4, 0)
ABORT_PDU = struct.pack(">BBLL", 7, 0, 4, 0)


class RawPeer:
    """A TCP connection to the receiver that sends what it is given."""

    def __init__(self, port: int, timeout_s: float = DEADLINE_S) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *error: Any) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        """Type and body of the next PDU; (0, b"") where the connection is over."""
        head = self._exactly(6)
        if len(head) < 6:
            return 0, b""
        return head[0], self._exactly(struct.unpack(">L", head[2:])[0])

    def associate(self, **options: Any) -> int:
        """Type of the PDU that answers an A-ASSOCIATE-RQ."""
        self.send(associate_rq(**options))
        return self.receive()[0]

    def response(self) -> dict[int, bytes]:
        """The command set of the next message, by element number."""
        kind, body = self.receive()
        assert kind == 4, f"PDU of type {kind}"
        command, values, position = body[6:], {}, 0
        while position < len(command):
            _, number, length = struct.unpack_from("<HHL", command, position)
            values[number] = command[position + 8 : position + 8 + length]
            position += 8 + length
        return values

    def status(self) -> int:
        return int.from_bytes(self.response()[0x0900], "little")

    def store(self, ds: Dataset, message_id: int = 1, piece: int = 8192, **changes: bytes) -> int:
        """C-STORE in one PDV per PDU; the status."""
        content = data_set(ds)
        self.send(p_data(pdv(store_rq(ds, message_id, **changes), 3)))
        for start in range(0, len(content), piece):
            last = start + piece >= len(content)
            self.send(p_data(pdv(content[start : start + piece], 2 if last else 0)))
        return self.status()

    def is_closed(self) -> bool:
        """Whether the other side ends the connection, after whatever it still has to say."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            try:
                part = self.socket.recv(count - len(parts))
            except ConnectionError:
                break
            if not part:
                break
            parts += part
        return bytes(parts)
