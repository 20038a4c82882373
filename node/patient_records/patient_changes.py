"""Which patients were merged, given another patient ID or corrected, as messages of the hospital say.

Files in the node's data folder, named by keyed digests as records are and sealed where those are. A patient ID that was
merged leads to the one that took its place, however many there are in between; what is known of the person stands
under that one. Messages may come twice and in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

from pydantic import TypeAdapter

from dicom_sr.current_patient import CurrentPatient
from dicom_sr.errors import UnsuitableInput
from node.config import Configuration
from node.errors import NodeError
from node.files import one_at_a_time, write_together
from node.patient_records.store import PatientRecords
from node.progress import goes_on
from node.study.current_patients import identity_of
from node.study.sealing import seal, unseal
from pipelines.records.hl7_patients import PatientChange, PatientId
from pipelines.records.record import Identity

MOST_IDS = 200  # of one patient, one after the other merged or all into one
MOST_EARLIER = 50  # identities that are kept of one patient ID, the latest ones
A_DAY = timedelta(days=1)
MOMENT = "%Y%m%d%H%M%S"


class ChangeRefused(UnsuitableInput):
    """A merge or a correction that cannot be followed; says why, no value."""


@dataclass(frozen=True)
class _Entry:
    """What is known of one patient ID."""

    patient: CurrentPatient = field(repr=False)  # as told last; of one that was merged, as it was before
    told: str = ""  # when; empty: no message has described the patient
    into: PatientId | None = field(default=None, repr=False)  # which patient ID took its place
    merged: str = ""  # when that was told
    earlier: tuple[CurrentPatient, ...] = field(default=(), repr=False)  # under this patient ID
    others: tuple[PatientId, ...] = field(default=(), repr=False)  # whose place it took, directly or not


@dataclass(frozen=True)
class Changed:
    """A patient of whom something was told, as it is now."""

    current: CurrentPatient = field(repr=False)
    patient_ids: tuple[PatientId, ...] = field(repr=False)  # all that it has or had
    corrected: bool = False  # it was described otherwise before


_ENTRY = TypeAdapter(_Entry)


class PatientChanges:
    """What messages have changed.

    Parameters
    ----------
    folder
        Where it is kept; made with the first change.
    records
        The patients' records: they name the patients' keys, and move with their patients.
    default_issuer
        Of patient IDs of images that name none.
    key_file
        Seals the files; None: they are as safe as the folder.
    clock
        The time.
    """

    def __init__(
        self,
        folder: Path,
        records: PatientRecords,
        default_issuer: str = "",
        key_file: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._default_issuer = default_issuer
        self._folder, self._records, self._key_file, self._clock = folder, records, key_file, clock
        self._lock = Lock()

    # ---- what messages say
    def take(self, change: PatientChange) -> tuple[Changed, ...]:
        """Keep what a message changes, all of it or nothing, and move the records; a second time changes nothing.

        Raises
        ------
        ChangeRefused
            If it cannot be followed.
        """
        if change.refused:
            raise ChangeRefused(change.refused)
        if not change.merged and not change.patients:
            return ()
        told = self._when(change)
        with one_at_a_time(self._folder, self._lock):
            draft = _Draft(self._read, self._known)
            for old, new in change.merged:
                draft.merge(old, new, told)
            for patient in change.patients:
                draft.correct(patient, told)
            write_together({self._path(one): self._packed(entry) for one, entry in draft.entries.items()})
        self._move_records(change)
        ids = dict.fromkeys([*(one for pair in change.merged for one in pair), *map(_id_of, change.patients)])
        return tuple({changed.patient_ids: changed for changed in map(self._changed, ids)}.values())

    def _when(self, change: PatientChange) -> str:
        """When a change was told; at arrival, where a sender's clock is ahead: later corrections must count."""
        now = self._clock()
        ahead = (now + A_DAY).strftime(MOMENT)  # a time without a zone may be that of any
        return change.told if "" < change.told <= ahead else now.strftime(MOMENT)

    def _move_records(self, change: PatientChange) -> None:
        """What may be done again, and is where the node ended in between: the sender repeats what nobody confirmed."""
        for old, _ in change.merged:
            root = self._root(old)
            if root != old:
                self._records.rename(old, root, one_person=True)
        for patient in change.patients:
            one = _id_of(patient)
            entry = self._read(one)
            if entry is not None and entry.into is None:
                self._records.correct(identity_of(entry.patient))

    def _known(self, one: PatientId) -> CurrentPatient | None:
        """The person of a patient ID as its record describes it."""
        record = self._records.get(*one)
        return None if record is None else _patient_of(record.identity)

    # ---- who it is now
    def current(self, who: Identity) -> CurrentPatient | None:
        """Who the person of a header is now.

        A patient ID alone does not make an image that of a patient: where it is known how the patient was described
        before, the image must agree with that; else, under the same patient ID, with the name or the birth date of now.
        None where it does not, or where no message has changed anything.
        """
        one = (who.patient_id, who.issuer or self._default_issuer)
        entry = self._read(one) if who.patient_id else None
        if entry is None:
            return None
        root = self._root(one)
        described = [identity_of(each) for each in (*entry.earlier, entry.patient)]
        described = [each for each in described if each.family_name or each.birth_date]
        agrees = any(_agree(each, who) for each in described)
        if root != one:
            return self._patient(root) if agrees or not described else None
        similar = len(described) == 1 and _similar(described[0], who)  # nobody knows how it was described before
        return entry.patient if agrees or similar else None

    def earlier(self, who: Identity) -> Sequence[Identity]:
        """All that the person of a current identity was known as before."""
        found: dict[Identity, None] = {}
        for one in self._all_ids((who.patient_id, who.issuer or self._default_issuer)):
            entry = self._read(one)
            if entry is not None:
                found |= dict.fromkeys(map(identity_of, (*entry.earlier, entry.patient)))
        return [each for each in found if each != who]

    def current_id(self, patient_id: str, issuer: str) -> PatientId:
        """The patient ID that took the place of one; the same where none did."""
        return self._root((patient_id, issuer))

    def of_current(self, identity: Identity) -> Identity:
        """An identity as a record is kept under: of whom a patient ID that was merged now is."""
        now = self.current(identity)
        if now is None:
            return identity
        known = identity_of(now)
        if not known.family_name and not known.birth_date:
            return replace(identity, patient_id=known.patient_id, issuer=known.issuer)
        return known

    def purge(self, older_than_s: float) -> int:
        """Forget what nothing was told of for `older_than_s` seconds; of how many patient IDs."""
        limit, deleted = self._clock().timestamp() - older_than_s, 0
        for path in self._folder.glob("*.patient"):
            goes_on()
            if path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
                deleted += 1
        return deleted

    def _changed(self, one: PatientId) -> Changed:
        root = self._root(one)
        entry = self._read(root)
        return Changed(self._patient(root), self._all_ids(root), corrected=entry is not None and bool(entry.earlier))

    def _patient(self, root: PatientId) -> CurrentPatient:
        entry = self._read(root)
        return CurrentPatient(*root) if entry is None else entry.patient

    def _root(self, one: PatientId) -> PatientId:
        return _Draft(self._read, self._known).root(one)

    def _all_ids(self, root: PatientId) -> tuple[PatientId, ...]:
        entry = self._read(root)
        return (root, *(entry.others if entry else ()))

    # ---- files
    def _path(self, one: PatientId) -> Path:
        return self._folder / f"{self._records.key(*one)}.patient"

    def _packed(self, entry: _Entry) -> bytes:
        return seal(_ENTRY.dump_json(entry), self._key_file)

    def _read(self, one: PatientId) -> _Entry | None:
        path = self._path(one)
        try:
            return _ENTRY.validate_json(unseal(path.read_bytes(), self._key_file))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise NodeError(f"what is kept of a merged patient cannot be read: {path.name}") from error


