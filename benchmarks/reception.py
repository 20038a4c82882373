"""C-STORE reception: the node beside the receivers that a site would otherwise use, in turn, in one run.

    python benchmarks/reception.py                          all receivers, both sets, 1, 4 and 8 associations
    python benchmarks/reception.py --only node,storescp --sets mr --associations 8 --rounds 3
    python benchmarks/reception.py --keep results.json      add to what earlier runs kept there, print all of it

Senders are DCMTK's storescu, one process per association, with `--max-send-pdu 131072`. Every run has a fresh receiver
process and an empty store; the receivers take turns within a round, each round begins with another of them, so that a
machine whose speed drifts does not favour one. Time runs from the start of the senders to the end of the last one:
every C-STORE has had its success. After each run the stored instances are counted; the node's receipts in its database
are counted as well.
TCP_NODELAY=1 is set for DCMTK and Orthanc, which would otherwise wait 40 ms an instance for a delayed ACK.

The stores lie in memory (/dev/shm) unless `--stores` names a folder: the receivers are compared, not the disk, and what
a disk that others write to can take varies by a factor of ten. `CPU` is the receiver's own, user and system, per
instance; it moves far less with the load of the machine than the rate does.

The node runs with its whole handler: allow-lists on, UIDs checked against the data set, atomic rename, receipt,
records of instance, series and study. As in `condyle serve`, the recorder runs in the receivers' parent, which is this
program here; what it takes is in the node's CPU. `node` promises what its peers do (a success survives the end of the
process); `node-power` flushes file, folder and receipt before each success, which none of the peers does but Orthanc:
compare the two with `--stores` on a disk.

Findings that the code rests on (instances of 0.5 MB; process time, best of five; py-spy with one association):

- A database transaction per instance takes 331 us of processor time (SQLAlchemy, SQLite); in batches of 100 it is 16 us
  an instance. Receipts are therefore lines in a journal (4 us each) that a recorder reads in batches, and the recorder
  is in the parent process: in a receiver, on a busy machine, it held the interpreter four times as long as the
  association did.
- The header scan takes 13 us and stops at (0020,1209); pydicom takes 878 us for the same five elements.
- Of an association thread's time 58 % is then in `sendall` of the response, which is where the kernel lets the sender
  run; 14 % in `recv_into`, 9 % in writing, the rest in Python. No timeout on the socket, no copy of a byte in Python.
- With eight associations the threads spent themselves on handing the interpreter to each other: 137 futex calls an
  instance (strace). A thread gives it away at every system call, so those count: reading along what is there and
  writing several PDUs at once makes 1.4 reads and 1.1 writes an instance where there were 12 and 5, and 40 futex calls.
- Without effect, each tried beside the rest in one run: sys.setswitchinterval (0.5 ms, 50 ms), a rarer garbage
  collection, os.splice from socket to file (0.28-0.31 ms of processor time an instance for the bare copying; through
  a buffer of 128 kB 0.26-0.29), a rename within one folder instead of between two. A buffer of 1 MB costs
  more than one of 256 kB, which the caches hold. SO_RCVLOWAT saves a read and loses wake-ups: once a kernel has handed
  out a part, it wakes nobody for the rest.
- On a disk each flush by the recorder has ext4's journal write out what all others have begun. Where `durability` is
  `process` it commits without one: at 4 associations the processor time fell from 1.2 to 0.7 ms an instance.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from node.processes import PARENT_VARIABLE

ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
RECEIVERS = ("node", "node-power", "storescp", "storescp-fork", "orthanc", "pynetdicom")
PDU = 131072  # the largest that DCMTK's senders use
# rows x columns of 16 bit, and how many: MR-like instances of 0.5 MB, radiographs of 18 MB
SETS = {"mr": (512, 2000), "dx": (3000, 24)}

PYNETDICOM_SCP = f"""
import sys, threading
from pathlib import Path
from pynetdicom import AE, AllStoragePresentationContexts, evt
port, folder = int(sys.argv[1]), Path(sys.argv[2])
def store(event):
    (folder / (event.request.AffectedSOPInstanceUID + ".dcm")).write_bytes(event.encoded_dataset())
    return 0
ae = AE()
ae.maximum_pdu_size, ae.maximum_associations = {PDU}, 50
for context in AllStoragePresentationContexts:
    ae.add_supported_context(context.abstract_syntax)
ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
threading.Event().wait()
"""


def dcmtk(name: str) -> str:
    """DCMTK's program: a virtual environment with pynetdicom has scripts of the same names earlier in PATH."""
    for folder in [*os.environ["PATH"].split(os.pathsep), "/usr/bin"]:
        path = Path(folder) / name
        if path.is_file() and path.read_bytes()[:4] == b"\x7fELF":
            return str(path)
    raise SystemExit(f"{name} of DCMTK is not installed")


