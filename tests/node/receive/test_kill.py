"""Kill -9 in the middle of fifty associations, again and again: a success is kept, a half instance is not."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from node.config import Configuration
from node.database.connection import open_database
from node.database.tables import AssociationRow, InstanceRow, SeriesRow
from node.receive.store.instance_files import relative_path
from node.receive.store.receipt_import import ReceiptImport
from tests.node.receive.harness import (
    ROOT,
    RawPeer,
    configuration,
    data_set,
    mr,
    p_data,
    partials,
    pdv,
    store_rq,
)

SEED = 8
KILLS = 20
ASSOCIATIONS = 50
INSTANCES = 400  # of the study, shared out among the associations
PIECE = 2000  # bytes a PDV: an instance is many, so that a kill falls into the middle of some


def instances() -> list[Dataset]:
    study, series = generate_uid(), [generate_uid() for _ in range(4)]
    return [mr(study, series[number % 4], number, side=64) for number in range(INSTANCES)]


def stored(data: Path, uids: Iterable[str]) -> dict[str, bytes]:
    """SOP Instance UID -> content of everything under a final name; all of it must be ours."""
    names = {relative_path(uid): uid for uid in uids}
    folder = data / "instances"
    return {names[str(path.relative_to(folder))]: path.read_bytes() for path in folder.rglob("*.dcm")}


# Starts receivers by forking what has everything imported: a start costs a hundredth of a new interpreter's.
NURSERY = """
import os, sys
from pathlib import Path
from node.receive.process import serve
for line in sys.stdin:
    child = os.fork()
    if not child:
        serve(Path(line.strip()))
        os._exit(0)
    os.waitpid(child, 0)
    print("ended", child, flush=True)
"""


class Nursery:
    """A receiver process at a time, each to be killed or stopped."""

    def __init__(self, settings: Configuration) -> None:
        folder = settings.node.data.parent
        self._path = folder / "config.yaml"
        self._path.write_text(json.dumps(settings.model_dump(mode="json", exclude_none=True)))
        self._log = (folder / "receiver.log").open("ab")
        command = [sys.executable, "-c", NURSERY]
        pipe = subprocess.PIPE
        self._parent = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=self._log)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *error: object) -> None:
        self._parent.kill()
        self._parent.communicate()
        self._log.close()

    @contextlib.contextmanager
    def receiver(self) -> Iterator[int]:
        """The process id of a receiver that is ready; what is left of it at the end is stopped."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(f"{self._path}\n".encode())
        self._parent.stdin.flush()
        assert self._answer().startswith("ready")
        (child,) = Path(f"/proc/{self._parent.pid}/task/{self._parent.pid}/children").read_text().split()
        yield int(child)
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGTERM)
        while (answer := self._answer()) and not answer.startswith("ended"):  # it also says what it works by
            pass
        assert answer == f"ended {child}\n"

    def _answer(self) -> str:
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().decode()


class Sender(threading.Thread):
    """Sends its share over one association until it is through or the connection breaks."""

    def __init__(self, port: int, share: list[tuple[str, bytes, bytes]]) -> None:
        super().__init__(daemon=True)
        self.port, self.share = port, share
        self.sent: list[str] = []
        self.acknowledged: list[str] = []

    def run(self) -> None:
        try:
            with RawPeer(self.port) as peer:
                if peer.associate() != 2:
                    return
                for uid, command, content in self.share:
                    self.sent.append(uid)
                    peer.send(p_data(pdv(command, 3)))
                    for start in range(0, len(content), PIECE):
                        peer.send(p_data(pdv(content[start : start + PIECE], 2 * (start + PIECE >= len(content)))))
                    if peer.status() == 0:
                        self.acknowledged.append(uid)
        except (OSError, AssertionError):
            pass  # the receiver was killed


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("durability", ["process", "power"])
def test_nothing_acknowledged_is_lost_to_kill_9(
    tmp_path: Path, durability: str, tell: Callable[[str], None], stack: contextlib.ExitStack
) -> None:
    kills = KILLS if durability == "process" else KILLS // 4
    moments = random.Random(SEED)
    study = instances()
    sent = {str(ds.SOPInstanceUID): data_set(ds) for ds in study}
    lines = [(str(ds.SOPInstanceUID), store_rq(ds), sent[str(ds.SOPInstanceUID)]) for ds in study]
    peers = {"scanner": {"ae_title": "SCANNER", "maximum_associations": ASSOCIATIONS}}
    settings = configuration(tmp_path / "data", receive={"durability": durability}, peers=peers)
    port = settings.receive.dimse.port
    acknowledged: set[str] = set()
    attempts = successes = 0
    nursery = stack.enter_context(Nursery(settings))
    for _ in range(kills):
        with nursery.receiver() as process:
            assert partials(settings.node.data) == [], "a partial file outlived the restart"
            found = stored(settings.node.data, sent)
            assert acknowledged <= found.keys(), "an acknowledged instance is gone"
            assert all(found[uid].endswith(sent[uid]) for uid in found), "an instance is not whole"
            moments.shuffle(lines)
            senders = [Sender(port, lines[start::ASSOCIATIONS]) for start in range(ASSOCIATIONS)]
            for sender in senders:
                sender.start()
            senders[0].join(moments.uniform(0.02, 0.6))  # the kill's moment
            os.kill(process, signal.SIGKILL)
            for sender in senders:
                sender.join()
            attempts += sum(len(sender.sent) for sender in senders)
            successes += sum(len(sender.acknowledged) for sender in senders)
            acknowledged |= {uid for sender in senders for uid in sender.acknowledged}
    with nursery.receiver():
        assert acknowledged <= stored(settings.node.data, sent).keys()
        last = Sender(port, lines)
        last.run()
        assert len(last.acknowledged) == INSTANCES
    found = stored(settings.node.data, sent)
    assert found.keys() == sent.keys(), "a repeated study is exactly the study"
    assert all(found[uid].endswith(sent[uid]) for uid in sent)
    assert partials(settings.node.data) == []
    _check_records(settings.node.data, settings.node.database_url, acknowledged, set(sent))
    tell(
        f"kill -9, durability {durability}: {kills} kills, {attempts} instances begun, {successes} acknowledged "
        f"({len(acknowledged)} distinct), {len(acknowledged & found.keys())} of them found",
    )


def _check_records(data: Path, url: str, acknowledged: set[str], everything: set[str]) -> None:
    """The recorder brings in what each killed process had acknowledged, and closes what it left open."""
    database = open_database(url)
    assert ReceiptImport(data, database).import_now()
    with database.connect() as connection:
        instance, series = InstanceRow.__table__, SeriesRow.__table__
        association = AssociationRow.__table__
        rows = {row.sop_instance_uid: row for row in connection.execute(instance.select())}
        counts = [row.instances for row in connection.execute(series.select())]
        outcomes = {row.outcome for row in connection.execute(association.select())}
        still_open = [row for row in connection.execute(association.select()) if row.ended is None]
    database.dispose()
    assert rows.keys() == everything
    assert sum(counts) == len(everything)
    assert outcomes <= {"released", "lost", "cut"}  # cut: open when the last receiver was told to stop
    assert still_open == []
    assert not list((data / "receipts").glob("*.journal"))