class _Draft:
    """The entries that a message touches, as they will be.

    Parameters
    ----------
    read
        What is kept of a patient ID.
    known
        Whom its record describes: how the patient was known before the first change.
    """

    def __init__(
        self,
        read: Callable[[PatientId], _Entry | None],
        known: Callable[[PatientId], CurrentPatient | None],
    ) -> None:
        self._read, self._known = read, known
        self.entries: dict[PatientId, _Entry] = {}

    def get(self, one: PatientId) -> _Entry | None:
        """What is known of a patient ID."""
        return self.entries.get(one) or self._read(one)

    def root(self, one: PatientId) -> PatientId:
        """The patient ID that took the place of one, at the end of all merges."""
        for _ in range(MOST_IDS):
            entry = self.get(one)
            if entry is None or entry.into is None:
                break
            one = entry.into
        return one

    def merge(self, old: PatientId, new: PatientId, told: str) -> None:
        """Have `new` take the place of `old`.

        Raises
        ------
        ChangeRefused
            If `old` is of another person already, or there are too many of one person.
        """
        if self.root(old) == self.root(new):
            if self.root(new) == old:
                self._turn_round(old, new, told)
            return
        before = self.get(old) or self._first(old)
        if before.into is not None:
            raise ChangeRefused("the patient ID in MRG-1 was merged into another patient before; nothing was merged")
        self.entries[old] = replace(before, into=self.root(new), merged=told)
        if self.get(new) is None:
            self.entries[new] = self._first(new)
        self._add_others(self.root(new), old, *before.others)

    def _turn_round(self, old: PatientId, new: PatientId, told: str) -> None:
        """The same person, the other way round: the later message says which patient ID stays."""
        survivor, retired = self.get(old), self.get(new)
        if survivor is None or retired is None or told <= retired.merged:
            return
        self.entries[new] = replace(retired, into=None, merged="")
        self.entries[old] = replace(survivor, into=new, merged=told)
        self._add_others(new, old, *survivor.others)

    def _add_others(self, root: PatientId, *others: PatientId) -> None:
        entry = self.get(root) or self._first(root)
        all_others = tuple(one for one in dict.fromkeys((*entry.others, *others)) if one != root)
        if len(all_others) >= MOST_IDS:
            raise ChangeRefused(f"a patient would have more than {MOST_IDS} patient IDs; nothing was merged")
        self.entries[root] = replace(entry, others=all_others)

    def _first(self, one: PatientId) -> _Entry:
        return _Entry(self._known(one) or CurrentPatient(*one))

    def correct(self, patient: CurrentPatient, told: str) -> None:
        """Have the patient be described so, unless that was told later otherwise; the description before is kept."""
        one = _id_of(patient)
        entry = self.get(one) or _Entry(self._known(one) or patient)
        if entry.into is not None:  # nothing new is told of a patient ID that has gone
            return
        if told < entry.told:
            self.entries[one] = replace(entry, earlier=_latest(entry.earlier, patient))
            return
        now = _filled(patient, entry.patient)
        same = _agree(identity_of(now), identity_of(entry.patient))
        earlier = entry.earlier if same else _latest(entry.earlier, entry.patient)
        self.entries[one] = replace(entry, patient=now, told=told, earlier=earlier)


