"""HL7 v2 messages to records: demographics (PID), diagnoses (DG1, PRB), values (OBX), drugs (RXE, RXO).

hl7apy parses (tolerantly: real messages bend the standard), we read the segments that matter. Merges (A40) and
changes of patient ID (A47) come out as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from math import isfinite
from typing import Any

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Group, Message, Segment
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message

from dicom_sr.errors import UnsuitableInput
from pipelines.context import CodedEvent
from pipelines.records.record import DAY_UNKNOWN, Identity, Record, Sex, chosen_identifiers

# HL7 table 0396 and what is found in its place
SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "SNM3": "http://snomed.info/sct",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "ICD-10": "http://hl7.org/fhir/sid/icd-10",
    "I10C": "http://hl7.org/fhir/sid/icd-10-cm",
    "I9": "http://hl7.org/fhir/sid/icd-9-cm",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
    "I9CDX": "http://hl7.org/fhir/sid/icd-9-cm",
    "LN": "http://loinc.org",
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "WC": "http://www.whocc.no/atc",
    "ATC": "http://www.whocc.no/atc",
}
SEXES: dict[str, Sex] = {"F": "F", "M": "M", "O": "O", "A": "O"}
MERGES = {"A18", "A34", "A35", "A36", "A39", "A40", "A46", "A47", "A30"}
COMPONENT = "^"  # in what is said here of a message's kind; a message has its own separators
# the events that take back an admission, a transfer, a discharge: what they carry was told before
CANCELS = {"A11", "A12", "A13", "A27", "A32", "A33", "A38"}
CANCELLED_ORDERS = {"CA", "CR", "OC"}  # order control (table 0119): asked for and never given
MOST_SEGMENTS = 5000  # about six seconds of parsing


@dataclass(frozen=True)
class Incoming:
    """What one message says."""

    control_id: str
    version: str
    event: str  # e.g. ADT^A08
    records: tuple[Record, ...] = field(default=(), repr=False)
    merged: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = field(
        default=(), repr=False
    )  # (old, new) patient IDs


def read_message(text: str, issuers: Mapping[str, str], default_issuer: str = "") -> Incoming:
    """Read one message.

    Parameters
    ----------
    text
        The message, without its MLLP frame; any line end separates segments.
    issuers
        Issuer of patient IDs by assigning authority; where it names any, only their identifiers count.
    default_issuer
        Of patient IDs where `issuers` names none.

    Raises
    ------
    UnsuitableInput
        If it is no HL7 v2 message or names no patient; the message says which part is missing, no value.
    """
    text = text.lstrip("\ufeff").strip().replace("\r\n", "\r").replace("\n", "\r")
    if not text.startswith("MSH"):
        raise UnsuitableInput("not an HL7 v2 message: it does not begin with MSH")
    if text.count("\r") >= MOST_SEGMENTS:
        raise UnsuitableInput(f"the message has more than {MOST_SEGMENTS} segments")
    message = parsed(text)
    separators = _Separators.of(text)
    segments = [_Segment(segment.to_er7(), separators) for segment in _flat(message)]
    header = segments[0]
    event = header.component(9, 1, 1) + COMPONENT + header.component(9, 1, 2)
    when = _day(header.component(7)) or date.today()
    records: list[Record] = []
    merged: list[tuple[tuple[str, str], tuple[str, str]]] = []
    for group in _by_patient(segments):
        identities = list(_identities(group[0], issuers, default_issuer))
        if not identities:
            raise UnsuitableInput("PID-3 holds no patient identifier that counts (records.issuers)")
        told, retracted = _told(header, group, when)
        died = _day(group[0].component(29))
        if died is None and group[0].component(30) == "Y":
            died = DAY_UNKNOWN
        records += [Record(identity, told, died, "HL7 v2", retracted) for identity in identities]
        merged += _merges(event, group, identities, issuers, default_issuer)
    if not records:
        raise UnsuitableInput("the message has no PID segment")
    return Incoming(header.component(10), str(message.version), event, tuple(records), tuple(merged))


def _by_patient(segments: list[_Segment]) -> list[list[_Segment]]:
    """The segments from each PID to the next: a message may be about several patients."""
    groups: list[list[_Segment]] = []
    for segment in segments:
        if segment.name == "PID":
            groups.append([])
        if groups:
            groups[-1].append(segment)
    return groups


def parsed(text: str) -> Message:
    """The message as hl7apy has it.

    Raises
    ------
    UnsuitableInput
        If hl7apy cannot make out its structure, with or without groups.
    """
    for groups in (False, True):
        try:
            return parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=groups)
        except HL7apyException as error:
            kind = type(error).__name__
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # hl7apy on broken headers
            kind = type(error).__name__
    raise UnsuitableInput(f"not a readable HL7 v2 message ({kind})")


def _flat(group: Message | Group) -> Iterator[Segment]:
    """All segments in the order of the message."""
    for child in group.children:
        if isinstance(child, Group):
            yield from _flat(child)
        else:
            yield child


@dataclass(frozen=True)
class _Separators:
    """Those that a message says it uses, in MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    part: str = "&"

    @classmethod
    def of(cls, text: str) -> _Separators:
        usual = cls()
        told = text[4:8].split(text[3:4])[0] if len(text) > 4 else ""
        rest = (usual.component, usual.repetition, usual.escape, usual.part)
        return cls(text[3:4] or usual.field, *(told[n : n + 1] or rest[n] for n in range(4)))


