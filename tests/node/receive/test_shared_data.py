"""Every file of the shared test data over a real association: stored as it is, or refused with a status."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.errors import InvalidDicomError

from node.database.tables import AssociationRow, InstanceRow
from node.receive.status import NotStored
from node.receive.store.part10 import Meta, read_meta
from tests.node.receive.dimse.test_fast_server import echo
from tests.node.receive.harness import (
    RELEASE_RQ,
    RawPeer,
    Running,
    configuration,
    p_data,
    partials,
    pdv,
    store_rq,
)
from tests.waiting import until

pytestmark = pytest.mark.shared_data

FOLDERS = ("dicom-misc", "malformed", "mr", "us", "xray/limb-fracatlas", "xray/hip-ddh-dicom")
IMPLICIT = "1.2.840.10008.1.2"
PIECE = 16_000
STATUSES = {0x0000, 0x0117, 0x0122, 0xA700, 0xA900, 0xC000, 0xC001}


class _Instance:
    """What a C-STORE-RQ says of a file."""

    def __init__(self, sop_class_uid: str, sop_instance_uid: str) -> None:
        self.SOPClassUID, self.SOPInstanceUID = sop_class_uid, sop_instance_uid


def described(path: Path) -> tuple[Meta, _Instance] | None:
    """The file's meta and its command, as a sender would make them; None for what is no DICOM file at all."""
    try:
        with path.open("rb") as file:
            meta = read_meta(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(path, force=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
            sop_class, uid = str(ds.get("SOPClassUID", "")), str(ds.get("SOPInstanceUID", ""))
    except NotStored:
        return None
    except (InvalidDicomError, EOFError, ValueError, KeyError, AttributeError, TypeError, NotImplementedError):
        sop_class, uid = "", ""  # a sender may know it from elsewhere
    return meta, _Instance(sop_class or meta.sop_class_uid or "1.2.3", uid or meta.sop_instance_uid or "1.2.3.4")


def send(port: int, path: Path, meta: Meta, command: _Instance) -> int | None:
    """Status of its C-STORE; None where the context is not accepted."""
    content = path.read_bytes()[meta.length :]
    with RawPeer(port) as peer:
        context = (command.SOPClassUID, (meta.transfer_syntax_uid or IMPLICIT,))
        assert peer.associate(contexts=(context,)) == 2
        peer.send(p_data(pdv(store_rq(command), 3)))  # type: ignore[arg-type]
        try:
            for start in range(0, max(len(content), 1), PIECE):
                peer.send(p_data(pdv(content[start : start + PIECE], 2 * (start + PIECE >= len(content)))))
            kind, body = peer.receive()
        except ConnectionError:
            kind, body = 7, b""
        if kind != 4:
            return None  # A-ABORT: the presentation context was refused before
        position = body.index(b"\x00\x00\x00\x09\x02\x00\x00\x00")
        peer.send(RELEASE_RQ)
        return int.from_bytes(body[position + 8 : position + 10], "little")


@pytest.fixture(scope="module")
def files(shared_data: Path) -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (shared_data / folder).rglob("*") if path.is_file())


def test_every_shared_file_is_stored_or_refused_and_nothing_else_suffers(
    files: list[Path], tmp_path: Path, tell: Callable[[str], None]
) -> None:
    answers: Counter[str] = Counter()
    sent: dict[str, list[bytes]] = {}
    with Running(configuration(tmp_path / "data")) as running:
        for path in files:
            found = described(path)
            if found is None:
                answers["no DICOM"] += 1
                continue
            meta, command = found
            status = send(running.port, path, meta, command)
            answers["context refused" if status is None else f"0x{status:04X}"] += 1
            assert status is None or status in STATUSES, path
            if status == 0:
                sent.setdefault(command.SOPInstanceUID, []).append(path.read_bytes()[meta.length :])
        began = time.monotonic()
        assert echo(running.port) == 0
        assert time.monotonic() - began < 10
        until(lambda: len(running.rows(InstanceRow)) == len(sent), "a receipt for each")
        for record in running.rows(InstanceRow):
            content = (running.data / "instances" / record.path).read_bytes()
            # one UID is in the data more than once, in several encodings: the last one sent is kept
            assert content.endswith(sent[record.sop_instance_uid][-1])
            assert len(sent[record.sop_instance_uid]) == record.times_received
        assert partials(running.data) == []
        until(lambda: not [r for r in running.rows(AssociationRow) if r.outcome == "open"], "their ends")
    tell(f"shared files: {dict(answers)}")
    assert answers["0x0000"] > 300, answers
    assert answers["0xC000"] + answers["0xC001"] + answers["context refused"] < 60, answers


def test_the_knee_series_is_one_series_of_ninety_six(shared_data: Path, tmp_path: Path) -> None:
    from node.database.tables import SeriesRow

    with Running(configuration(tmp_path / "data")) as running:
        for path in sorted((shared_data / "mr" / "knee-mese-t2-ge").iterdir()):
            found = described(path)
            assert found is not None
            assert send(running.port, path, *found) == 0
        until(lambda: len(running.rows(InstanceRow)) == 96, "the receipts")
        (series,) = running.rows(SeriesRow)
        assert (series.instances, series.modality, series.expected) == (96, "MR", None)