def make_set(folder: Path, kind: str, count: int) -> None:
    """`count` instances with noise for pixels, 200 to a series, linked into a folder for each number of senders."""
    import numpy as np
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, MRImageStorage, generate_uid

    side = SETS[kind][0]
    random = np.random.default_rng(7)
    pixels = [random.integers(0, 4096, (side, side), dtype=np.uint16).tobytes() for _ in range(4)]
    everything = folder / "all"
    everything.mkdir(parents=True)
    study, series = generate_uid(), ""
    for index in range(count):
        if index % 200 == 0:
            series = generate_uid()
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = MRImageStorage if kind == "mr" else DigitalXRayImageStorageForPresentation
        ds.SOPInstanceUID = generate_uid()
        ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20260101", "101010", "A1"
        ds.Modality, ds.Manufacturer, ds.SeriesDescription = kind.upper(), "simulated", "load"
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "LOAD^TEST", "LOAD", "", ""
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.StudyID = study, series, "1"
        ds.SeriesNumber, ds.InstanceNumber = index // 200 + 1, index % 200 + 1
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, float(index)], [1, 0, 0, 0, 1, 0]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows = ds.Columns = side
        ds.PixelSpacing, ds.SliceThickness = [0.5, 0.5], 1
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = pixels[index % 4]
        ds["PixelData"].VR = "OW"
        pydicom.dcmwrite(everything / f"{index:05d}.dcm", ds, enforce_file_format=True)


def share_out(folder: Path, associations: int) -> list[Path]:
    """The set in `associations` folders, by hard links."""
    parts = [folder / str(associations) / str(part) for part in range(associations)]
    if not parts[0].exists():
        for part in parts:
            part.mkdir(parents=True)
        for index, path in enumerate(sorted((folder / "all").iterdir())):
            os.link(path, parts[index % associations] / path.name)
    return parts


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            if process.poll() is not None:
                raise SystemExit("a receiver ended early") from None
            time.sleep(0.02)
    raise SystemExit("a receiver does not listen")


def files(folder: Path) -> int:
    """How many files there are below a folder."""
    return sum(path.is_file() for path in folder.rglob("*"))


def stored_and_receipted(data: Path) -> int:
    """How many instances the node has stored and brought into its database."""
    return min(files(data / "instances"), receipts(data / "node.db"))


def instances_of_orthanc(http: int) -> int:
    """How many instances Orthanc says it has."""
    return int(json.load(urllib.request.urlopen(f"http://127.0.0.1:{http}/statistics"))["CountInstances"])


@contextmanager
def receiver(name: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Callable[[], int]]]:
    """A running receiver, its port, and how many instances it says it has."""
    port, http = free_port(), free_port()

    count: Callable[[], int] = partial(files, folder)
    if name.startswith("node"):
        configuration = {
            "node": {"ae_title": "PEER", "data": str(folder / "data")},
            "peers": {"scanner": {"ae_title": "STORESCU", "networks": ["127.0.0.0/8"]}},
            "receive": {
                "durability": "power" if "power" in name else "process",
                "disk_floor_mb": 10,
                "dimse": {"host": "127.0.0.1", "port": port, "server": "plain" if "plain" in name else "fast"},
            },
        }
        (folder / "config.yaml").write_text(json.dumps(configuration))  # JSON is YAML
        command = [sys.executable, "-m", "node.receive", str(folder / "config.yaml")]
        count = partial(stored_and_receipted, folder / "data")
    elif name.startswith("storescp"):
        command = [dcmtk("storescp"), "-od", str(folder), *(["--fork"] if "fork" in name else []), str(port)]
    elif name == "orthanc":
        configuration = {
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "HttpPort": http,
            "DicomPort": port,
            "DicomAet": "PEER",
            "Plugins": [],
            "AuthenticationEnabled": False,
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration))
        command = [shutil.which("Orthanc") or "/usr/sbin/Orthanc", str(folder / "orthanc.json")]
        count = partial(instances_of_orthanc, http)
    else:
        command = [sys.executable, "-c", PYNETDICOM_SCP, str(port), str(folder)]
    quiet = subprocess.DEVNULL
    with recorder(folder / "data", power="power" in name) if name.startswith("node") else nullcontext():
        parent = {PARENT_VARIABLE: str(os.getpid())}  # as which this process makes the tables
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=ENVIRONMENT | parent)
        try:
            wait_for(port, process)
            yield process, port, count
        finally:
            process.send_signal(signal.SIGKILL if name == "orthanc" else signal.SIGTERM)
            process.wait(30)


@contextmanager
def recorder(data: Path, power: bool) -> Iterator[None]:
    """The node's recorder at work in this process, as it is in the parent of a node's receivers."""
    from node.database.connection import open_database
    from node.database.tables import Base
    from node.receive.store.receipt_import import ReceiptImport

    data.mkdir()
    database = open_database(f"sqlite:///{data}/node.db", power=power)
    Base.metadata.create_all(database)
    running = ReceiptImport(data, database)
    running.start()
    try:
        yield
    finally:
        running.stop()
        database.dispose()


