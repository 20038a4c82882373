"""A peer that drips, floods or takes nothing costs whoever asks it no more than its time."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_EVENT_REPORT_RQ
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import StorageCommitmentPushModelInstance

from node.errors import BeingStopped
from node.network.associations import MAXIMUM_REPORTS, Associations, Limits, leave
from node.network.requestor import QUEUED_MESSAGES
from node.network.sop_classes import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)
from tests.hostile_archive import (
    ABORT,
    P_DATA,
    RELEASE_ANSWER,
    RELEASE_RQ,
    Does,
    HostileArchive,
    accept,
    acceptance,
    drip,
    flood,
    pending,
    read_pdu,
    then,
)
from tests.waiting import until

PATIENT = 60.0  # pynetdicom's own time-outs, which are not to end anything here
QUICK = Limits(pdu_s=0.3, message_s=0.3, opening_s=0.5, ending_s=0.3)
FIND = StudyRootQueryRetrieveInformationModelFind


@contextmanager
def opened(
    archive: HostileArchive, associations: Associations, timeout_s: float = PATIENT, **more: Any
) -> Iterator[Association]:
    ae = AE()
    ae.acse_timeout = ae.network_timeout = PATIENT
    ae.dimse_timeout = timeout_s
    for uid in (FIND, Verification, StorageCommitmentPushModel, SecondaryCaptureImageStorage):
        ae.add_requested_context(uid, ImplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", archive.port, evt_handlers=associations.handlers(**more))
    try:
        yield association
    finally:
        until(lambda: not association.dul.is_alive() or not association.is_established, seconds=30)
        leave(association)


def is_over(association: Association) -> bool:
    return not association.dul.is_alive() and not association.is_alive()


def tiny_answers(connection: socket.socket) -> None:
    """Good ones, each in time."""
    while True:
        connection.sendall(pending())
        time.sleep(0.02)


def endless_message(connection: socket.socket) -> None:
    """PDUs of six bytes, each in time; never the last of its message."""
    while True:
        connection.sendall(b"\4\0\0\0\0\6" + b"\0\0\0\2\1\1")
        time.sleep(0.02)


def find(association: Association) -> list[tuple[Dataset, Dataset | None]]:
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID = "STUDY", "1"
    return list(association.send_c_find(query, FIND))


@pytest.mark.parametrize("does", [drip, endless_message, tiny_answers], ids=lambda does: str(does.__name__))
def test_who_waits_for_an_answer_that_drips_is_told_that_there_is_none(does: Does) -> None:
    within = {"within_s": 1.0} if does is tiny_answers else {}
    with HostileArchive(then(does)) as archive, opened(archive, Associations(QUICK), **within) as association:
        assert "Status" not in find(association)[-1][0]
        until(lambda: is_over(association), "its threads end")


def test_a_question_takes_twice_its_time_out_at_most() -> None:
    """However many answers are pending, each of which begins pynetdicom's time anew."""
    with HostileArchive(then(tiny_answers)) as archive, opened(archive, Associations(QUICK), 0.4) as association:
        assert "Status" not in find(association)[-1][0]


def drips_its_acceptance(connection: socket.socket) -> None:
    drip(connection, acceptance(connection)[:20])


def drips_a_handshake(connection: socket.socket) -> None:
    connection.recv(1)
    drip(connection, b"\x16\x03\x03\x40\x00")


@pytest.mark.parametrize("tls", [False, True], ids=["acceptance", "TLS handshake"])
def test_an_association_that_is_accepted_by_drops_is_given_up(tls: bool) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ae = AE()
    ae.acse_timeout = ae.connection_timeout = ae.network_timeout = PATIENT
    ae.add_requested_context(Verification)
    with HostileArchive(drips_a_handshake if tls else drips_its_acceptance) as archive:
        association = ae.associate(
            "127.0.0.1",
            archive.port,
            tls_args=(context, "localhost") if tls else None,
            evt_handlers=Associations(QUICK).handlers(),
        )
        assert not association.is_established
        until(lambda: not association.dul.is_alive() and archive.ended, "nothing stays open")


def drips_at_the_release(connection: socket.socket) -> None:
    accept(connection)
    while read_pdu(connection)[0] != RELEASE_RQ:
        pass
    drip(connection)


def takes_no_abort(connection: socket.socket) -> None:
    accept(connection)
    while read_pdu(connection)[0] != ABORT:
        pass
    drip(connection)


@pytest.mark.parametrize("abort", [False, True], ids=["release", "abort"])
def test_leaving_a_peer_that_drips_takes_no_longer_than_a_pdu(abort: bool) -> None:
    does = takes_no_abort if abort else drips_at_the_release
    with HostileArchive(does) as archive, opened(archive, Associations(QUICK)) as association:
        leave(association, abort=abort)
        until(lambda: is_over(association) and archive.ended, "its threads end")


