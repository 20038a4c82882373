"""The store of patients' records: files in the node's data folder, encrypted if a key is configured.

A file is named by a keyed digest of patient ID and issuer, so that neither the database, nor a file name, nor a log
tells whose record it is. What is in it leaves this module only as a `ClinicalContext`, or after the identity was
checked.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from node.config.secret_files import read_record_key
from node.data_folder import own_key
from node.errors import ConfigurationError, NodeError
from node.files import PRIVATE_FILE, make_folder, write_whole
from node.progress import goes_on
from pipelines.context import CodedEvent
from pipelines.records.record import Identity, Record

log = logging.getLogger(__name__)


class PatientRecords:
    """The store of records.

    Parameters
    ----------
    folder
        Where they lie; made with the first one.
    key_file
        Holds a Fernet key (`condyle record key` makes one); None: files are as safe as the folder.

    Raises
    ------
    ConfigurationError
        If the key file cannot be read or holds no key.
    """

    def __init__(self, folder: Path, key_file: Path | None = None) -> None:
        self._folder = folder
        self._fernet = None if key_file is None else Fernet(read_record_key(key_file))
        self._lock = Lock()

    def add(self, record: Record) -> None:
        """Store `record`, merged with what is known of the patient already.

        Raises
        ------
        IdentityMismatch
            If a record under the same patient ID and issuer is of somebody else.
        """
        with self._alone():
            known = self.get(record.identity.patient_id, record.identity.issuer)
            self._write(known.merged(record) if known else record)

    def get(self, patient_id: str, issuer: str = "") -> Record | None:
        """The record under that patient ID and issuer.

        Raises
        ------
        NodeError
            If it is damaged, or was written with another key.
        """
        path = self._path(patient_id, issuer)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _from_json(self._open(content))
        except (ValueError, KeyError, TypeError) as error:
            raise NodeError(f"a stored record cannot be read ({type(error).__name__}): {path.name}") from error

    def delete(self, patient_id: str, issuer: str = "") -> bool:
        """Forget the record; whether there was one."""
        try:
            self._path(patient_id, issuer).unlink()
        except FileNotFoundError:
            return False
        return True

    def rename(self, old: tuple[str, str], new: tuple[str, str]) -> None:
        """Put the record under patient ID and issuer `old` under `new`, as a merge or a change of ID asks.

        Raises
        ------
        IdentityMismatch
            If there is a record under `new` of somebody else.
        """
        with self._alone():
            known = self.get(*old)
            if known is None or old == new:
                return
            moved = replace(known, identity=replace(known.identity, patient_id=new[0], issuer=new[1]))
            other = self.get(*new)
            # a merge says that both are one person, so the name of the surviving record counts
            self._write(moved.merged(replace(other, source=other.source)) if other else moved)
            self.delete(*old)

    def purge(self, older_than_s: float) -> int:
        """Delete the records to which nothing was added for `older_than_s` seconds; how many there were."""
        limit, deleted = time.time() - older_than_s, 0
        for path in self._folder.glob("*.record"):
            goes_on()
            if path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
                deleted += 1
        return deleted

    def __len__(self) -> int:
        return sum(1 for _ in self._folder.glob("*.record"))

    def key(self, patient_id: str, issuer: str = "") -> str:
        """What a patient is known by on disk: a keyed digest of patient ID and issuer."""
        # the issuer's own bars are escaped, or "A|B" and "C" would be "A" and "B|C"
        plain = issuer.strip().replace("\\", "\\\\").replace("|", "\\|")
        text = f"{plain}|{patient_id.strip()}".encode()
        return hmac.new(self._salt(), text, hashlib.sha256).hexdigest()

    # ---- files
    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Read, merge and write without another thread or process (the node, a command) in between."""
        make_folder(self._folder)
        with self._lock:
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)

    def _path(self, patient_id: str, issuer: str) -> Path:
        return self._folder / f"{self.key(patient_id, issuer)}.record"

    def _salt(self) -> bytes:
        """A secret of this folder: without it the few million possible patient IDs could be tried one by one."""
        return own_key(self._folder / "names.key")

    def _write(self, record: Record) -> None:
        path = self._path(record.identity.patient_id, record.identity.issuer)
        content = _to_json(record)
        stored = content if self._fernet is None else self._fernet.encrypt(content)
        write_whole(path, stored, sync="name")  # its sender is told that it is safe

    def _open(self, content: bytes) -> bytes:
        if self._fernet is None:
            return content
        try:
            return self._fernet.decrypt(content)
        except InvalidToken as error:
            raise ConfigurationError("records.key_file: the records were not written with this key") from error


def new_key() -> bytes:
    """A key for `records.key_file`."""
    return Fernet.generate_key()


def digest(record: Record) -> str:
    """SHA-256 of all that is stored of a record, hex: it changes with every entry."""
    return hashlib.sha256(_to_json(record)).hexdigest()


def _to_json(record: Record) -> bytes:
    row = {
        "identity": asdict(record.identity),
        "died": record.died,
        "source": record.source,
        "events": [asdict(event) for event in record.events],
    }
    return json.dumps(row, default=date.isoformat).encode()  # ASCII: a sender's text may be no valid Unicode


def _from_json(content: bytes) -> Record:
    row = json.loads(content)
    identity = row["identity"]
    identity["birth_date"] = _date(identity["birth_date"])
    events = (
        CodedEvent(**{**event, "start": _date(event["start"]), "end": _date(event["end"])}) for event in row["events"]
    )
    return Record(Identity(**identity), tuple(events), _date(row["died"]), row["source"])


def _date(text: str | None) -> Any:
    return date.fromisoformat(text) if text else None