def receipts(database: Path) -> int:
    """Receipts in the node's database, once the recorder has caught up."""
    deadline, last = time.monotonic() + 20, -1
    while time.monotonic() < deadline:
        time.sleep(1.5)  # the recorder works every half second at the least
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            count = int(connection.execute("SELECT COUNT(*) FROM instance").fetchone()[0])
        if count == last:
            break
        last = count
    return last


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its children, in MB, with what each shares with files."""
    total, todo = 0, [pid]
    while todo:
        process = todo.pop()
        try:
            for line in Path(f"/proc/{process}/status").read_text().splitlines():
                if line.startswith("VmRSS"):
                    total += int(line.split()[1])
            todo += [int(c) for c in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
        except OSError:
            continue  # it has just ended
    return total / 1000


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its ended children (`storescp --fork` has one per association)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def own_seconds(name: str) -> float:
    """What this process has used, where the node's recorder is in it."""
    times = os.times()
    return times.user + times.system if name.startswith("node") else 0.0


def run(name: str, parts: list[Path], count: int, stores: Path | None) -> dict[str, float]:
    """Instances per second, the receiver's largest resident memory in MB, and its CPU per instance in ms."""
    folder = Path(tempfile.mkdtemp(prefix="reception-", dir=stores))
    try:
        with receiver(name, folder) as (process, port, stored):
            peak, done = [0.0], threading.Event()

            def watch() -> None:
                while not done.wait(0.05):
                    peak[0] = max(peak[0], memory_mb(process.pid))

            watcher = threading.Thread(target=watch)
            watcher.start()
            cpu = cpu_seconds(process.pid) + own_seconds(name)
            began = time.perf_counter()
            senders = [
                subprocess.Popen(
                    [
                        dcmtk("storescu"),
                        "-aec",
                        "PEER",
                        "+sd",
                        "--max-send-pdu",
                        str(PDU),
                        "127.0.0.1",
                        str(port),
                        str(p),
                    ],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=ENVIRONMENT,
                )
                for p in parts
            ]
            codes = [sender.wait(900) for sender in senders]
            seconds = time.perf_counter() - began
            done.set()
            watcher.join()
            cpu = cpu_seconds(process.pid) + own_seconds(name) - cpu
            if any(codes) or stored() < count:
                print(f"  ! {name}: exit codes {codes}, {stored()} of {count} stored", flush=True)
            return {"rate": count / seconds, "memory": peak[0], "cpu": 1000 * cpu / count}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Medians, and their ratios to each peer, per set and number of associations."""
    lines: list[str] = []
    for cell in sorted(results, key=lambda c: (c.split()[0] != "mr", int(c.split()[1]))):
        kind, associations = cell.split()
        rates = {name: statistics.median(values) for name, values in results[cell].items() if " " not in name}
        if not lines or f"| {kind} |" not in lines[-1]:
            lines += ["", "| set | associations | receiver | instances/s | node / it | CPU ms | peak MB | runs |"]
            lines += ["|---|---|---|---|---|---|---|---|"]
        for name in RECEIVERS:
            if name in rates:
                values = results[cell][name]
                memory = max(results[cell][f"{name} memory"])
                cpu = statistics.median(results[cell][f"{name} cpu"])
                ratio = f"{rates['node'] / rates[name]:.2f}" if "node" in rates else ""
                spread = f"{len(values)}: {min(values):.0f}-{max(values):.0f}"
                cells = (kind, associations, name, f"{rates[name]:.1f}", ratio, f"{cpu:.2f}", f"{memory:.0f}", spread)
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(RECEIVERS), help="receivers, by comma")
    parser.add_argument("--sets", default="mr,dx")
    parser.add_argument("--associations", default="1,4,8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, help="instances of a set (default: 2000 mr, 24 dx)")
    parser.add_argument("--data", type=Path, help="where the sets lie or are made (default: a temporary folder)")
    memory = Path("/dev/shm")
    parser.add_argument("--stores", type=Path, default=memory if memory.is_dir() else None, help="where stores lie")
    parser.add_argument("--keep", type=Path, help="file that results are added to")
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    if arguments.keep and arguments.keep.exists():
        results = json.loads(arguments.keep.read_text())
    data = arguments.data or Path(tempfile.mkdtemp(prefix="reception-data-"))
    try:
        for kind in arguments.sets.split(","):
            count = arguments.count or SETS[kind][1]
            if not (data / kind).exists():
                make_set(data / kind, kind, count)
            count = len(list((data / kind / "all").iterdir()))
            for associations in map(int, arguments.associations.split(",")):
                parts = share_out(data / kind, associations)
                cell = results.setdefault(f"{kind} {associations}", {})
                for _ in range(arguments.rounds):
                    names = arguments.only.split(",")
                    first = len(cell.get(names[0], ())) % len(names)
                    for name in names[first:] + names[:first]:
                        figures = run(name, parts, count, arguments.stores)
                        cell.setdefault(name, []).append(figures["rate"])
                        cell.setdefault(f"{name} memory", []).append(figures["memory"])
                        cell.setdefault(f"{name} cpu", []).append(figures["cpu"])
                        print(f"  {kind} x{associations} {name}: {figures['rate']:.1f}/s", flush=True)
                        if arguments.keep:
                            arguments.keep.write_text(json.dumps(results))
    finally:
        if arguments.data is None:
            shutil.rmtree(data, ignore_errors=True)
    print(table(results))


if __name__ == "__main__":
    main()
