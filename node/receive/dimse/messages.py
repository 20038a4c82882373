"""The messages of the fast path, read and written without pydicom (PS3.7 6.3.1, 9.3.1; PS3.8 9.3)."""

from __future__ import annotations

import struct
from typing import Any

from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from node.receive.status import NotStored, Status

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA_PDU, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)  # PS3.8 9.3.1
C_STORE_RQ, C_STORE_RSP, C_CANCEL_RQ, N_EVENT_REPORT_RSP = 0x0001, 0x8001, 0x0FFF, 0x8100  # PS3.7 E.1
NO_DATA_SET = 0x0101
RELEASE_RESPONSE = struct.pack(">BBLL", RELEASE_RP, 0, 4, 0)

# reasons of an A-ABORT by the service provider (PS3.8 9.3.8)
NOT_SPECIFIED, UNRECOGNISED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 0, 1, 2, 6

# what pynetdicom's decoders raise on bytes that are not what they should be
MALFORMED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)

PDU = struct.Struct(">BBL")
PDV = struct.Struct(">LBB")
_ELEMENT = struct.Struct("<HHL")


class Abort(Exception):
    """The peer broke the protocol: answer with an A-ABORT.

    Parameters
    ----------
    code
        Reason of the abort (PS3.8 9.3.8).
    reason
        The same in words, for the record.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def abort_pdu(code: int) -> bytes:
    """An A-ABORT by the service provider for the reason `code` (PS3.8 9.3.8)."""
    return struct.pack(">BBLBBBB", ABORT, 0, 4, 0, 0, 2, code)


class CommandSet:
    """The command set of a message (PS3.7 6.3.1), read without pydicom."""

    __slots__ = ("field", "has_data", "message_id", "raw", "sop_class_uid", "sop_instance_uid", "status")

    def __init__(self, raw: bytes) -> None:
        values: dict[int, bytes] = {}
        position, end = 0, len(raw)
        while position + 8 <= end:
            group, element, length = _ELEMENT.unpack_from(raw, position)
            position += 8
            if group or length > end - position:
                raise Abort(INVALID_PARAMETER, "Command set cannot be read")
            values[element] = raw[position : position + length]
            position += length
        if position != end or len(values.get(0x0100, b"")) != 2:
            raise Abort(INVALID_PARAMETER, "Command set cannot be read")
        self.raw = raw
        self.field = int.from_bytes(values[0x0100], "little")
        self.has_data = values.get(0x0800, b"\1\1") != b"\1\1"
        self.message_id = int.from_bytes(values.get(0x0110, b"")[:2], "little")
        self.status = int.from_bytes(values.get(0x0900, b"")[:2], "little")
        self.sop_class_uid = values.get(0x0002, b"")[:66].rstrip(b"\0 ").decode("ascii", "replace")
        self.sop_instance_uid = values.get(0x1000, b"")[:66].rstrip(b"\0 ").decode("ascii", "replace")


def store_response(context_id: int, request: CommandSet, problem: NotStored | None) -> bytes:
    """A C-STORE-RSP (PS3.7 9.3.1.2) in one P-DATA-TF: success, or the status and reason of `problem`.

    Parameters
    ----------
    context_id
        Presentation context that the request came on.
    request
        The command set of the C-STORE-RQ.
    problem
        Why the instance was not stored; None: it was.
    """
    status = Status.SUCCESS if problem is None else problem.status
    elements = b"".join(
        (
            _uid(0x0002, request.sop_class_uid),
            _ELEMENT.pack(0, 0x0100, 2) + C_STORE_RSP.to_bytes(2, "little"),
            _ELEMENT.pack(0, 0x0120, 2) + request.message_id.to_bytes(2, "little"),
            _ELEMENT.pack(0, 0x0800, 2) + NO_DATA_SET.to_bytes(2, "little"),
            _ELEMENT.pack(0, 0x0900, 2) + int(status).to_bytes(2, "little"),
            b"" if problem is None else _text(0x0902, problem.reason),
            _uid(0x1000, request.sop_instance_uid),
        )
    )
    command = _ELEMENT.pack(0, 0, 4) + len(elements).to_bytes(4, "little") + elements
    pdv = PDV.pack(len(command) + 2, context_id, 3)
    return b"".join((PDU.pack(P_DATA_PDU, 0, len(command) + 6), pdv, command))


def decode_message(context_id: int, command: bytes, data: bytes | None) -> Any:
    """The pynetdicom primitive that the bytes of a message make.

    Parameters
    ----------
    context_id
        Presentation context that it came on.
    command
        Its command set.
    data
        Its data set, where it has one.

    Raises
    ------
    ValueError
        If the message is not whole; pynetdicom raises others of `MALFORMED`.
    """
    part = P_DATA()
    # pynetdicom's types say tuples; its own check takes nothing but lists
    values: list[Any] = [[context_id, b"\x03" + command]]
    if data is not None:
        values.append([context_id, b"\x02" + data])
    part.presentation_data_value_list = values
    message = DIMSEMessage()
    if not message.decode_msg(part):
        raise ValueError("the message is not whole")
    return message.message_to_primitive()


def _uid(element: int, uid: str) -> bytes:
    value = uid.encode("ascii", "replace")
    value += b"\0" * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(value)) + value


def _text(element: int, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    value += b" " * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(value)) + value
