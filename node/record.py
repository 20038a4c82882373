"""Patients' records as the node keeps them: files in its data folder, encrypted if a key is configured.

A file is named by a keyed digest of patient ID and issuer, so that neither the database, nor a file name, nor a log
tells whose record it is. What is in it leaves this module only as a `ClinicalContext`, or after the identity was
checked.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import time
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from cryptography.fernet import Fernet, InvalidToken

from node.errors import ConfigurationError
from pipelines.context import ClinicalContext, CodedEvent

log = logging.getLogger(__name__)

Sex = Literal["F", "M", "O", "U"]


@dataclass(frozen=True)
class Identity:
    """Who a record, or a study, is about. Nothing of it shows in a repr."""

    patient_id: str = field(repr=False)
    issuer: str = field(default="", repr=False)
    family_name: str = field(default="", repr=False)
    given_name: str = field(default="", repr=False)
    birth_date: date | None = field(default=None, repr=False)
    sex: Sex = field(default="U", repr=False)

    def mismatch(self, other: Identity) -> str | None:
        """Name of the field in which the two disagree, or what is missing to tell; None if they agree.

        Names are compared without accents, case and punctuation: family name, and the first given name where both
        have one.
        """
        if self.birth_date and other.birth_date and self.birth_date != other.birth_date:
            return "birth date"
        if "" not in (_plain(self.family_name), _plain(other.family_name)):
            if _plain(self.family_name) != _plain(other.family_name):
                return "family name"
            given = [_plain(name.split()[0]) if name.split() else "" for name in (self.given_name, other.given_name)]
            if "" not in given and given[0] != given[1]:
                return "given name"
        elif not (self.birth_date and other.birth_date):
            return "name and birth date (neither can be compared)"
        if {self.sex, other.sex} == {"F", "M"}:
            return "sex"
        return None


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(c for c in decomposed if c.isalnum()).casefold()


@dataclass(frozen=True)
class Record:
    """A patient's record, as read from one source or merged from several."""

    identity: Identity
    events: tuple[CodedEvent, ...] = field(default=(), repr=False)
    died: date | None = field(default=None, repr=False)
    source: str = ""

    def merged(self, other: Record) -> Record:
        """Both records as one; what `other` says of the person counts where it says anything.

        Raises
        ------
        IdentityMismatch
            If they are not of the same person.
        """
        if (what := self.identity.mismatch(other.identity)) and "neither" not in what:
            raise IdentityMismatch(what)
        mine, new = asdict(self.identity), asdict(other.identity)
        identity = Identity(**{key: new[key] if new[key] not in ("", None, "U") else mine[key] for key in mine})
        events = tuple(dict.fromkeys((*self.events, *other.events)))
        sources = dict.fromkeys(part for text in (self.source, other.source) for part in text.split(", ") if part)
        return Record(identity, events, other.died or self.died, ", ".join(sources))

    def context(self, index_date: date) -> ClinicalContext:
        """What a pipeline may know of it: nothing that names the patient but birth date and sex."""
        person = self.identity
        return ClinicalContext(index_date, person.birth_date, person.sex, self.events, self.source, self.died)


class IdentityMismatch(ValueError):
    """Two records, or a record and a study, are not of one person; says which field disagrees, never its value."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the identities disagree in: {what}")
        self.what = what


class Records:
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
        self._fernet = None if key_file is None else Fernet(_key(key_file))
        self._lock = Lock()

    def add(self, record: Record) -> None:
        """Keep `record`, merged with what is known of the patient already.

        Raises
        ------
        IdentityMismatch
            If a record under the same patient ID and issuer is of somebody else.
        """
        with self._lock:
            known = self.get(record.identity.patient_id, record.identity.issuer)
            self._write(known.merged(record) if known else record)

    def get(self, patient_id: str, issuer: str = "") -> Record | None:
        """The record under that patient ID and issuer."""
        try:
            content = self._path(patient_id, issuer).read_bytes()
        except FileNotFoundError:
            return None
        return _from_json(self._open(content))

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
        with self._lock:
            known = self.get(*old)
            if known is None or old == new:
                return
            moved = replace(known, identity=replace(known.identity, patient_id=new[0], issuer=new[1]))
            other = self.get(*new)
            # a merge says that both are one person, so the name of the surviving record counts
            self._write(moved.merged(replace(other, source=other.source)) if other else moved)
            self.delete(*old)

    def purge(self, older_than_s: float) -> int:
        """Delete the records that nothing was added to for so long; how many."""
        limit = time.time() - older_than_s
        old = [path for path in self._folder.glob("*.record") if path.stat().st_mtime < limit]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def __len__(self) -> int:
        return sum(1 for _ in self._folder.glob("*.record"))

    # ---- files
    def _path(self, patient_id: str, issuer: str) -> Path:
        text = f"{issuer.strip()}|{patient_id.strip()}".encode()
        return self._folder / f"{hmac.new(self._salt(), text, hashlib.sha256).hexdigest()}.record"

    def _salt(self) -> bytes:
        """A secret of this folder: without it the few million possible patient IDs could be tried one by one."""
        path = self._folder / "names.key"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            partial.write_bytes(secrets.token_bytes(32))
            partial.chmod(0o600)
            try:
                os.link(partial, path)  # the first process to come makes it, the others take what it made
            except FileExistsError:
                pass
            finally:
                partial.unlink()
        return path.read_bytes()

    def _write(self, record: Record) -> None:
        path = self._path(record.identity.patient_id, record.identity.issuer)
        content = _to_json(record)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content if self._fernet is None else self._fernet.encrypt(content))
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path)

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


def _key(path: Path) -> bytes:
    try:
        key = path.read_bytes().strip()
        Fernet(key)
    except OSError as error:
        raise ConfigurationError(f"records.key_file: {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(
            f"records.key_file: {path}: holds no key; make one with condyle record --new-key"
        ) from error
    return key


def _to_json(record: Record) -> bytes:
    row = {
        "identity": asdict(record.identity),
        "died": record.died,
        "source": record.source,
        "events": [asdict(event) for event in record.events],
    }
    return json.dumps(row, default=date.isoformat, ensure_ascii=False).encode()


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


# ---- which of several identifiers is the patient ID of the images
def chosen_identifiers(
    identifiers: Iterable[tuple[str, str, str]], issuers: Mapping[str, str], default_issuer: str
) -> list[tuple[str, str]]:
    """Patient IDs with issuers, from (value, system or assigning authority, type) of a record.

    Where `issuers` names systems, those count, under the issuer it gives them. Otherwise medical record numbers (type
    MR) do, or the only identifier there is, or failing both the first one; they count as issued by `default_issuer`.
    """
    found = [(value.strip(), system.strip(), kind) for value, system, kind in identifiers if value.strip()]
    if issuers:
        return [(value, issuers[system]) for value, system, _ in found if system in issuers]
    numbers = [entry for entry in found if entry[2] == "MR"] or found[:1]
    return [(value, default_issuer) for value, _, _ in numbers]