class _Segment:
    """Fields by number as the standard counts them; escape sequences are resolved."""

    def __init__(self, line: str, separators: _Separators) -> None:
        fields = line.split(separators.field)
        self.name, self._separators = fields[0], separators
        # in MSH the separator itself is the first field
        self._fields = [self.name, separators.field, *fields[1:]] if self.name == "MSH" else fields

    def component(self, number: int, repetition: int = 1, component: int = 1) -> str:
        if number >= len(self._fields):
            return ""
        repetitions = self._fields[number].split(self._separators.repetition)
        if repetition > len(repetitions):
            return ""
        parts = repetitions[repetition - 1].split(self._separators.component)
        return self._unescaped(parts[component - 1]).strip() if component <= len(parts) else ""

    def first_part(self, number: int, repetition: int, component: int) -> str:
        """The first part of a component that is not empty."""
        parts = self.component(number, repetition, component).split(self._separators.part)
        return next((part for part in parts[:2] if part), "")

    def repetitions(self, number: int) -> int:
        return len(self._fields[number].split(self._separators.repetition)) if number < len(self._fields) else 0

    def _unescaped(self, text: str) -> str:
        mark = self._separators
        for letter, char in (
            ("F", mark.field),
            ("S", mark.component),
            ("T", mark.part),
            ("R", mark.repetition),
            ("E", mark.escape),
        ):
            text = text.replace(f"{mark.escape}{letter}{mark.escape}", char)
        return text


def _identifiers(segment: _Segment, number: int) -> list[tuple[str, str, str]]:
    """(value, assigning authority's namespace or OID, type) of each repetition of a CX field."""
    found = []
    for repetition in range(1, segment.repetitions(number) + 1):
        name = segment.first_part(number, repetition, 4)
        found.append((segment.component(number, repetition, 1), name, segment.component(number, repetition, 5)))
    return found


def _identities(person: _Segment, issuers: Mapping[str, str], default_issuer: str) -> Iterator[Identity]:
    # PID-2 was the patient ID until 2.3.1; it counts where PID-3 is empty
    identifiers = (
        _identifiers(person, 3) if any(value for value, _, _ in _identifiers(person, 3)) else _identifiers(person, 2)
    )
    for patient_id, issuer in chosen_identifiers(identifiers, issuers, default_issuer):
        yield Identity(
            patient_id,
            issuer,
            person.first_part(5, 1, 1),
            person.component(5, 1, 2),
            _day(person.component(7)),
            SEXES.get(person.component(8)[:1], "U"),
        )


