"""The store of patients' records: files in the node's data folder, encrypted if a key is configured.

A file is named by a keyed digest of patient ID and issuer, so that neither the database, nor a file name, nor a log
tells whose record it is. What is in it leaves this module only as a `ClinicalContext`, or after the identity was
checked.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import date
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from dicom_sr.errors import UnsuitableInput
from node.config.secret_files import read_record_key
from node.data_folder import own_key
from node.errors import ConfigurationError, NodeError
from node.files import one_at_a_time, write_together
from node.progress import goes_on
from pipelines.context import CodedEvent
from pipelines.records.record import Identity, IdentityMismatch, Record

log = logging.getLogger(__name__)

GROUP = 250  # records that are flushed together; other senders wait meanwhile
LARGEST_RECORD = 32 * 2**20  # bytes on disk, before encryption: some 100,000 entries, and no patient has so many
GROUP_BYTES = 16 * 2**20  # of them, at most until the next one
NotAdded = IdentityMismatch | UnsuitableInput  # why a record was not added
_IDENTITY = tuple(field.name for field in fields(Identity))
_EVENT = tuple(field.name for field in fields(CodedEvent))


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
        UnsuitableInput
            If there would be more than the store keeps of one patient.
        """
        for refusal in self.add_all([record]):
            if refusal is not None:
                raise refusal

    def add_all(self, records: Iterable[Record]) -> list[NotAdded | None]:
        """Store each of `records` as `add` does, many of them flushed together.

        Returns
        -------
        list
            For each record what `add` would raise; None where it is stored.
        """
        found: list[NotAdded | None] = []
        left = iter(records)
        while group := tuple(islice(left, GROUP)):
            with self._alone():
                found += self._add_group(group)
        return found

    def _add_group(self, records: Iterable[Record]) -> list[NotAdded | None]:
        salt = self._salt()
        found: list[NotAdded | None] = []
        waiting: dict[Path, bytes] = {}  # to be written
        size = 0
        for record in records:
            path = self._path(record.identity.patient_id, record.identity.issuer, salt)
            known = self._read(path, waiting.get(path))
            try:
                content = waiting[path] = self._sealed(known.merged(record) if known else record)
            except (IdentityMismatch, UnsuitableInput) as refusal:
                found.append(refusal)
                continue
            found.append(None)
            size += len(content)
            if size > GROUP_BYTES:
                write_together(waiting)
                waiting, size = {}, 0
        if waiting:
            write_together(waiting)  # flushed: their sender is told that they are safe
        return found

    def get(self, patient_id: str, issuer: str = "") -> Record | None:
        """The record under that patient ID and issuer.

        Raises
        ------
        NodeError
            If it is damaged, or was written with another key.
        """
        return self._read(self._path(patient_id, issuer))

    def _read(self, path: Path, content: bytes | None = None) -> Record | None:
        """The record in a file, or in the content that the file is about to get."""
        if content is None:
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

    def rename(self, old: tuple[str, str], new: tuple[str, str], *, one_person: bool = False) -> None:
        """Put the record under patient ID and issuer `old` under `new`, as a merge or a change of ID asks.

        Parameters
        ----------
        old, new
            Patient ID and issuer.
        one_person
            Both are one person, however they are described; the description under `new` counts.

        Raises
        ------
        IdentityMismatch
            If there is a record under `new` of somebody else, unless that is said to be the same person.
        UnsuitableInput
            If both together are more than the store keeps of one patient.
        """
        with self._alone():
            known = self.get(*old)
            if known is None or old == new:
                return
            moved = replace(known, identity=replace(known.identity, patient_id=new[0], issuer=new[1]))
            other = self.get(*new)
            # a merge says that both are one person, so the name of the surviving record counts
            if other and one_person and moved.identity.mismatch(other.identity):
                moved = replace(moved, identity=other.identity)
            kept = moved.merged(other) if other else moved
            write_together({self._path(*new): self._sealed(kept)})
            self.delete(*old)

    def correct(self, who: Identity) -> None:
        """Have the record under the patient ID and issuer of `who`, if there is one, describe the patient so."""
        with self._alone():
            known = self.get(who.patient_id, who.issuer)
            if known is None or known.identity.mismatch(who) is None:
                return
            write_together({self._path(who.patient_id, who.issuer): self._sealed(replace(known, identity=who))})

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
        return _key(patient_id, issuer, self._salt())

    # ---- files
    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Read, merge and write without another thread or process (the node, a command) in between."""
        with one_at_a_time(self._folder, self._lock):
            yield

    def _path(self, patient_id: str, issuer: str, salt: bytes | None = None) -> Path:
        return self._folder / f"{_key(patient_id, issuer, salt or self._salt())}.record"

    def _salt(self) -> bytes:
        """A secret of this folder: without it the few million possible patient IDs could be tried one by one."""
        return own_key(self._folder / "names.key")

    def _sealed(self, record: Record) -> bytes:
        content = _to_json(record)
        if len(content) > LARGEST_RECORD:
            raise UnsuitableInput(f"the patient's record would take more than {LARGEST_RECORD // 2**20} MB")
        return content if self._fernet is None else self._fernet.encrypt(content)

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


def _key(patient_id: str, issuer: str, salt: bytes) -> str:
    # the issuer's own bars are escaped, or "A|B" and "C" would be "A" and "B|C"
    plain = issuer.strip().replace("\\", "\\\\").replace("|", "\\|")
    return hmac.new(salt, f"{plain}|{patient_id.strip()}".encode(), hashlib.sha256).hexdigest()


def _to_json(record: Record) -> bytes:
    row = {
        "identity": {name: getattr(record.identity, name) for name in _IDENTITY},
        "died": record.died,
        "source": record.source,
        "events": [{name: getattr(event, name) for name in _EVENT} for event in record.events],
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
