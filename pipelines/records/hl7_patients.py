"""What an HL7 v2 message says of who a patient is: names and identifiers, merges, changes of ID, corrections.

A merge or a correction counts for patient IDs whose assigning authority is known and for no others: the same number of
another hospital is another patient.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from dicom_sr.current_patient import CurrentPatient
from pipelines.records.dates import partial_date
from pipelines.records.hl7_text import Segment
from pipelines.records.record import Sex, chosen_identifiers

PatientId = tuple[str, str]
"""A patient ID and its issuer."""

# HL7 v2.5 chapter 3 with the forms that A40 and A47 took the place of; A35 and its like merge accounts, not patients
MERGES = {"A18", "A30", "A34", "A36", "A39", "A40"}
CHANGES_OF_ID = {"A46", "A47"}
CORRECTIONS = {"A08", "A31"}
SEXES: dict[str, Sex] = {"F": "F", "M": "M", "O": "O", "A": "O"}
# of a name, XPN-7 (table 0200): the legal one counts first, one that is no longer borne last
NAME_ORDER = ("L", "", "U", "D", "C", "R", "T", "P", "I", "K", "N", "A", "S", "B", "M")
LONGEST = 64  # characters of a DICOM patient ID or name
KNOWN = "an assigning authority that is known (records.issuers, or records.default_issuer)"


@dataclass(frozen=True)
class PatientChange:
    """What a message says has changed of whom."""

    merged: tuple[tuple[PatientId, PatientId], ...] = field(default=(), repr=False)  # prior and surviving patient IDs
    patients: tuple[CurrentPatient, ...] = field(default=(), repr=False)  # as they are now
    told: str = ""  # when, by the sender: YYYYMMDDHHMMSS, of which more is earlier than less; empty: it does not say
    refused: str = ""  # why nothing is changed, although it asks for it


class _Refused(Exception):
    """A merge that cannot be followed; says why, no value."""


def identifiers(segment: Segment, number: int) -> list[tuple[str, str, str]]:
    """(value, assigning authority's namespace or OID, type) of each repetition of a CX field."""
    found = []
    for repetition in range(1, segment.repetitions(number) + 1):
        name = segment.first_part(number, repetition, 4)
        found.append((segment.component(number, repetition, 1), name, segment.component(number, repetition, 5)))
    return found


def patient_identifiers(person: Segment) -> list[tuple[str, str, str]]:
    """Those of PID-3; PID-2 was the patient ID until 2.3.1, and counts where PID-3 is empty."""
    found = identifiers(person, 3)
    return found if any(value for value, _, _ in found) else identifiers(person, 2)


def family_and_given_name(person: Segment) -> tuple[str, str]:
    """Family and given name: of several, the legal one."""
    n = _legal_name(person)
    return person.first_part(5, n, 1), person.component(5, n, 2)


def _legal_name(person: Segment) -> int:
    """Which repetition of PID-5 holds the name that counts."""

    def place(n: int) -> tuple[bool, int]:
        kind = person.component(5, n, 7).upper()
        return not person.first_part(5, n, 1), NAME_ORDER.index(kind if kind in NAME_ORDER else "N")

    return min(range(1, person.repetitions(5) + 1), key=place, default=1)


def change_in(
    segments: Sequence[Segment],
    groups: Sequence[Sequence[Segment]],
    issuers: Mapping[str, str],
    default_issuer: str,
) -> PatientChange:
    """What a message changes.

    Parameters
    ----------
    segments
        Of the message, MSH first.
    groups
        The same from each PID to the next.
    issuers
        Issuer of patient IDs by assigning authority.
    default_issuer
        Where `issuers` names none: the authority whose identifiers count, beside those that name no authority.
    """
    trigger = segments[0].component(9, 1, 2)
    if trigger not in MERGES | CHANGES_OF_ID | CORRECTIONS:
        return PatientChange()
    merged: list[tuple[PatientId, PatientId]] = []
    patients: list[CurrentPatient] = []
    try:
        for group in groups:
            known = _known(patient_identifiers(group[0]), issuers, default_issuer)
            if trigger not in CORRECTIONS:
                merged += _merged(group, known, issuers, default_issuer)
            patients += [_patient(group[0], patient_id) for patient_id in known]
        if any((new, old) in merged for old, new in merged):
            raise _Refused("the message merges two patient IDs into each other")
        if not all(map(_in_dicom, {one for pair in merged for one in pair})):
            raise _Refused("a patient ID is longer than DICOM's 64 characters, or has a backslash")
    except _Refused as refused:
        return PatientChange(refused=f"{refused}; nothing was merged")
    usable = tuple(one for one in patients if _in_dicom((one.patient_id, one.issuer_of_patient_id)))
    return PatientChange(tuple(merged), usable, _told(segments))


def _told(segments: Sequence[Segment]) -> str:
    """When the change was recorded (EVN-2), or else when the message was made."""
    recorded = [segment.component(2) for segment in segments if segment.name == "EVN"]
    return next((when for text in (*recorded, segments[0].component(7)) if (when := moment(text))), "")


def _known(found: Sequence[tuple[str, str, str]], issuers: Mapping[str, str], default_issuer: str) -> list[PatientId]:
    """The patient IDs of assigning authorities that are known."""
    if not issuers:
        found = [entry for entry in found if entry[1].strip() in ("", default_issuer)]
    return chosen_identifiers(found, issuers, default_issuer)


def _merged(
    group: Sequence[Segment], surviving: Sequence[PatientId], issuers: Mapping[str, str], default_issuer: str
) -> list[tuple[PatientId, PatientId]]:
    """Each prior patient ID of a group with the surviving one of the same issuer.

    Raises
    ------
    _Refused
        If there are none of which that can be said.
    """
    if not surviving:
        raise _Refused(f"PID-3 holds no patient ID of {KNOWN}")
    told = [segment for segment in group if segment.name == "MRG"]
    if not told:
        raise _Refused("the message has no MRG segment")
    prior = [one for segment in told for one in _known(identifiers(segment, 1), issuers, default_issuer)]
    if not prior:
        raise _Refused(f"MRG-1 holds no patient ID of {KNOWN}")
    of_issuer = {issuer: (value, issuer) for value, issuer in reversed(surviving)}
    pairs = [(old, of_issuer[old[1]]) for old in prior if old[1] in of_issuer]
    if not pairs:
        raise _Refused("MRG-1 and PID-3 hold no patient IDs of the same assigning authority")
    return [(old, new) for old, new in pairs if old != new]


def _in_dicom(patient_id: PatientId) -> bool:
    return len(patient_id[0]) <= LONGEST and "\\" not in patient_id[0] and patient_id[0].isprintable()


def _patient(person: Segment, patient_id: PatientId) -> CurrentPatient:
    born = partial_date(person.component(7))
    birth_date = born.first.strftime("%Y%m%d") if born is not None and born.precision == "day" else ""
    sex = SEXES.get(person.component(8)[:1].upper(), "")
    return CurrentPatient(*patient_id, _dicom_name(person), birth_date, sex)


def _dicom_name(person: Segment) -> str:
    """PID-5 as DICOM writes it: the suffix and the prefix change places (PS3.5 6.2.1.1). Empty where it cannot be."""
    n = _legal_name(person)
    family, given = family_and_given_name(person)
    parts = (family, given, *(person.component(5, n, place) for place in (3, 5, 4)))
    name = "^".join(re.sub(r"[\\^=]", " ", part) for part in parts).rstrip("^")
    return name if family and len(name) <= LONGEST and name.isprintable() else ""


def moment(text: str) -> str:
    """An HL7 time stamp as YYYYMMDDHHMMSS, in UTC where it has a zone; empty where it is none."""
    found = re.fullmatch(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?(?:\.\d+)?([+-])?(\d{2})?(\d{2})?", text.strip(), re.ASCII)
    if found is None:
        return ""
    day, *clock, sign, hours, minutes = found.groups()
    try:
        when = datetime.strptime(day + "".join(part or "00" for part in clock), "%Y%m%d%H%M%S")
    except ValueError:
        return ""
    if sign:
        shift = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        when = when.replace(tzinfo=timezone(shift if sign == "+" else -shift)).astimezone(UTC)
    return when.strftime("%Y%m%d%H%M%S")
