"""The message that takes back an ORU^R01 which was sent: made from that message alone, for the same order.

It says so three times, as receivers look in different places: the order has no results any more (OBR-25 ``X``, HL7
table 0123), each observation was wrong (OBX-11 ``W``, table 0085), and a note for people stands before all of them. It
is ``W`` and not ``D``, which would let a receiver drop what somebody may have acted on. The values stand in it again:
with ``W`` they are required, and a receiver finds by them what it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime

from dicom_sr.write.hl7 import CHARACTER_SETS, CONTROL_ID_FIELD, UTF_8, in_bytes, moment, segment
from dicom_sr.write.oru import CONTROL_ID_CHARACTERS

NO_RESULTS, WRONG, NEVER_THERE = "X", "W", "X"
_TIME, _VERSION, _CHARACTER_SET = 6, 11, 17  # MSH-7, MSH-12 and MSH-18 in a header split at its separators
_REPORTED, _RESULT_STATUS, _OBSERVATION_STATUS = 22, 25, 11  # OBR-22, OBR-25, OBX-11


def withdrawal(message: bytes, when: datetime, why: str) -> bytes:
    """The message that takes back `message`. The same arguments give the same bytes and the same control ID.

    Parameters
    ----------
    message
        One of `dicom_sr.write.oru`, as it was sent.
    when
        Timezone aware. Some receivers pass over an order's message whose OBR-22 is not later than the one that they
        have, so it is the time of the withdrawal and not that of the images.
    why
        The reason in words, for a reader.
    """
    header = message.split(b"\r", 1)[0].decode("ascii", "replace").split("|")
    character_set = header[_CHARACTER_SET] if len(header) > _CHARACTER_SET else UTF_8
    _, *lines = message.decode(CHARACTER_SETS[character_set]).rstrip("\r").split("\r")
    header[_TIME] = moment(when)
    rest = [taken_back for line in lines for taken_back in _taken_back(line, header[_TIME], why)]
    header[CONTROL_ID_FIELD] = hashlib.sha256("\r".join(rest).encode()).hexdigest()[:CONTROL_ID_CHARACTERS]
    return in_bytes(["|".join(header[: _VERSION + 1]), *rest], character_set)


def _taken_back(line: str, when: str, why: str) -> Iterator[str]:
    name = line.split("|", 1)[0]
    if name == "OBR":
        yield _with(line, {_REPORTED: when, _RESULT_STATUS: NO_RESULTS})
        yield segment("NTE", "1", "L", f"TAKEN BACK. What follows was wrong and must not be used. {why}".rstrip())
    elif name == "OBX":
        yield line if _field(line, _OBSERVATION_STATUS) == NEVER_THERE else _with(line, {_OBSERVATION_STATUS: WRONG})
    else:
        yield line


def _field(line: str, number: int) -> str:
    return "".join(line.split("|")[number : number + 1])


def _with(line: str, fields: Mapping[int, str]) -> str:
    parts = line.split("|")
    parts += [""] * (max(fields) + 1 - len(parts))
    for number, text in fields.items():
        parts[number] = text
    return "|".join(parts)
