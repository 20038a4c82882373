"""Sends files as a scanner would: by DCMTK's storescu where it is installed, else by pynetdicom."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import AE, evt

from node.network.requestor import MAXIMUM_PDU_SIZE, no_delay

AE_TITLE = "SCANNER"
CONTEXTS = 120  # presentation contexts per association; PS3.8 allows 128
TIMEOUT_S = 600
STORE_RESPONSE = "Received Store Response ("  # storescu --verbose


@dataclass(frozen=True)
class Receiver:
    """Somebody to send to."""

    ae_title: str
    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class File:
    """One Part 10 file, with what its header says."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: UID
    modality: str
    description: str

    @classmethod
    def read(cls, path: Path) -> File | None:
        """The file, or None if it is not a Part 10 file with UIDs that can be sent."""
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            return cls(
                path,
                str(ds.SOPClassUID),
                str(ds.SOPInstanceUID),
                str(ds.SeriesInstanceUID),
                str(ds.StudyInstanceUID),
                UID(str(ds.file_meta.TransferSyntaxUID)),
                str(ds.get("Modality") or ""),
                str(ds.get("SeriesDescription") or ds.get("StudyDescription") or ""),
            )
        except (InvalidDicomError, AttributeError, OSError, ValueError, KeyError, NotImplementedError):
            return None


class Scanner:
    """A sender with the AE title SCANNER."""

    @cached_property
    def storescu(self) -> Path | None:
        """DCMTK's storescu; the virtual environment holds a script of the same name by pynetdicom, which is not it."""
        for folder in [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]:
            found = shutil.which("storescu", path=folder)
            if found and Path(found).read_bytes()[:4] == b"\x7fELF":
                return Path(found)
        return None

    def way(self, files: Sequence[File]) -> str:
        """By what these files are sent; storescu proposes uncompressed transfer syntaxes only, unless one is named."""
        plain = all(not file.transfer_syntax_uid.is_compressed for file in files)
        return "storescu" if self.storescu and plain else "pynetdicom"

    def send(self, files: Sequence[File], receiver: Receiver) -> str:
        """Send `files` in one association (or few); what the receiver refused, in words, or an empty string."""
        if not files:
            return "nothing to send"
        if self.way(files) == "storescu":
            return self._by_storescu(files, receiver)
        return self._by_pynetdicom(files, receiver)

    def _by_storescu(self, files: Sequence[File], receiver: Receiver) -> str:
        done = subprocess.run(
            [
                *(str(self.storescu), "--aetitle", AE_TITLE, "--call", receiver.ae_title, "--no-halt", "--verbose"),
                *(receiver.host, str(receiver.port), *(str(file.path) for file in files)),
            ],
            env={**os.environ, "TCP_NODELAY": "1"},  # else every instance waits 40 ms for a delayed ACK
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
        output = (done.stdout + done.stderr).splitlines()
        if done.returncode != 0:
            return "; ".join([line for line in output if line.startswith(("E:", "F:"))][-3:]) or "storescu failed"
        # storescu's exit code does not say that an instance was refused; what it tells of each answer does
        answers = [line.partition(STORE_RESPONSE)[2].rstrip(")") for line in output if STORE_RESPONSE in line]
        return "; ".join(dict.fromkeys(answer for answer in answers if not answer.startswith(("Success", "Warning"))))

    def _by_pynetdicom(self, files: Sequence[File], receiver: Receiver) -> str:
        refused: list[str] = []
        pairs = list(dict.fromkeys((file.sop_class_uid, file.transfer_syntax_uid) for file in files))
        for start in range(0, len(pairs), CONTEXTS):
            some = set(pairs[start : start + CONTEXTS])
            batch = [file for file in files if (file.sop_class_uid, file.transfer_syntax_uid) in some]
            refused += self._associate(batch, receiver)
        return "; ".join(dict.fromkeys(refused))[:400]

    def _associate(self, files: Sequence[File], receiver: Receiver) -> list[str]:
        try:
            socket.create_connection((receiver.host, receiver.port), timeout=5).close()
        except OSError as error:
            return [f"{receiver.ae_title} cannot be reached: {error.strerror}"]
        ae = AE(ae_title=AE_TITLE)
        ae.maximum_pdu_size = MAXIMUM_PDU_SIZE
        for sop_class_uid, syntax in dict.fromkeys((file.sop_class_uid, file.transfer_syntax_uid) for file in files):
            ae.add_requested_context(sop_class_uid, syntax)
        association = ae.associate(
            receiver.host,
            receiver.port,
            ae_title=receiver.ae_title,
            max_pdu=MAXIMUM_PDU_SIZE,
            evt_handlers=[(evt.EVT_CONN_OPEN, no_delay)],
        )
        if not association.is_established:
            return [f"{receiver.ae_title} did not accept the association"]
        refused = []
        try:
            for file in files:
                try:
                    status = association.send_c_store(pydicom.dcmread(file.path)).get("Status")
                except (ValueError, RuntimeError, AttributeError) as error:
                    refused.append(str(error))
                    continue
                if status is None:
                    refused.append("the connection was lost")
                    break
                if status >> 12 != 0xB and status != 0x0000:  # 0xBxxx are warnings: stored
                    refused.append(f"0x{status:04X}")
        finally:
            association.release()
        return refused