def _id_of(patient: CurrentPatient) -> PatientId:
    return patient.patient_id, patient.issuer_of_patient_id


def _latest(earlier: Sequence[CurrentPatient], one: CurrentPatient) -> tuple[CurrentPatient, ...]:
    return tuple(dict.fromkeys((*(each for each in earlier if each != one), one)))[-MOST_EARLIER:]


def _filled(patient: CurrentPatient, before: CurrentPatient) -> CurrentPatient:
    """The patient, with what is left empty as it was before."""
    pairs = zip(fields(patient), astuple(patient), astuple(before), strict=True)
    return CurrentPatient(**{name.name: now or then for name, now, then in pairs})


def _patient_of(who: Identity) -> CurrentPatient:
    name = "^".join(part.replace("^", " ").replace("=", " ") for part in (who.family_name, who.given_name)).rstrip("^")
    birth_date = who.birthday.strftime("%Y%m%d") if who.birthday else ""
    return CurrentPatient(who.patient_id, who.issuer, name, birth_date, "" if who.sex == "U" else who.sex)


def _agree(one: Identity, other: Identity) -> bool:
    """Whether nothing that both say differs."""
    what = one.mismatch(other)
    return what is None or "neither" in what


def _similar(one: Identity, other: Identity) -> bool:
    """Whether the name or the day of birth is the same."""
    same_day = one.birthday is not None and one.birthday == other.birthday
    return same_day or (one.plain_name != "" and one.plain_name == other.plain_name)


def open_patient_changes(configuration: Configuration, records: PatientRecords) -> PatientChanges | None:
    """What messages have changed; None where they change nothing (`records.patient_changes`)."""
    if not configuration.records.patient_changes:
        return None
    settings = configuration.records
    folder = configuration.node.data.absolute() / "patients"
    return PatientChanges(folder, records, settings.default_issuer, settings.key_file)
