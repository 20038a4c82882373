"""What tells one patient from another in headers, and how the node's tables keep patients apart without naming them."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

from node.data_folder import own_key
from pipelines.records.record import Identity

KEY_FILE = "patients.key"  # in the data folder
MARK_DIGITS = 12  # of each part of a mark, hexadecimal
ACCESSION_DIGITS = 16
OTHER_NAME = "The images name the patient in more than one way, under one patient ID."
STUDIES_NAMED = 4  # of those that a series is of too


@dataclass(frozen=True)
class Person:
    """What of a header tells one patient from another, or keyed digests of it; empty where it is not stated."""

    patient_id: str = field(repr=False)
    issuer: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    sex: str = field(default="", repr=False)
    name: str = field(default="", repr=False)

    @classmethod
    def of(cls, who: Identity) -> Person:
        """The person that a header names."""
        birth_date = who.birthday.isoformat() if who.birthday else ""  # a year alone contradicts no day of it
        return cls(who.patient_id, who.issuer, birth_date, "" if who.sex == "U" else who.sex, who.plain_name)

    def contradiction(self, other: Person) -> str | None:
        """The attribute that says that the two are not one patient; None where nothing does.

        The patient ID must be equal. Issuer, birth date and sex must not differ where both have them, nor the name
        where neither has an ID.
        """
        if self.patient_id != other.patient_id:
            return "PatientID"
        stated = {
            "IssuerOfPatientID": (self.issuer, other.issuer),
            "PatientBirthDate": (self.birth_date, other.birth_date),
            "PatientSex": (self.sex, other.sex),
            "PatientName": ("", "") if self.patient_id else (self.name, other.name),
        }
        return next((attribute for attribute, pair in stated.items() if "" not in pair and pair[0] != pair[1]), None)

    def marked(self, key: bytes) -> str:
        """The person as a text that tells nobody who it is: a keyed digest of each part."""
        return ".".join(
            hmac.digest(key, f"{number}|{part}".encode(), "sha256").hex()[:MARK_DIGITS] if part else ""
            for number, part in enumerate(astuple(self))
        )

    @property
    def mark(self) -> str:
        """The text of a person of digests, which `of_mark` reads."""
        return ".".join(astuple(self))

    @classmethod
    def of_mark(cls, mark: str) -> Person:
        """The person of a text that `marked` made."""
        return cls(*mark.split("."))

    def _with(self, other: Person) -> Person:
        return Person(*(mine or theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


def patient_id_digest(patient_id: str, key: bytes) -> str:
    """What a mark of that patient begins with; by it a study is found again whose number somebody knows."""
    return patient_id_part(Person(patient_id.strip()).marked(key))


def patient_id_part(mark: str) -> str:
    """The digest of the patient ID in a mark; empty where none is stated."""
    return mark.partition(".")[0][:MARK_DIGITS]


def accession_digest(accession_number: str, key: bytes) -> str:
    """A keyed digest of an accession number; empty where there is none. Case and spaces do not count."""
    plain = "".join(accession_number.upper().split())
    return hmac.digest(key, f"accession|{plain}".encode(), "sha256").hex()[:ACCESSION_DIGITS] if plain else ""


def same_patient(mark: str, other: str) -> bool:
    """Whether two texts that `Person.marked` made may be of one patient; an empty one says nothing."""
    return not mark or not other or Person.of_mark(mark).contradiction(Person.of_mark(other)) is None


def patient_numbers(people: Iterable[Person]) -> list[int]:
    """For each the number, from 1, of the patient that it is: the first before it that nothing contradicts."""
    patients: list[Person] = []
    numbers = []
    for person in people:
        number = next((n for n, patient in enumerate(patients) if patient.contradiction(person) is None), len(patients))
        if number == len(patients):
            patients.append(person)
        patients[number] = patients[number]._with(person)
        numbers.append(number + 1)
    return numbers


def differing_names(people: Sequence[Person]) -> str:
    """What a reader must know where one patient has several names; empty where that is not so."""
    return OTHER_NAME if len({person.name for person in people if person.name}) > 1 else ""


def several_patients(people: Sequence[Person], numbers: Sequence[int], uids: Sequence[str]) -> str:
    """Why images of several patients are refused; names nobody.

    Parameters
    ----------
    people
        Whom each image names.
    numbers
        For each image the number of its patient, as `patient_numbers` gives it.
    uids
        SOPInstanceUID of each image.
    """
    firsts = {number: numbers.index(number) for number in sorted(set(numbers))}
    what = people[firsts[1]].contradiction(people[firsts[2]])
    counts = Counter(numbers)
    parts = [f"{counts[number]} such as {uids[place]}" for number, place in firsts.items()]
    return (
        f"the images are of {len(firsts)} patients, for {what} differs: {' and '.join(parts)}; "
        "a job needs images of one patient, with a Study Instance UID of their own"
    )


def series_of_several_studies(series: str, others: Sequence[str]) -> str:
    """Why a series is refused whose SeriesInstanceUID other studies use too."""
    more = f" and {len(others) - STUDIES_NAMED} more" if len(others) > STUDIES_NAMED else ""
    return (
        f"series {series} is of {len(others) + 1} studies, so that what came of it here may be a part: its "
        f"SeriesInstanceUID is used in {', '.join(others[:STUDIES_NAMED])}{more} too; a series belongs to one study"
    )


def marking_key(data: Path) -> bytes:
    """The key of the marks of a data folder; made with the first question.

    Raises
    ------
    OSError
        If it can be neither read nor made.
    """
    return own_key(data / KEY_FILE)