def large_object(size: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID, ds.TextValue = SecondaryCaptureImageStorage, "1.2.3", "x" * size
    return ds


def takes_its_time(connection: socket.socket) -> None:
    """An honest archive on a slow line: all of an object, in pieces, and the answer."""
    accept(connection)
    while True:
        kind, body = read_pdu(connection)
        time.sleep(0.02)
        if kind == P_DATA and body[5] == 2:  # the last of the data set
            connection.sendall(C_STORE_ANSWER)
        elif kind == RELEASE_RQ:
            connection.sendall(RELEASE_ANSWER)
            return


def element(tag: int, value: bytes) -> bytes:
    return tag.to_bytes(2, "little").join((b"\0\0", b"")) + len(value).to_bytes(4, "little") + value


def c_store_answer() -> bytes:
    fields = (
        (0x0002, SecondaryCaptureImageStorage.encode() + b"\0" * (len(SecondaryCaptureImageStorage) % 2)),
        (0x0100, b"\x01\x80"),
        (0x0120, b"\1\0"),
        (0x0800, b"\1\1"),
        (0x0900, b"\0\0"),
        (0x1000, b"1.2.3\0"),
    )
    command = b"".join(element(*field) for field in fields)
    command = element(0, len(command).to_bytes(4, "little")) + command
    value = (len(command) + 2).to_bytes(4, "big") + b"\7\3" + command
    return b"\4\0" + len(value).to_bytes(4, "big") + value


C_STORE_ANSWER = c_store_answer()


def test_a_slow_archive_gets_an_object_that_takes_longer_than_its_time_out() -> None:
    archive = HostileArchive(takes_its_time, receive_buffer=4096)
    with archive, opened(archive, Associations(Limits(ending_s=0.3)), 0.5) as association:
        shrink(association)
        began = time.monotonic()
        assert association.send_c_store(large_object(1_200_000)).Status == 0
        assert time.monotonic() - began > 2 * 0.5, "it was to take longer than twice its time-out"
        leave(association)


def shrink(association: Association) -> None:
    """Leave little of what is sent in the system's hands."""
    connection: Any = association.dul.socket
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def takes_by_drops(connection: socket.socket) -> None:
    accept(connection)
    while connection.recv(1):
        time.sleep(0.02)


def test_an_archive_that_takes_an_object_by_drops_is_given_up() -> None:
    archive = HostileArchive(takes_by_drops, receive_buffer=4096)
    with archive, opened(archive, Associations(QUICK), 0.4) as association:
        shrink(association)
        assert "Status" not in association.send_c_store(large_object(3_000_000))
        until(lambda: is_over(association), "its threads end")


def test_what_nobody_takes_waits_in_the_network() -> None:
    """A flood that begins with a question, and goes on in the middle of its answers and during the release."""
    answer = pending(30_000)
    with (
        HostileArchive(then(lambda connection: flood(connection, answer))) as archive,
        opened(archive, Associations(QUICK), 0.5) as association,
    ):
        query = Dataset()
        query.QueryRetrieveLevel = "STUDY"
        answers = association.send_c_find(query, FIND)
        for _ in range(3):
            next(answers)
        highest, queue = 0, association.dimse.msg_queue
        releasing = threading.Thread(target=leave, args=(association,))
        releasing.start()
        while releasing.is_alive():
            highest = max(highest, sum(message is not None for _, message in list(queue.queue)))
            releasing.join(0.01)
        assert 30 < highest <= QUEUED_MESSAGES, "about a megabyte"
        until(lambda: is_over(association) and archive.ended, "its threads end")


def many_reports(connection: socket.socket) -> None:
    primitive = N_EVENT_REPORT()
    primitive.MessageID, primitive.EventTypeID = 1, 1
    primitive.AffectedSOPClassUID = StorageCommitmentPushModel
    primitive.AffectedSOPInstanceUID = StorageCommitmentPushModelInstance
    primitive.EventInformation = BytesIO(b"")
    message = N_EVENT_REPORT_RQ()
    message.primitive_to_message(primitive)
    encoded = b""
    for part in message.encode_msg(5, 16384):
        pdu = P_DATA_TF()
        pdu.from_primitive(part)
        encoded += pdu.encode()
    flood(connection, encoded)


def test_reports_without_end_are_not_given_a_thread_each() -> None:
    with HostileArchive(then(many_reports)) as archive, opened(archive, Associations(QUICK)) as association:
        before = threading.active_count()
        with suppress(RuntimeError):
            association.send_c_echo()
        assert threading.active_count() <= before + MAXIMUM_REPORTS + 1
        until(lambda: is_over(association), "its threads end")


def test_all_that_are_open_end_at_once_and_so_do_those_that_are_opened_later() -> None:
    associations = Associations()
    with HostileArchive(then(drip)) as archive, opened(archive, associations) as association:
        asking = threading.Thread(target=association.send_c_echo)
        asking.start()
        until(lambda: archive.opened)
        associations.require_going_on()
        associations.stop()
        asking.join()
        until(lambda: is_over(association), "its threads end")
        with pytest.raises(BeingStopped):
            associations.require_going_on()
        with opened(archive, associations) as another:
            another.send_c_echo() if another.is_established else None
            until(lambda: not another.dul.is_alive(), "that one ends too")


PROCESS = """
import signal, sys, threading
from node.config import DimseDestination
from node.errors import PeerUnavailable
from node.network.associations import Associations
from node.send.dimse_delivery import DimseDelivery
associations, stop = Associations(), threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
to = DimseDestination(kind="dimse", ae_title="PACS", host="127.0.0.1", port=int(sys.argv[1]))
asking = threading.Thread(target=DimseDelivery("pacs", to, "CONDYLE", associations).ping)
asking.start()
stop.wait()
associations.stop()
"""


def test_a_process_that_asks_a_peer_that_drips_ends_when_it_is_told_to() -> None:
    asked = threading.Event()

    def does(connection: socket.socket) -> None:
        asked.set()
        drip(connection)

    with HostileArchive(then(does)) as archive:
        process = subprocess.Popen([sys.executable, "-c", PROCESS, str(archive.port)], stderr=subprocess.DEVNULL)
        try:
            assert asked.wait(60)
            process.terminate()
            process.wait(20)
        finally:
            process.kill()
            process.wait()
