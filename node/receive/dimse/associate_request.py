"""An A-ASSOCIATE-RQ before it is decoded: who asks, and whether it proposes more than an association can hold.

pynetdicom makes objects of every item, so what would cost it a second is counted here, on the bytes (PS3.8 9.3.2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from node.receive.dimse.admission import Rejection

MAXIMUM_ASSOCIATE = 256 * 1024  # bytes; 128 contexts with every known transfer syntax make 180 kB
MAXIMUM_CONTEXTS = 128  # their IDs are the odd numbers of a byte
MAXIMUM_SYNTAXES = 100  # of one context; 45 are known
MAXIMUM_USER_ITEMS = 512  # three for each context, classes that are related to a context's among them, and the others

FIXED = 68  # bytes before the first item: version, called and calling AE title, and what is reserved
CONTEXT, USER_INFORMATION, SYNTAX, COMMON_EXTENDED = 0x20, 0x50, 0x40, 0x57
NO_REASON = (1, 2, 1)  # permanent, service provider (ACSE): no reason given

_ITEM = struct.Struct(">BBH")
_LENGTH = struct.Struct(">H")


class Titles(NamedTuple):
    """AE titles of a request, without their padding."""

    calling: str
    called: str


def titles(body: bytes | memoryview) -> Titles:
    """Who asks whom.

    Parameters
    ----------
    body
        The PDU without its first six bytes.

    Raises
    ------
    ValueError
        If it is too short to say so, or a title is no text.
    """
    if len(body) < FIXED:
        raise ValueError("the A-ASSOCIATE-RQ is cut short")
    called, calling = (bytes(body[at : at + 16]).decode("ascii").strip() for at in (4, 20))
    return Titles(calling, called)


def excess(body: bytes | memoryview) -> Rejection | None:
    """Why a request is refused unread: it proposes more than an association can hold; None where it does not.

    What is malformed in it is left to who decodes it.

    Parameters
    ----------
    body
        The PDU without its first six bytes.
    """
    contexts = user_items = 0
    for kind, start, end in _items(body, FIXED, len(body)):
        if kind == CONTEXT:
            contexts += 1
            if contexts > MAXIMUM_CONTEXTS:
                return Rejection(*NO_REASON, f"More than {MAXIMUM_CONTEXTS} presentation contexts")
            syntaxes = sum(1 for sub, _, _ in _items(body, start + 4, end) if sub == SYNTAX)
            if syntaxes > MAXIMUM_SYNTAXES:
                return Rejection(*NO_REASON, f"More than {MAXIMUM_SYNTAXES} transfer syntaxes of one context")
        elif kind == USER_INFORMATION:
            for sub, first, last in _items(body, start, end):
                user_items += 1 + (_related(body, first, last) if sub == COMMON_EXTENDED else 0)
                if user_items > MAXIMUM_USER_ITEMS:
                    return Rejection(*NO_REASON, f"More than {MAXIMUM_USER_ITEMS} items of user information")
    return None


def _items(body: bytes | memoryview, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of each item between two places; the last may reach beyond its end."""
    while at + _ITEM.size <= end:
        kind, _, length = _ITEM.unpack_from(body, at)
        at += _ITEM.size
        yield kind, at, min(at + length, end)
        at += length


def _related(body: bytes | memoryview, at: int, end: int) -> int:
    """How many related classes a SOP Class Common Extended Negotiation names (PS3.7 D.3.3.6), as far as it matters."""
    count = 0
    for _ in range(2):  # the class, and its service class
        at += 2 + (_LENGTH.unpack_from(body, at)[0] if at + 2 <= end else 0)
    at += 2
    while at + 2 <= end and count <= MAXIMUM_USER_ITEMS:
        at += 2 + _LENGTH.unpack_from(body, at)[0]
        count += 1
    return count
