"""Messages of the fast path, held against pynetdicom's."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom.uid import MRImageStorage
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu import P_DATA_TF

from node.receive.dimse.messages import Abort, CommandSet, abort_pdu, decode_message, store_response
from node.receive.status import NotStored, Status
from tests.node.receive.harness import mr


def store_request(message_id: int = 7) -> tuple[bytes, bytes, Any]:
    """Command set and data set of a C-STORE-RQ, as pynetdicom writes them, and what is in it."""
    ds = mr()
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = message_id, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = MRImageStorage, ds.SOPInstanceUID
    primitive.DataSet = io.BytesIO(encode(ds, False, True) or b"")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    command, data = b"", b""
    for part in message.encode_msg(1, 0):
        for _, fragment in part.presentation_data_value_list:
            if fragment[0] & 1:
                command += fragment[1:]
            else:
                data += fragment[1:]
    return command, data, ds


def read(pdu: bytes) -> Any:
    """The primitive in one P-DATA-TF, as pynetdicom reads it."""
    part = P_DATA_TF()
    part.decode(pdu)
    message = DIMSEMessage()
    assert message.decode_msg(part.to_primitive())
    return message.message_to_primitive()


def test_a_command_set_is_read_as_pynetdicom_wrote_it() -> None:
    command, _, ds = store_request()
    request = CommandSet(command)
    assert (request.field, request.message_id, request.has_data) == (0x0001, 7, True)
    assert (request.sop_class_uid, request.sop_instance_uid) == (MRImageStorage, ds.SOPInstanceUID)


def test_pynetdicom_reads_a_success() -> None:
    command, _, ds = store_request(message_id=0xFFFF)
    answer = read(store_response(3, CommandSet(command), None))
    assert (answer.Status, answer.MessageIDBeingRespondedTo) == (0x0000, 0xFFFF)
    assert answer.AffectedSOPInstanceUID == ds.SOPInstanceUID


def test_pynetdicom_reads_a_failure_with_its_reason() -> None:
    command, _, _ = store_request()
    answer = read(store_response(3, CommandSet(command), NotStored(Status.OUT_OF_RESOURCES, "The disk is full")))
    assert (answer.Status, answer.ErrorComment) == (0xA700, "The disk is full")


def test_the_bytes_of_a_message_make_pynetdicoms_primitive() -> None:
    command, data, ds = store_request()
    primitive = decode_message(1, command, data)
    assert primitive.AffectedSOPInstanceUID == ds.SOPInstanceUID
    assert primitive.DataSet.getvalue() == encode(ds, False, True) == data
    with pytest.raises(ValueError, match="not whole"):
        decode_message(1, command, None)  # it says that data follow


def test_a_command_set_cut_inside_an_element_aborts_the_association() -> None:
    command, _, _ = store_request()
    ends, position = set(), 0
    while position < len(command):
        position += 8 + int.from_bytes(command[position + 4 : position + 8], "little")
        ends.add(position)
    for length in set(range(1, len(command))) - ends:
        with pytest.raises(Abort) as abort:
            CommandSet(command[:length])
        assert abort.value.code == 6  # invalid PDU parameter


def test_an_abort_is_the_providers_and_says_why() -> None:
    assert abort_pdu(2) == bytes([7, 0, 0, 0, 0, 4, 0, 0, 2, 2])  # PS3.8 9.3.8
