"""HL7 v2 segments: fields and components put together with the usual separators, escaped, in a character set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from pydicom.sr.coding import Code

SEPARATORS = "^~\\&"  # of components, repetitions, escapes and subcomponents; MSH-2
UTF_8 = "UNICODE UTF-8"
CHARACTER_SETS = {UTF_8: "utf-8", "ASCII": "ascii", "8859/1": "latin-1", "8859/2": "iso8859-2", "8859/15": "iso8859-15"}
_ESCAPES = {"|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\\": "\\E\\"}
_LINE_END = re.compile("\r\n|[\r\n\x0b\x0c\x85\u2028\u2029]")

CONTROL_ID_FIELD = 9  # of MSH split at its separators: MSH-10

Component = str | Sequence[str]  # a text, or its subcomponents
Field = str | Sequence[Component]  # a text, or its components


def escaped(text: str) -> str:
    """A text in which no separator and no end of a segment is left; its own line ends become ``\\.br\\``."""
    lines = _LINE_END.split(text)
    return "\\.br\\".join("".join(_ESCAPES.get(sign, sign) for sign in line if sign.isprintable()) for line in lines)


def segment(name: str, *fields: Field) -> str:
    """A segment without its end: empty components and fields at ends are left out."""
    return "|".join([name, *map(_field, fields)]).rstrip("|")


def numbered(name: str, fields: Mapping[int, Field]) -> str:
    """A segment by the numbers of its fields; those that are not named are empty."""
    return segment(name, *(fields.get(number, "") for number in range(1, max(fields) + 1)))


def _field(field: Field) -> str:
    return escaped(field) if isinstance(field, str) else "^".join(map(_component, field)).rstrip("^")


def _component(component: Component) -> str:
    return escaped(component) if isinstance(component, str) else "&".join(map(escaped, component)).rstrip("&")


def coded(code: Code) -> tuple[str, str, str]:
    """A code as CE or CWE: identifier, text, coding system; with its scheme's designator as HL7 table 0396 has it."""
    return str(code.value), code.meaning, str(code.scheme_designator)


def authority(name: str) -> Component:
    """An assigning authority (HD): an OID, or the name of a namespace."""
    return ("", name, "ISO") if re.fullmatch(r"[0-2](\.(0|[1-9]\d*))+", name) else name


def moment(of: datetime) -> str:
    """A time (TS) with the offset from UTC."""
    return of.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")


def in_bytes(segments: Iterable[str], character_set: str) -> bytes:
    """The message as it is sent, with MSH-18; in UTF-8 where the wanted character set lacks one of its characters.

    Parameters
    ----------
    segments
        The first is MSH up to MSH-12 at most.
    character_set
        One of `CHARACTER_SETS`.
    """
    header, *rest = segments
    text = "".join(f"{line}\r" for line in rest)
    for name in (character_set, UTF_8):
        try:
            return (_with_character_set(header, name) + text).encode(CHARACTER_SETS[name])
        except UnicodeEncodeError:
            continue
    return (_with_character_set(header, UTF_8) + text).encode("utf-8", "replace")  # half of a surrogate pair


def _with_character_set(header: str, name: str) -> str:
    fields = header.split("|")
    return "|".join([*fields, *[""] * (17 - len(fields)), name]) + "\r"  # MSH-1 is the first separator itself


def control_id(message: bytes) -> str:
    """MSH-10 of a message of ours; empty where it has none."""
    fields = message.split(b"\r", 1)[0].split(b"|")
    return fields[CONTROL_ID_FIELD].decode("ascii", "replace") if len(fields) > CONTROL_ID_FIELD else ""