def _merges(
    event: str, segments: list[_Segment], identities: list[Identity], issuers: Mapping[str, str], default_issuer: str
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    if event.partition(COMPONENT)[2] not in MERGES:
        return
    for segment in segments:
        if segment.name == "MRG":
            for old in chosen_identifiers(_identifiers(segment, 1), issuers, default_issuer):
                yield old, (identities[0].patient_id, identities[0].issuer)


def _told(header: _Segment, group: list[_Segment], when: date) -> tuple[tuple[CodedEvent, ...], tuple[CodedEvent, ...]]:
    """What a message tells of one patient, and what it takes back."""
    trigger = header.component(9, 1, 2)
    told: list[CodedEvent] = []
    retracted: list[CodedEvent] = []
    if trigger not in CANCELS:
        told.append(CodedEvent("encounter", "", trigger or "message", when))
        for event, true in _events(group, when, trigger):
            (told if true else retracted).append(event)
    return tuple(told), tuple(retracted)


def _events(group: list[_Segment], when: date, trigger: str) -> Iterator[tuple[CodedEvent, bool]]:
    """Each event with whether it holds; one without a date of its own has that of its request, or of the message."""
    asked, ordered = when, True
    for segment in group:
        if segment.name == "ORC":
            ordered = segment.component(1) not in CANCELLED_ORDERS
        if segment.name == "OBR":
            asked = _day(segment.component(7)) or when
        holds = {
            "DG1": segment.component(21) != "D",
            "PRB": segment.component(1) != "DE" and trigger != "PC3",
            "OBX": segment.component(11) not in ("D", "W"),  # deleted, of the wrong patient
            "RXE": ordered,
            "RXO": ordered,
            "OBR": ordered,
        }.get(segment.name, True)
        for event in _events_of(segment, when, asked):
            yield event, holds


def _events_of(segment: _Segment, when: date, asked: date) -> Iterator[CodedEvent]:
    if segment.name == "OBR":
        yield from _coded("condition", segment, 31, asked)  # the reason for the study
    elif segment.name == "DG1":
        yield from _coded("condition", segment, 3, _day(segment.component(5)) or when)
    elif segment.name == "PRB":
        yield from _coded("condition", segment, 3, _day(segment.component(16)) or _day(segment.component(7)) or when)
    elif segment.name == "PV2":
        yield from _coded("condition", segment, 3, when)
    elif segment.name == "PR1":
        yield from _coded("procedure", segment, 3, _day(segment.component(5)) or when)
    elif segment.name in ("RXE", "RXO"):
        yield from _coded("medication", segment, 2 if segment.name == "RXE" else 1, when)
    elif segment.name == "OBX":
        yield from _value(segment, asked)


def _value(segment: _Segment, asked: date) -> Iterator[CodedEvent]:
    if segment.component(11) == "X":  # could not be had
        return
    day = _day(segment.component(14)) or asked
    if segment.component(2) in ("NM", "SN"):
        text = segment.component(5, 1, 2 if segment.component(2) == "SN" else 1)
        try:
            number = float(text)
        except ValueError:
            return
        if not isfinite(number):
            return
        for event in _coded("observation", segment, 3, day):
            yield CodedEvent(
                "observation", event.system, event.code, day, None, event.display, number, segment.component(6)
            )


def _coded(kind: Any, segment: _Segment, number: int, day: date) -> Iterator[CodedEvent]:
    """One event per repetition of a coded field, in the first of its two code systems that is known."""
    for repetition in range(1, segment.repetitions(number) + 1):
        triplets = [[segment.component(number, repetition, at + n) for n in range(3)] for at in (1, 4)]
        named = [triplet for triplet in triplets if triplet[0]]
        if not named and (text := triplets[0][1]):
            yield CodedEvent(kind, "", "", day, display=text)
        if named:
            code, text, system = next((triplet for triplet in named if triplet[2].upper() in SYSTEMS), named[0])
            yield CodedEvent(kind, SYSTEMS.get(system.upper(), system), code, day, display=text)


def _day(text: str) -> date | None:
    """The day of an HL7 time stamp, YYYY[MM[DD[...]]]."""
    digits = text[:8] if text[:8].isdigit() else text[:4] if text[:4].isdigit() else ""
    digits = (digits + "0101")[:8] if len(digits) == 4 else digits
    try:
        return datetime.strptime(digits, "%Y%m%d").date() if len(digits) == 8 else None
    except ValueError:
        return None


def acknowledgement(message: str, code: str, why: str = "") -> str:
    """An acknowledgement, to be sent back to whoever sent the message.

    Parameters
    ----------
    message
        What is acknowledged.
    code
        AA (accepted), AE (error) or AR (rejected), HL7 table 0008.
    why
        What was wrong, in words, for MSA-3.
    """
    line = message.lstrip("\ufeff").split("\r")[0].split("\n")[0]
    header = _Segment(line, _Separators.of(line))
    to = "|".join(header.component(n) for n in (5, 6, 3, 4))
    now = datetime.now().strftime("%Y%m%d%H%M%S")
    trigger = header.component(9, 1, 2)
    kind = f"ACK^{trigger}^ACK" if trigger else "ACK"
    control, version = header.component(10), header.component(12) or "2.5"
    lines = [f"MSH|^~\\&|{to}|{now}||{kind}|{control}A|P|{version}", f"MSA|{code}|{control}"]
    if why:
        lines[1] += f"|{why}"
    return "\r".join(lines) + "\r"
