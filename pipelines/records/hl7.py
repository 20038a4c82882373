"""HL7 v2 messages to records: demographics (PID), diagnoses (DG1, PRB), values (OBX), drugs (RXE, RXO).

Segments are read by position, as every version 2 has them. Merges (A40) and changes of patient ID (A47) come out as
such; what cannot be used is counted with its reason, and no reason holds a value of the message.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from math import isfinite, nan
from typing import Any

from dicom_sr.errors import UnsuitableInput
from pipelines.context import CodedEvent
from pipelines.records.code_systems import system_named
from pipelines.records.dates import PartialDate, no_date, partial_date
from pipelines.records.hl7_patients import SEXES, PatientChange, change_in, family_and_given_name, patient_identifiers
from pipelines.records.hl7_text import Segment, Separators, messages
from pipelines.records.record import DAY_UNKNOWN, Identity, Record, chosen_identifiers

COMPONENT = "^"  # in what is said here of a message's kind; a message has its own separators
# the events that take back an admission, a transfer, a discharge: what they carry was told before
CANCELS = {"A11", "A12", "A13", "A27", "A32", "A33", "A38"}
CANCELLED_ORDERS = {"CA", "CR", "OC"}  # order control (table 0119): asked for and never given
# segment: kind of what it tells, the field with its code, whether that has to be there
CODED: dict[str, tuple[Any, int, bool]] = {
    "OBR": ("condition", 31, False),  # the reason for the study
    "PV2": ("condition", 3, False),  # the reason for the visit
    "DG1": ("condition", 3, True),
    "PRB": ("condition", 3, True),
    "PR1": ("procedure", 3, True),
    "RXE": ("medication", 2, True),
    "RXO": ("medication", 1, True),
}
MOST_SEGMENTS = 5000  # in one message
MOST: dict[str, tuple[int, str]] = {  # by separator, in all of a message: a few seconds of reading
    "field": (250_000, "fields"),
    "repetition": (50_000, "repetitions of fields"),
    "component": (500_000, "components"),
    "part": (500_000, "subcomponents"),
}


@dataclass(frozen=True)
class Incoming:
    """What one message says."""

    control_id: str
    version: str
    event: str  # e.g. ADT^A08
    records: tuple[Record, ...] = field(default=(), repr=False)
    change: PatientChange = field(default=PatientChange(), repr=False)
    refused: Mapping[str, int] = field(default_factory=dict)  # what was left out: segment and reason, how often


def read_message(text: str, issuers: Mapping[str, str], default_issuer: str = "") -> Incoming:
    """Read one message.

    Parameters
    ----------
    text
        The message, `decoded`, without its MLLP frame; any line end separates segments.
    issuers
        Issuer of patient IDs by assigning authority; where it names any, only their identifiers count.
    default_issuer
        Of patient IDs where `issuers` names none.

    Raises
    ------
    UnsuitableInput
        If it is no HL7 v2 message or names no patient; the message says which part is missing, no value.
    """
    if text.count("\r") + text.count("\n") > 3 * MOST_SEGMENTS:  # before it is cut; lines end in two ways, or are blank
        raise UnsuitableInput(f"the message has more than {MOST_SEGMENTS} segments")
    found = list(messages(text.lstrip("\ufeff")))
    if not found or not found[0].startswith("MSH"):
        raise UnsuitableInput("not an HL7 v2 message: it does not begin with MSH")
    if len(found) > 1:
        raise UnsuitableInput(f"{len(found)} messages in one; each has to come on its own")
    lines = found[0].rstrip("\r").split("\r")
    if len(lines) > MOST_SEGMENTS:
        raise UnsuitableInput(f"the message has more than {MOST_SEGMENTS} segments")
    separators = Separators.of(lines[0])
    for name, (most, what) in MOST.items():
        if found[0].count(getattr(separators, name)) > most:
            raise UnsuitableInput(f"the message has more than {most} {what}")
    segments = [Segment(line, separators) for line in lines]
    header = segments[0]
    version = _version(header)
    event = header.component(9, 1, 1) + COMPONENT + header.component(9, 1, 2)
    left_out: Counter[str] = Counter()
    when = _date(header, [(7, 1)], PartialDate(date.today()))
    if when is None:
        left_out["MSH: the date in MSH-7 cannot be read; the day of arrival counts"] += 1
        when = PartialDate(date.today())
    records: list[Record] = []
    groups = _by_patient(segments)
    change = change_in(segments, groups, issuers, default_issuer)
    if change.refused:  # nothing else of it counts
        return Incoming(header.component(10), version, event, change=change)
    for group in groups:
        person = group[0]
        identities = list(_identities(person, issuers, default_issuer, left_out))
        if not identities:
            raise UnsuitableInput("PID-3 holds no patient identifier that counts (records.issuers)")
        told, retracted = _told(header, group, when, left_out)
        records += [Record(identity, told, _died(person), "HL7 v2", retracted) for identity in identities]
    if not records:
        raise UnsuitableInput("the message has no PID segment")
    return Incoming(header.component(10), version, event, tuple(records), change, dict(left_out))


def _version(header: Segment) -> str:
    """MSH-12, which may be empty or name a version that came later.

    Raises
    ------
    UnsuitableInput
        If it is another standard's.
    """
    version = header.component(12)
    if version and re.match(r"(?:HL7)?\s*[vV]?2(?!\d)", version) is None:
        raise UnsuitableInput("not an HL7 v2 message: MSH-12 does not name version 2 (2.1 to 2.9, or left empty)")
    return version


def _date(segment: Segment, places: list[tuple[int, int]], default: PartialDate | None) -> PartialDate | None:
    """The first date of these fields and components; `default` where all are empty; None if none can be read."""
    texts = [text for number, component in places if not no_date(text := segment.component(number, 1, component))]
    found = [day for text in texts if (day := partial_date(text)) is not None]
    return found[0] if found else None if texts else default


def _died(person: Segment) -> date | None:
    """The day of death, `DAY_UNKNOWN` where only the death is on record."""
    day = partial_date(person.component(29))
    if day is not None:
        return day.first
    told = person.component(30) == "Y" or (not no_date(person.component(29)) and person.component(30) != "N")
    return DAY_UNKNOWN if told else None


def _by_patient(segments: list[Segment]) -> list[list[Segment]]:
    """The segments from each PID to the next: a message may be about several patients."""
    groups: list[list[Segment]] = []
    for segment in segments:
        if segment.name == "PID":
            groups.append([])
        if groups:
            groups[-1].append(segment)
    return groups


def _identities(
    person: Segment, issuers: Mapping[str, str], default_issuer: str, left_out: Counter[str]
) -> Iterator[Identity]:
    born = partial_date(person.component(7))
    if born is None and not no_date(person.component(7)):
        left_out["PID: the birth date in PID-7 cannot be read"] += 1
    family, given = family_and_given_name(person)
    sex = SEXES.get(person.component(8)[:1].upper(), "U")
    for patient_id, issuer in chosen_identifiers(patient_identifiers(person), issuers, default_issuer):
        yield Identity(patient_id, issuer, family, given, sex=sex).born(born)


def _told(
    header: Segment, group: list[Segment], when: PartialDate, left_out: Counter[str]
) -> tuple[tuple[CodedEvent, ...], tuple[CodedEvent, ...]]:
    """What a message tells of one patient, and what it takes back."""
    trigger = header.component(9, 1, 2)
    told: list[CodedEvent] = []
    retracted: list[CodedEvent] = []
    if trigger in CANCELS:
        left_out["message: it cancels what was told before"] += 1
        return (), ()
    told.append(CodedEvent("encounter", "", trigger or "message", when.first, precision=when.precision))
    for event, true in _events(group, when, trigger, left_out):
        (told if true else retracted).append(event)
    return tuple(told), tuple(retracted)


def _events(
    group: list[Segment], when: PartialDate, trigger: str, left_out: Counter[str]
) -> Iterator[tuple[CodedEvent, bool]]:
    """Each event with whether it holds; what is left out, and what does not hold, is counted.

    A date that is left empty is that of the request, the order or the admission, or of the message. One that is there
    and cannot be read is not made up.
    """
    asked: PartialDate | None = when
    ordered: PartialDate | None = when
    admitted: PartialDate | None = when
    order_holds = True
    for segment in group:
        day: PartialDate | None = when
        if segment.name == "ORC":
            order_holds = segment.component(1) not in CANCELLED_ORDERS
            ordered = _date(segment, [(7, 4), (15, 1), (9, 1)], when)
        elif segment.name == "OBR":
            day = asked = _date(segment, [(7, 1)], when)
        elif segment.name == "PV1":
            admitted = _date(segment, [(44, 1)], when)
        elif segment.name == "PV2":
            day = admitted
        elif segment.name in ("DG1", "PR1"):
            day = _date(segment, [(5, 1)], when)
        elif segment.name == "PRB":
            day = _date(segment, [(16, 1), (7, 1)], when)
        elif segment.name in ("RXE", "RXO"):
            day = _date(segment, [(1, 4)] if segment.name == "RXE" else [], ordered)
        elif segment.name == "OBX":
            day = _date(segment, [(14, 1)], asked)
        holds = _holds(segment, trigger, order_holds)
        for found in _events_of(segment, day or when):
            if isinstance(found, str):
                left_out[f"{segment.name}: {found}"] += 1
            elif day is None:
                left_out[f"{segment.name}: its date cannot be read"] += 1
            else:
                if not holds:
                    left_out[f"{segment.name}: marked as not true"] += 1
                yield found, holds


def _holds(segment: Segment, trigger: str, order_holds: bool) -> bool:
    """Whether what a segment tells is told as true."""
    match segment.name:
        case "DG1":
            return segment.component(21) != "D"
        case "PRB":
            return segment.component(1) != "DE" and trigger != "PC3"
        case "OBX":
            return segment.component(11) not in ("D", "W")  # deleted, of the wrong patient
        case "RXE" | "RXO" | "OBR":
            return order_holds
    return True


def _events_of(segment: Segment, day: PartialDate) -> Iterator[CodedEvent | str]:
    """The events of one segment, or why there is none where one was to be expected."""
    if segment.name == "OBX":
        yield from _value(segment, day)
    elif segment.name in CODED:
        kind, number, expected = CODED[segment.name]
        found: list[CodedEvent | str] = [*_coded(kind, segment, number, day)]
        yield from found or (["no code and no text"] if expected else [])


def _value(segment: Segment, day: PartialDate) -> Iterator[CodedEvent | str]:
    if segment.component(11) == "X":
        yield "could not be had"
        return
    try:
        structured = segment.component(2) == "SN"
        number = float(segment.component(5, 1, 2 if structured else 1)) if segment.component(2) in ("NM", "SN") else nan
    except ValueError:
        number = nan
    if not isfinite(number):
        yield "not a number"
        return
    found = list(_coded("observation", segment, 3, day))
    for event in found:
        yield replace(event, value=number, unit=segment.component(6))
    if not found:
        yield "no code and no text"


def _coded(kind: Any, segment: Segment, number: int, day: PartialDate) -> Iterator[CodedEvent]:
    """One event per repetition of a coded field, in the first of its two code systems that is known."""
    method = segment.component(2) if segment.name == "DG1" else ""  # where the system stood until 2.2
    for repetition in range(1, segment.repetitions(number) + 1):
        triplets = [[segment.component(number, repetition, at + n) for n in range(3)] for at in (1, 4)]
        named = [triplet for triplet in triplets if triplet[0]]
        if not named and (text := triplets[0][1]):
            yield CodedEvent(kind, "", "", day.first, display=text, precision=day.precision)
        if named:
            code, text, system = next((triplet for triplet in named if system_named(triplet[2])), named[0])
            system = system or method
            yield CodedEvent(
                kind, system_named(system) or system, code, day.first, display=text, precision=day.precision
            )


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
    line = re.split(r"[\r\n]", message.lstrip("\ufeff"), maxsplit=1)[0]
    header = Segment(line, Separators.of(line))
    to = "|".join(_escaped(header.component(n)) for n in (5, 6, 3, 4))
    now = datetime.now().strftime("%Y%m%d%H%M%S")
    trigger = _escaped(header.component(9, 1, 2))
    kind = f"ACK^{trigger}^ACK" if trigger else "ACK"
    control, version = _escaped(header.component(10)), _escaped(header.component(12)) or "2.5"
    lines = [f"MSH|^~\\&|{to}|{now}||{kind}|{control}A|P|{version}", f"MSA|{code}|{control}"]
    if why:
        lines[1] += f"|{_escaped(why)}"
    if not "".join(lines).isascii():
        lines[0] += "||||||UNICODE UTF-8"
    return "\r".join(lines) + "\r"


def _escaped(text: str) -> str:
    """A text that no separator of ours and no end of a segment is in."""
    marks = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
    return "".join(marks.get(char, char) for char in text if char.isprintable())
