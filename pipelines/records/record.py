"""Who a record is about and what it holds, before it is known where it goes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

from dicom_sr.errors import UnsuitableInput
from pipelines.context import ClinicalContext, CodedEvent, Precision
from pipelines.records.dates import PartialDate, same_as_far_as_known

Sex = Literal["F", "M", "O", "U"]
MOST_PATIENT_IDS = 50  # of one patient; each has all that is told
DAY_UNKNOWN = date.min  # of a death that is on record without its day


@dataclass(frozen=True)
class Identity:
    """Who a record, or a study, is about. Nothing of it shows in a repr."""

    patient_id: str = field(repr=False)
    issuer: str = field(default="", repr=False)
    family_name: str = field(default="", repr=False)
    given_name: str = field(default="", repr=False)
    birth_date: date | None = field(default=None, repr=False)
    sex: Sex = field(default="U", repr=False)
    birth_precision: Precision = "day"  # where it is coarser, `birth_date` is the middle of the month or the year

    @property
    def birthday(self) -> date | None:
        """The day of birth; None where it is not known to the day."""
        return self.birth_date if self.birth_precision == "day" else None

    def born(self, birth: PartialDate | None) -> Identity:
        """The same person, born then."""
        if birth is None:
            return replace(self, birth_date=None, birth_precision="day")
        return replace(self, birth_date=birth.middle, birth_precision=birth.precision)

    def births_differ(self, other: Identity) -> bool:
        """Whether both birth dates are known, and one person cannot have both, as far as they are known."""
        if self.birth_date is None or other.birth_date is None:
            return False
        return not same_as_far_as_known(
            self.birth_date, other.birth_date, {self.birth_precision, other.birth_precision}
        )

    @property
    def plain_name(self) -> str:
        """Family name and first given name without accents, case and punctuation; empty where there is none."""
        names = (_plain(self.family_name), _plain(" ".join(self.given_name.split()[:1])))
        return "^".join(names) if any(names) else ""

    def mismatch(self, other: Identity) -> str | None:
        """Name of the field in which the two disagree, or what is missing to tell; None if they agree.

        Names are compared without accents, case and punctuation: family name, and the first given name where both
        have one.
        """
        if self.births_differ(other):
            return "birth date"
        if "" not in (_plain(self.family_name), _plain(other.family_name)):
            if _plain(self.family_name) != _plain(other.family_name):
                return "family name"
            given = [_plain(name.split()[0]) if name.split() else "" for name in (self.given_name, other.given_name)]
            if "" not in given and given[0] != given[1]:
                return "given name"
        elif not (self.birthday and other.birthday):
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
    retracted: tuple[CodedEvent, ...] = field(default=(), repr=False)  # told before, and told now not to be true

    def merged(self, other: Record) -> Record:
        """Both records as one; what `other` says of the person counts where it says anything.

        Raises
        ------
        IdentityMismatch
            If they are not of the same person.
        """
        if (what := self.identity.mismatch(other.identity)) and "neither" not in what:
            raise IdentityMismatch(what)
        mine, new = vars(self.identity), dict(vars(other.identity))
        if new["birth_date"] is None or (self.identity.birth_date and _coarser(other.identity, self.identity)):
            new |= {key: mine[key] for key in ("birth_date", "birth_precision")}  # the more precise date is kept
        identity = Identity(**{key: new[key] if new[key] not in ("", None, "U") else mine[key] for key in mine})
        gone = {_entry(event) for event in other.retracted}
        events = tuple(dict.fromkeys((*(e for e in self.events if _entry(e) not in gone), *other.events)))
        sources = dict.fromkeys(part for text in (self.source, other.source) for part in text.split(", ") if part)
        deaths = [day for day in (other.died, self.died) if day is not None]
        died = next((day for day in deaths if day != DAY_UNKNOWN), deaths[0] if deaths else None)
        return Record(identity, events, died, ", ".join(sources))

    def context(self, index_date: date) -> ClinicalContext:
        """What a pipeline may know of it: nothing that names the patient but birth date and sex."""
        person = self.identity
        return ClinicalContext(index_date, person.birth_date, person.sex, self.events, self.source, self.died)


def _coarser(one: Identity, other: Identity) -> bool:
    order: tuple[Precision, ...] = ("day", "month", "year")
    return order.index(one.birth_precision) > order.index(other.birth_precision)


def _entry(event: CodedEvent) -> tuple[str, str, str, date, Precision]:
    """What tells that two events are the same entry, whatever else was corrected in it."""
    return event.kind, event.system, event.code, event.start, event.precision


class IdentityMismatch(ValueError):
    """Two records, or a record and a study, are not of one person; says which field disagrees, never its value."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the identities disagree in: {what}")
        self.what = what


def chosen_identifiers(
    identifiers: Iterable[tuple[str, str, str]], issuers: Mapping[str, str], default_issuer: str
) -> list[tuple[str, str]]:
    """Patient IDs with issuers, from (value, system or assigning authority, type) of a record.

    Where `issuers` names systems, those count, under the issuer it gives them. Otherwise medical record numbers (type
    MR) do, or the only identifier there is, or failing both the first one; they count as issued by `default_issuer`.

    Parameters
    ----------
    identifiers
        Value, system and type of each.
    issuers
        Issuer of patient IDs by system or assigning authority.
    default_issuer
        Of patient IDs where `issuers` names none.

    Raises
    ------
    UnsuitableInput
        If there are more than any patient has.
    """
    chosen = list(dict.fromkeys(_chosen(identifiers, issuers, default_issuer)))
    if len(chosen) > MOST_PATIENT_IDS:
        raise UnsuitableInput(f"a patient has more than {MOST_PATIENT_IDS} patient IDs")
    return chosen


def _chosen(
    identifiers: Iterable[tuple[str, str, str]], issuers: Mapping[str, str], default_issuer: str
) -> list[tuple[str, str]]:
    found = [(value.strip(), system.strip(), kind) for value, system, kind in identifiers if value.strip()]
    if issuers:
        return [(value, issuers[system]) for value, system, _ in found if system in issuers]
    numbers = [entry for entry in found if entry[2] == "MR"] or found[:1]
    return [(value, default_issuer) for value, _, _ in numbers]
